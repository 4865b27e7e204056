//! What an order needs next: a rule over what is known of it, without a clock or a process.

use tagpipe_store::contract::RunId;
use tagpipe_store::{OrderState, Overlap, RunOrder, Steering};

use crate::orchestrator::Exit;

/// Processes that may fail one after the other before an order is given up.
pub(super) const FAILURES_MAX: u32 = 8;

/// Why an order is over whose run stopped before its end while no service saw its process end.
const LEFT_UNSEEN: &str = "its run stopped before its end while no service saw it; the run says why";

/// What is known of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts<'a> {
    pub(super) order: &'a RunOrder,
    /// Whether this service holds it.
    pub(super) is_mine: bool,
    /// The process that this service has started for it.
    pub(super) process: Process,
    /// Whether somebody works on its run now.
    pub(super) is_alive: bool,
    /// The run that others work on, or another order's that is carried out.
    pub(super) busy_with: Option<Busy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// There is none.
    None,
    /// It is to be started again, but not yet.
    Pausing,
    Running,
    Ended(Exit),
}

/// What is in the way of beginning a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    Run(RunId),
    /// An order whose run has not begun.
    Order(i64),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// Have another run stopped, and wait.
    StopOther(RunId),
    /// Take the order, if it is not mine, and begin its run.
    Begin,
    /// Take the order, if it is not mine, and go on with its run.
    Resume(RunId),
    /// Take the order, if it is not mine: somebody works on its run.
    Watch,
    /// The process has failed, and may be started again.
    Retry(String),
    /// The order is over.
    Leave(OrderState, String),
}

pub(super) fn next_step(facts: &Facts<'_>) -> Step {
    let order = facts.order;
    if !facts.is_mine && (!order.is_free || !order.is_due) {
        return Step::Wait;
    }
    match facts.process {
        Process::Running => return Step::Watch,
        Process::Pausing => return Step::Watch,
        Process::Ended(Exit::Code(130 | 143)) if order.steering == Steering::Stop => {
            return Step::Leave(OrderState::Ended, "it was stopped".to_owned());
        }
        Process::Ended(exit) => return after(exit),
        Process::None => {}
    }
    let Some(run) = order.run else {
        return beginning(facts);
    };
    if order.run_is_over {
        Step::Leave(OrderState::Ended, String::new())
    } else if facts.is_alive {
        Step::Watch
    } else if order.steering == Steering::Stop {
        Step::Leave(OrderState::Ended, "it was stopped".to_owned())
    } else if order.run_is_interrupted && order.state != OrderState::Suspended {
        // Its runners have left it in order, and not for this service's sake.
        Step::Leave(OrderState::Ended, LEFT_UNSEEN.to_owned())
    } else {
        Step::Resume(run)
    }
}

fn beginning(facts: &Facts<'_>) -> Step {
    let Some(busy) = facts.busy_with else {
        return Step::Begin;
    };
    match (facts.order.when_busy, busy) {
        (Overlap::Skip, Busy::Run(run)) => {
            Step::Leave(OrderState::Skipped, format!("run {run} was under way"))
        }
        (Overlap::Skip, Busy::Order(order)) => {
            Step::Leave(OrderState::Skipped, format!("order {order} was carried out"))
        }
        (Overlap::Stop, Busy::Run(run)) => Step::StopOther(run),
        (Overlap::Queue, _) | (Overlap::Stop, Busy::Order(_)) => Step::Wait,
    }
}

/// What the end of a process means; the codes are the program's contract with scripts.
fn after(exit: Exit) -> Step {
    let ended = |why: &str| Step::Leave(OrderState::Ended, why.to_owned());
    match exit {
        Exit::Code(0) => ended(""),
        Exit::Code(2) => Step::Leave(OrderState::Failed, "a setting is wrong".to_owned()),
        Exit::Code(3) => ended("some pages failed"),
        Exit::Code(4) => ended("sums disagree"),
        Exit::Code(5) => ended("its budget was spent"),
        Exit::Code(6) => ended("the site kept refusing"),
        Exit::Code(8) => ended("the site's layout no longer fits the profile"),
        Exit::Code(130 | 143) => ended("it was interrupted"),
        Exit::Code(7) => Step::Retry("the database went away".to_owned()),
        Exit::Code(code) => Step::Retry(format!("its process ended with {code}")),
        Exit::Signal(signal) => Step::Retry(format!("its process was ended by signal {signal}")),
        Exit::Unknown => Step::Retry("its process is gone".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(state: OrderState) -> RunOrder {
        RunOrder {
            id: 1,
            state,
            schedule: String::new(),
            planned_at: None,
            due_at: String::new(),
            ordered_by: "somebody".to_owned(),
            options: serde_json::json!({}),
            when_busy: Overlap::Skip,
            run: None,
            attempts: 0,
            reason: String::new(),
            created_at: String::new(),
            ended_at: None,
            holder: String::new(),
            is_free: true,
            is_due: true,
            run_is_over: false,
            run_is_interrupted: false,
            steering: Steering::Go,
        }
    }

    fn facts(order: &RunOrder) -> Facts<'_> {
        Facts {
            order,
            is_mine: false,
            process: Process::None,
            is_alive: false,
            busy_with: None,
        }
    }

    #[test]
    fn an_order_is_begun_when_its_time_has_come_and_nobody_holds_it() {
        let waiting = order(OrderState::Waiting);
        assert_eq!(next_step(&facts(&waiting)), Step::Begin);
        let early = RunOrder {
            is_due: false,
            ..waiting.clone()
        };
        assert_eq!(next_step(&facts(&early)), Step::Wait);
        let held = RunOrder {
            is_free: false,
            state: OrderState::Taken,
            ..waiting
        };
        assert_eq!(next_step(&facts(&held)), Step::Wait);
    }

    #[test]
    fn what_is_under_way_is_minded_as_the_order_says() {
        for (when_busy, busy, expected) in [
            (
                Overlap::Skip,
                Busy::Run(7),
                Step::Leave(OrderState::Skipped, "run 7 was under way".to_owned()),
            ),
            (
                Overlap::Skip,
                Busy::Order(3),
                Step::Leave(OrderState::Skipped, "order 3 was carried out".to_owned()),
            ),
            (Overlap::Queue, Busy::Run(7), Step::Wait),
            (Overlap::Queue, Busy::Order(3), Step::Wait),
            (Overlap::Stop, Busy::Run(7), Step::StopOther(7)),
            (Overlap::Stop, Busy::Order(3), Step::Wait),
        ] {
            let order = RunOrder {
                when_busy,
                ..order(OrderState::Waiting)
            };
            let facts = Facts {
                busy_with: Some(busy),
                ..facts(&order)
            };
            assert_eq!(next_step(&facts), expected, "{when_busy:?} {busy:?}");
        }
    }

    #[test]
    fn a_run_that_its_service_left_is_taken_up_and_one_that_people_ended_is_not() {
        let with_run = |state, change: fn(&mut RunOrder)| {
            let mut order = RunOrder {
                run: Some(5),
                ..order(state)
            };
            change(&mut order);
            order
        };
        for (order, is_alive, expected) in [
            // The service was killed and its processes with it.
            (with_run(OrderState::Taken, |_| {}), false, Step::Resume(5)),
            // The service alone was killed.
            (with_run(OrderState::Taken, |_| {}), true, Step::Watch),
            // The service left in order, and its run with it.
            (
                with_run(OrderState::Suspended, |order| order.run_is_interrupted = true),
                false,
                Step::Resume(5),
            ),
            (
                with_run(OrderState::Taken, |order| order.run_is_interrupted = true),
                false,
                Step::Leave(OrderState::Ended, LEFT_UNSEEN.to_owned()),
            ),
            (
                with_run(OrderState::Taken, |order| order.steering = Steering::Stop),
                false,
                Step::Leave(OrderState::Ended, "it was stopped".to_owned()),
            ),
            (
                with_run(OrderState::Suspended, |order| order.run_is_over = true),
                false,
                Step::Leave(OrderState::Ended, String::new()),
            ),
        ] {
            let facts = Facts {
                is_alive,
                ..facts(&order)
            };
            assert_eq!(next_step(&facts), expected, "{order:?}");
        }
    }

    #[test]
    fn every_end_of_a_process_is_either_the_end_of_the_order_or_tried_again() {
        let order = RunOrder {
            run: Some(5),
            is_free: false,
            ..order(OrderState::Taken)
        };
        for code in 0..=255 {
            let facts = Facts {
                is_mine: true,
                process: Process::Ended(Exit::Code(code)),
                ..facts(&order)
            };
            let step = next_step(&facts);
            let is_over = matches!(step, Step::Leave(OrderState::Ended | OrderState::Failed, _));
            assert_eq!(
                is_over,
                matches!(code, 0 | 2..=6 | 8 | 130 | 143),
                "{code}: {step:?}"
            );
            assert!(is_over || matches!(step, Step::Retry(_)), "{code}: {step:?}");
        }
    }
}
