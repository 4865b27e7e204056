//! What a runner's signs say: rules over numbers, without a clock, a process or a database.

use std::time::Duration;

use tagpipe_store::monitor::RunnerOverview;

use crate::summary::RunnerSummary;

/// A runner as it shows at one check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    /// Since its last heartbeat; `None` if it has not been entered yet.
    pub(super) silent: Option<Duration>,
    /// Since its process was started.
    pub(super) age: Duration,
    /// Since its counters last moved.
    pub(super) idle: Duration,
    /// Whether it holds pages.
    pub(super) holds_pages: bool,
    /// Memory it uses, in bytes.
    pub(super) memory_bytes: u64,
    /// Its reads lately.
    pub(super) lately: Reads,
    /// The reads of all others lately.
    pub(super) others_lately: Reads,
}

/// Reads, and those of them that have to be repeated or were given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) all: u64,
    pub(super) bad: u64,
}

impl From<&RunnerOverview> for Reads {
    fn from(process: &RunnerOverview) -> Reads {
        Reads::of(process.pages_completed, process.pages_failed + process.retries)
    }
}

impl From<&RunnerSummary> for Reads {
    fn from(runner: &RunnerSummary) -> Reads {
        Reads::of(runner.pages, runner.failed + runner.retries)
    }
}

impl Reads {
    fn of(good: u64, bad: u64) -> Reads {
        Reads { all: good + bad, bad }
    }

    fn bad_share(self) -> f64 {
        self.bad as f64 / self.all.max(1) as f64
    }
}

/// How much is put up with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    /// Longest silence; `None` while the database could not be asked all the time, so that silence says nothing.
    pub(super) silence: Option<Duration>,
    /// Longest time until a process is entered.
    pub(super) start: Duration,
    /// Longest time with pages in hand and no counter moving; `None` while the site allows no request.
    pub(super) idle: Option<Duration>,
    /// Most memory, in bytes.
    pub(super) memory_bytes: u64,
}

/// What is wrong with a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Complaint {
    /// It does not answer: it is killed, and replaced.
    Hangs(String),
    /// It works, but badly: it is asked to finish what it has in hand, and replaced.
    Unwell(String),
}

/// Reads that are needed to say anything about a share of them.
const READS_MIN: u64 = 20;

/// Looks a runner over.
pub(super) fn examine(signs: &Signs, tolerance: &Tolerance) -> Option<Complaint> {
    let hangs = |why: String| Some(Complaint::Hangs(why));
    match (signs.silent, tolerance.silence) {
        (None, Some(_)) if signs.age > tolerance.start => {
            return hangs(format!(
                "it did not begin within {} s; does it run `tagpipe run` with the arguments it is given?",
                tolerance.start.as_secs()
            ));
        }
        (Some(silent), Some(most)) if silent > most => {
            return hangs(format!("no heartbeat for {:.0} s", silent.as_secs_f64()));
        }
        _ => {}
    }
    if let Some(most) = tolerance.idle
        && signs.holds_pages
        && signs.idle > most
    {
        return hangs(format!(
            "it has pages in hand and has read none for {} s",
            signs.idle.as_secs()
        ));
    }
    if signs.memory_bytes > tolerance.memory_bytes {
        let mib = |bytes: u64| bytes >> 20;
        return Some(Complaint::Unwell(format!(
            "it uses {} MiB of memory, more than {}",
            mib(signs.memory_bytes),
            mib(tolerance.memory_bytes)
        )));
    }
    if is_unlike_the_others(signs.lately, signs.others_lately) {
        return Some(Complaint::Unwell(format!(
            "{} of its last {} reads failed, of the others' {} of {}",
            signs.lately.bad, signs.lately.all, signs.others_lately.bad, signs.others_lately.all
        )));
    }
    None
}

/// Whether one fails where others do not: then it is not the site.
fn is_unlike_the_others(own: Reads, others: Reads) -> bool {
    own.all >= READS_MIN
        && others.all >= READS_MIN
        && own.bad_share() > 0.5
        && others.bad_share() < own.bad_share() / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TOLERANCE: Tolerance = Tolerance {
        silence: Some(Duration::from_secs(30)),
        start: Duration::from_secs(300),
        idle: Some(Duration::from_secs(300)),
        memory_bytes: 1 << 30,
    };

    fn well() -> Signs {
        Signs {
            silent: Some(SECOND),
            age: 1000 * SECOND,
            idle: 200 * SECOND,
            holds_pages: true,
            memory_bytes: 1 << 29,
            lately: Reads { all: 100, bad: 10 },
            others_lately: Reads { all: 400, bad: 40 },
        }
    }

    fn complaint(signs: &Signs, tolerance: &Tolerance) -> String {
        match examine(signs, tolerance) {
            Some(Complaint::Hangs(why)) => format!("hangs: {why}"),
            Some(Complaint::Unwell(why)) => format!("unwell: {why}"),
            None => String::new(),
        }
    }

    #[test]
    fn each_sign_is_noticed_and_nothing_else_is() {
        let cases = [
            (well(), ""),
            (
                Signs {
                    silent: Some(31 * SECOND),
                    ..well()
                },
                "hangs: no heartbeat for 31 s",
            ),
            (
                Signs {
                    silent: None,
                    age: 299 * SECOND,
                    ..well()
                },
                "",
            ),
            (
                Signs {
                    silent: None,
                    age: 301 * SECOND,
                    ..well()
                },
                "hangs: it did not begin within 300 s; does it run `tagpipe run` with the arguments it is given?",
            ),
            (
                Signs {
                    idle: 301 * SECOND,
                    ..well()
                },
                "hangs: it has pages in hand and has read none for 301 s",
            ),
            (
                Signs {
                    idle: 301 * SECOND,
                    holds_pages: false,
                    ..well()
                },
                "",
            ),
            (
                Signs {
                    memory_bytes: 3 << 30,
                    ..well()
                },
                "unwell: it uses 3072 MiB of memory, more than 1024",
            ),
            (
                Signs {
                    lately: Reads { all: 30, bad: 29 },
                    ..well()
                },
                "unwell: 29 of its last 30 reads failed, of the others' 40 of 400",
            ),
            // A site that is unwell is so for everybody.
            (
                Signs {
                    lately: Reads { all: 30, bad: 29 },
                    others_lately: Reads { all: 400, bad: 390 },
                    ..well()
                },
                "",
            ),
            (
                Signs {
                    lately: Reads { all: 19, bad: 19 },
                    ..well()
                },
                "",
            ),
            (
                Signs {
                    lately: Reads { all: 30, bad: 30 },
                    others_lately: Reads::default(),
                    ..well()
                },
                "",
            ),
        ];
        for (signs, expected) in cases {
            assert_eq!(complaint(&signs, &TOLERANCE), expected, "{signs:?}");
        }
    }

    #[test]
    fn silence_and_idleness_say_nothing_while_nobody_could_do_otherwise() {
        let signs = Signs {
            silent: Some(99 * SECOND),
            idle: 9999 * SECOND,
            ..well()
        };
        let blind = Tolerance {
            silence: None,
            idle: None,
            ..TOLERANCE
        };
        assert_eq!(complaint(&signs, &blind), "");
    }
}
