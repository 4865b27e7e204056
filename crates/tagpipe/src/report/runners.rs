//! Runners as people see them: a table while they work, one of what each came to, and a line.

use tagpipe_engine::{LevelSummary, Orchestration, RunnerSummary, SeatPicture};
use tagpipe_store::contract::Brake;

use super::progress::bar;
use super::summary::grouped;
use crate::output::{Align, Table, cut, duration};

/// Columns of a table of runners; the last one is cut where it does not fit.
const COLUMNS: &[(&str, Align)] = &[
    ("runner", Align::Left),
    ("state", Align::Left),
    ("pages", Align::Right),
    ("pages/s", Align::Right),
    ("retries", Align::Right),
    ("failed", Align::Right),
    ("memory", Align::Right),
    ("now", Align::Left),
];

/// The columns that go first where a terminal is narrow.
const LEAST_MISSED: &[&str] = &["memory", "retries", "now"];

/// A run with its runners, no line wider than `width`.
pub(super) fn picture(orchestration: &Orchestration, width: usize) -> String {
    let mut table = Table::new(COLUMNS).dropping(LEAST_MISSED);
    for seat in &orchestration.seats {
        table.row(&seat_row(seat));
    }
    let mut text = table.render(width);
    if let Some(status) = &orchestration.status {
        for runner in &status.runners {
            let is_guest = orchestration
                .seats
                .iter()
                .all(|seat| seat.runner_id != runner.runner_id);
            if is_guest && runner.state == "running" {
                let line = format!("{} on {} works on it, too", runner.runner_id, runner.host);
                text.push_str(&(cut(&line, width) + "\n"));
            }
        }
        let (done, pages) = (done(&status.levels), pages(&status.levels));
        let line = format!("{} {}/{} pages", bar(done, pages), grouped(done), grouped(pages));
        text.push_str(&(cut(&line, width) + "\n"));
    }
    text + &cut(&line(orchestration), width)
}

/// A run with its runners in one line that can be read alone.
pub(super) fn line(orchestration: &Orchestration) -> String {
    let Some(status) = &orchestration.status else {
        return "starting runners".to_owned();
    };
    let speed: f64 = orchestration.seats.iter().map(|seat| seat.pages_per_s).sum();
    let open = status.open();
    let mut line = format!(
        "{}run {}: {} runners, {} pages, {} open, {speed:.1} pages/s",
        if orchestration.stopping { "stopping: " } else { "" },
        status.run.id,
        status.alive,
        grouped(status.run.pages_completed),
        grouped(open),
    );
    if open > 0 && speed > 0.0 {
        line.push_str(&format!(", at least {} left", duration(open as f64 / speed)));
    }
    line + &brake_in_words(&status.brake)
}

/// A table of what each runner did.
pub(super) fn parts(runners: &[RunnerSummary], width: usize) -> String {
    let mut table = Table::new(&[
        ("runner", Align::Left),
        ("pages", Align::Right),
        ("pages/s", Align::Right),
        ("retries", Align::Right),
        ("failed", Align::Right),
        ("requests", Align::Right),
        ("started", Align::Right),
        ("ended", Align::Left),
    ]);
    for runner in runners {
        table.row(&[
            runner.runner_id.clone(),
            grouped(runner.pages),
            format!("{:.1}", runner.pages_per_s),
            grouped(runner.retries),
            grouped(runner.failed),
            grouped(runner.requests),
            times(runner.processes),
            match runner.state.as_str() {
                "finished" => runner.ended_why.clone(),
                state if runner.ended_why.is_empty() => state.to_owned(),
                state => format!("{state}: {}", runner.ended_why),
            },
        ]);
    }
    table.render(width)
}

/// A table of who works or worked on a run, as the database tells.
pub(crate) fn at_work(runners: &[RunnerSummary], width: usize) -> String {
    let mut table = Table::new(COLUMNS).dropping(LEAST_MISSED);
    for runner in runners {
        let state = match runner.state.as_str() {
            "running" => format!("heard of {} ago", duration(runner.silent_s)),
            state => state.to_owned(),
        };
        let now = match runner.state.as_str() {
            "running" => format!("{} on {} ({})", runner.current_page, runner.host, runner.pid),
            _ => runner.ended_why.clone(),
        };
        table.row(&runner_row(
            &runner.runner_id,
            state,
            runner,
            runner.pages_per_s,
            now,
        ));
    }
    table.render(width)
}

/// What the brake adds, and why; empty when it is open.
pub(crate) fn brake_in_words(brake: &Brake) -> String {
    if brake.is_open() {
        return String::new();
    }
    let mut text = format!(", brake +{:.1} s a request", brake.extra.as_secs_f64());
    if !brake.blocked_for.is_zero() {
        text.push_str(&format!(
            ", none for another {}",
            duration(brake.blocked_for.as_secs_f64())
        ));
    }
    text + &format!(" ({})", brake.reason)
}

fn seat_row(seat: &SeatPicture) -> Vec<String> {
    let state = seat.state.to_owned();
    match (&seat.summary, seat.state) {
        (Some(runner), "running" | "leaving") => {
            let now = runner.current_page.clone();
            runner_row(&seat.runner_id, state, runner, seat.pages_per_s, now)
        }
        (Some(runner), _) => runner_row(&seat.runner_id, state, runner, 0.0, seat.why.clone()),
        (None, _) => {
            let mut row = vec![seat.runner_id.clone(), state];
            row.extend(std::iter::repeat_n(String::new(), COLUMNS.len() - 3));
            row.push(seat.why.clone());
            row
        }
    }
}

fn runner_row(name: &str, state: String, runner: &RunnerSummary, speed: f64, now: String) -> Vec<String> {
    vec![
        name.to_owned(),
        state,
        grouped(runner.pages),
        format!("{speed:.1}"),
        grouped(runner.retries),
        grouped(runner.failed),
        format!("{} MiB", grouped(runner.memory_bytes >> 20)),
        now,
    ]
}

fn times(processes: u64) -> String {
    match processes {
        1 => "once".to_owned(),
        more => format!("{} times", grouped(more)),
    }
}

fn pages(levels: &[LevelSummary]) -> u64 {
    levels.iter().map(|level| level.pages).sum()
}

fn done(levels: &[LevelSummary]) -> u64 {
    levels.iter().map(|level| level.pages - level.open).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unicode_width::UnicodeWidthStr;

    fn runner(name: &str, state: &str) -> RunnerSummary {
        RunnerSummary {
            runner_id: name.into(),
            host: "here".into(),
            pid: 4711,
            state: state.into(),
            ended_why: "it was killed by signal 9".into(),
            processes: 2,
            pages: 12_345,
            failed: 1,
            retries: 22,
            requests: 13_000,
            bytes: 1,
            working_s: 100.0,
            pages_per_s: 123.45,
            current_page: "cards/weiß schwarz/ヴァイス".repeat(5),
            memory_bytes: 300 << 20,
            silent_s: 1.2,
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let seats = ["running", "waiting"].map(|state| SeatPicture {
            runner_id: "runner_1".into(),
            state,
            why: "no heartbeat for 31 s".into(),
            summary: Some(runner("runner_1", "running")),
            pages_per_s: 3.0,
        });
        let orchestration = Orchestration {
            status: None,
            seats: seats.to_vec(),
            stopping: false,
        };
        for width in [40, 80, 200] {
            let text = picture(&orchestration, width);
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
        }
        let text = picture(&orchestration, 200);
        assert!(
            text.contains("300 MiB  cards/weiß") && text.contains("no heartbeat"),
            "{text}"
        );
    }

    #[test]
    fn each_runner_has_a_row_that_tells_how_it_ended() {
        let text = parts(&[runner("runner_1", "lost"), runner("runner_2", "finished")], 200);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].contains("12,345") && lines[1].contains("2 times"),
            "{text}"
        );
        assert!(lines[1].ends_with("lost: it was killed by signal 9"), "{text}");
        assert!(lines[2].ends_with("2 times  it was killed by signal 9"), "{text}");
    }

    #[test]
    fn a_closed_brake_says_why() {
        let brake = Brake {
            extra: Duration::from_secs(5),
            blocked_for: Duration::from_secs(60),
            reason: "years/hockey: 429".into(),
            ..Brake::default()
        };
        assert_eq!(
            brake_in_words(&brake),
            ", brake +5.0 s a request, none for another 60 s (years/hockey: 429)"
        );
        assert_eq!(brake_in_words(&Brake::default()), "");
    }
}
