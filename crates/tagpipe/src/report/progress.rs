//! Progress: bars per level on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tagpipe_core::model::PageKind;
use tagpipe_engine::{Orchestration, Progress};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::runners;
use super::summary::grouped;
use crate::output::{cut, duration};

/// How often bars are redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a line is written where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Columns of a bar.
const BAR_WIDTH: usize = 24;

/// Where progress is shown.
pub(crate) struct Display {
    bars: MultiProgress,
    has_bars: bool,
    quiet: bool,
}

/// Progress being shown, until stopped.
pub(crate) struct ShownProgress {
    task: JoinHandle<()>,
    done: watch::Sender<bool>,
}

impl ShownProgress {
    /// Shows the last state and takes the bars away.
    pub(crate) async fn stop(self) {
        // If the task is gone there is nothing to stop.
        let _ = self.done.send(true);
        let _ = self.task.await;
    }
}

impl Display {
    pub(crate) fn new(quiet: bool) -> Display {
        let has_bars = !quiet && std::io::stderr().is_terminal();
        let target = if has_bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Display {
            bars: MultiProgress::with_draw_target(target),
            has_bars,
            quiet,
        }
    }

    /// For whoever writes lines between the bars.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Starts showing `progress`.
    pub(crate) fn watch(&self, progress: watch::Receiver<Progress>) -> ShownProgress {
        self.show(progress, picture, line)
    }

    /// Starts showing a run and its runners.
    pub(crate) fn watch_runners(&self, orchestration: watch::Receiver<Orchestration>) -> ShownProgress {
        self.show(orchestration, runners::picture, runners::line)
    }

    /// Writes lines of other processes above the bars; `None` where there are no bars to be above of.
    pub(crate) fn lines_above_bars(&self) -> Option<impl Fn(&str) + Send + Sync + 'static> {
        let bars = self.bars.clone();
        self.has_bars.then_some(move |line: &str| {
            // If standard error is gone there is nobody to tell.
            let _ = bars.suspend(|| writeln!(std::io::stderr(), "{line}"));
        })
    }

    /// Shows a picture again and again on a terminal, or a line from time to time elsewhere.
    fn show<T: Clone + Send + Sync + 'static>(
        &self,
        source: watch::Receiver<T>,
        picture: fn(&T, usize) -> String,
        line: fn(&T) -> String,
    ) -> ShownProgress {
        let (done, mut stopped) = watch::channel(false);
        let mut view: Box<dyn FnMut(&T) + Send> = match (self.quiet, self.has_bars) {
            (true, _) => Box::new(|_| {}),
            (false, true) => screen(&self.bars, picture),
            (false, false) => Box::new(move |shown| tracing::info!("{}", line(shown))),
        };
        let every = if self.has_bars { REDRAW } else { LINE_EVERY };
        let bars = self.bars.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = tokio::time::sleep(every) => view(&source.borrow().clone()),
                    _ = stopped.changed() => break,
                }
            }
            // A terminal that went away cannot be cleared.
            let _ = bars.clear();
        });
        ShownProgress { task, done }
    }
}

/// All lines are drawn as one, so that whatever else is written never comes between them.
fn screen<T: 'static>(bars: &MultiProgress, picture: fn(&T, usize) -> String) -> Box<dyn FnMut(&T) + Send> {
    let screen = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        screen.set_style(style);
    }
    Box::new(move |shown| screen.set_message(picture(shown, terminal_width())))
}

/// Columns of the terminal that progress is shown on.
fn terminal_width() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
}

/// A bar for each level, then the line; none wider than `width`.
fn picture(progress: &Progress, width: usize) -> String {
    let mut lines: Vec<String> = PageKind::ALL
        .into_iter()
        .map(|kind| {
            let level = progress.levels[usize::from(kind.level())];
            let mut line = format!(
                "{:>11} {} {:>9}/{}",
                kind.as_str().replace('_', " "),
                bar(level.done, level.found),
                grouped(level.done),
                grouped(level.found)
            );
            if level.failed > 0 {
                line.push_str(&format!("  {} failed", grouped(level.failed)));
            }
            line
        })
        .collect();
    lines.push(line(progress));
    let cut_lines: Vec<String> = lines.iter().map(|line| cut(line, width)).collect();
    cut_lines.join("\n")
}

/// A bar of `BAR_WIDTH` columns; full only when nothing is left.
pub(super) fn bar(done: u64, found: u64) -> String {
    let filled = match found {
        0 => 0,
        _ => usize::try_from(done.min(found) * BAR_WIDTH as u64 / found).unwrap_or(BAR_WIDTH),
    };
    format!("{}{}", "━".repeat(filled), "─".repeat(BAR_WIDTH - filled))
}

/// One line that can be read alone.
fn line(progress: &Progress) -> String {
    let rate = progress.pages_per_second();
    let mut line = format!(
        "{}: {} pages, {} open, {:.1} pages/s, {} rows",
        progress.phase,
        grouped(progress.pages),
        grouped(progress.open()),
        rate,
        grouped(progress.rows.new + progress.rows.changed + progress.rows.same),
    );
    if progress.retries > 0 {
        line.push_str(&format!(", {} retries", grouped(progress.retries)));
    }
    if progress.open() > 0 && rate > 0.0 {
        // Pages still to be found are not in it: it is a lower bound, and said to be one.
        line.push_str(&format!(
            ", at least {} left",
            duration(progress.open() as f64 / rate)
        ));
    }
    if !progress.brake.is_open() {
        line.push_str(&format!(
            ", brake +{:.1} s ({})",
            progress.brake.extra.max(progress.brake.blocked_for).as_secs_f64(),
            progress.brake.reason
        ));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn a_bar_is_full_only_when_nothing_is_left() {
        for (done, found, filled) in [
            (0, 0, 0),
            (0, 10, 0),
            (5, 10, 12),
            (9_999, 10_000, 23),
            (7, 7, 24),
        ] {
            let bar = bar(done, found);
            assert_eq!(
                (bar.matches('━').count(), bar.width()),
                (filled, BAR_WIDTH),
                "{done} of {found}"
            );
        }
    }

    #[test]
    fn the_picture_fits_the_terminal() {
        let mut progress = Progress::new();
        progress.phase = "reading";
        progress.levels[4].found = 12_345_678;
        progress.levels[4].done = 12_345;
        progress.levels[4].failed = 999;
        progress.brake.extra = Duration::from_secs(300);
        progress.brake.reason = "429, too many requests".repeat(10);
        for width in [40, 80, 200] {
            let picture = picture(&progress, width);
            assert_eq!(picture.lines().count(), 6);
            assert!(picture.lines().all(|line| line.width() <= width), "{picture}");
        }
    }
}
