//! Progress: bars per level on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tagpipe_core::model::PageKind;
use tagpipe_engine::Progress;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::summary::grouped;
use crate::output::duration;

/// How often bars are redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a line is written where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where progress is shown.
pub(crate) struct Display {
    bars: MultiProgress,
    has_bars: bool,
    quiet: bool,
}

/// Progress being shown, until stopped.
pub(crate) struct Watching {
    task: JoinHandle<()>,
    done: watch::Sender<bool>,
}

impl Watching {
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
    pub(crate) fn watch(&self, progress: watch::Receiver<Progress>) -> Watching {
        let (done, mut stopped) = watch::channel(false);
        let mut view: Box<dyn FnMut(&Progress) + Send> = match (self.quiet, self.has_bars) {
            (true, _) => Box::new(|_| {}),
            (false, true) => bar_view(&self.bars),
            (false, false) => Box::new(|progress| tracing::info!("{}", line(progress))),
        };
        let every = if self.has_bars { REDRAW } else { LINE_EVERY };
        let bars = self.bars.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = tokio::time::sleep(every) => view(&progress.borrow().clone()),
                    _ = stopped.changed() => break,
                }
            }
            // A terminal that went away cannot be cleared.
            let _ = bars.clear();
        });
        Watching { task, done }
    }
}

fn bar_view(bars: &MultiProgress) -> Box<dyn FnMut(&Progress) + Send> {
    let style = ProgressStyle::with_template("{prefix:>11} {bar:24} {pos:>7}/{len:<7} {msg}")
        .map(|style| style.progress_chars("━╸─"));
    let levels: Vec<(PageKind, ProgressBar)> = PageKind::ALL
        .into_iter()
        .map(|kind| {
            let bar = bars.add(ProgressBar::new(0));
            if let Ok(style) = &style {
                bar.set_style(style.clone());
            }
            bar.set_prefix(kind.as_str().replace('_', " "));
            (kind, bar)
        })
        .collect();
    let status = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        status.set_style(style);
    }
    Box::new(move |progress| {
        for (kind, bar) in &levels {
            let level = progress.levels[usize::from(kind.level())];
            bar.set_length(level.found);
            bar.set_position(level.done);
            if level.failed > 0 {
                bar.set_message(format!("{} failed", grouped(level.failed)));
            }
        }
        status.set_message(line(progress));
    })
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
