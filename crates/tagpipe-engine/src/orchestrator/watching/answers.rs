//! Questions to a database that may be away: nobody's data depends on their answers, and everything else waits for them.

use std::future::Future;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tagpipe_store::{ErrorClass, StoreError};
use tokio::time::{Instant, timeout};

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A database that has just not answered is left alone for so long: whoever waits for it must stay able to stop.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(1);
/// A silence as long as this is worth a word.
const TOLD_AFTER: Duration = Duration::from_secs(4);

/// Asks, and remembers how the database has answered.
pub(super) struct Answers(Mutex<State>);

impl Answers {
    pub(super) fn new(now: Instant) -> Answers {
        Answers(Mutex::new(State::Answering { since: now }))
    }

    /// Since when every question was answered; `None` if the last one was not.
    pub(super) fn since(&self) -> Option<Instant> {
        match *self.state() {
            State::Answering { since } => Some(since),
            State::Silent { .. } | State::Gone(_) => None,
        }
    }

    /// For how long no question has been answered; zero while they are.
    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        match *self.state() {
            State::Silent { since, .. } => now.saturating_duration_since(since),
            State::Answering { .. } | State::Gone(_) => Duration::ZERO,
        }
    }

    /// Why there will be no answers any more.
    pub(super) fn gone(&self) -> Option<String> {
        match &*self.state() {
            State::Gone(why) => Some(why.clone()),
            State::Answering { .. } | State::Silent { .. } => None,
        }
    }

    /// `None` when there is no answer now.
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        if self.state().is_to_be_left_alone(Instant::now()) {
            return None;
        }
        let error = match timeout(ANSWER_WITHIN, question).await {
            Ok(Ok(answer)) => {
                self.state().hear(Instant::now());
                return Some(answer);
            }
            Ok(Err(StoreError::Gone(why))) => {
                *self.state() = State::Gone(why);
                return None;
            }
            // It has answered, if not what was hoped for.
            Ok(Err(error)) if error.class() != ErrorClass::Retry => {
                tracing::warn!(%error, "the database could not be asked: {what}");
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        tracing::debug!(%error, "the database could not be asked: {what}");
        self.state().miss(&error, Instant::now());
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

enum State {
    /// Every question since then was answered.
    Answering { since: Instant },
    /// None was.
    Silent {
        since: Instant,
        asked: Instant,
        is_told: bool,
    },
    /// It will not answer any more.
    Gone(String),
}

impl State {
    fn is_to_be_left_alone(&self, now: Instant) -> bool {
        match self {
            State::Answering { .. } => false,
            State::Silent { asked, .. } => now.saturating_duration_since(*asked) < LEFT_ALONE_FOR,
            State::Gone(_) => true,
        }
    }

    fn hear(&mut self, now: Instant) {
        if let State::Silent { since, is_told, .. } = self {
            if *is_told {
                tracing::info!("the database answers again, after {} s", (now - *since).as_secs());
            }
            *self = State::Answering { since: now };
        }
    }

    fn miss(&mut self, error: &str, now: Instant) {
        match self {
            State::Answering { .. } => {
                *self = State::Silent {
                    since: now,
                    asked: now,
                    is_told: false,
                };
            }
            State::Silent {
                since,
                asked,
                is_told,
            } => {
                *asked = now;
                if !*is_told && now - *since >= TOLD_AFTER {
                    *is_told = true;
                    tracing::warn!("the database does not answer, runners wait for it: {error}");
                }
            }
            State::Gone(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_database_is_left_alone_and_asked_again() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let answers = Answers::new(start);
        answers.state().miss("away", at(0));
        assert!(answers.since().is_none());
        assert!(answers.state().is_to_be_left_alone(at(999)));
        assert!(!answers.state().is_to_be_left_alone(at(1000)));
        answers.state().miss("away", at(5000));
        assert!(answers.state().is_to_be_left_alone(at(5999)));
        assert_eq!(answers.silent_for(at(7000)), Duration::from_secs(7));
        answers.state().hear(at(8000));
        assert_eq!(answers.since(), Some(at(8000)), "it counts anew");
        assert_eq!(answers.silent_for(at(9000)), Duration::ZERO);
    }

    #[tokio::test]
    async fn answers_are_handed_on_and_silence_is_remembered() {
        let answers = Answers::new(Instant::now());
        assert_eq!(answers.ask("this", async { Ok(7) }).await, Some(7));
        let refused = async { Err::<u8, _>(StoreError::Refused("no right".into())) };
        assert_eq!(answers.ask("this", refused).await, None);
        assert!(answers.since().is_some(), "a refusal is an answer");
        let away = async { Err::<u8, _>(StoreError::Unavailable("away".into())) };
        assert_eq!(answers.ask("this", away).await, None);
        assert!(answers.since().is_none());
        assert_eq!(
            answers.ask("this", async { Ok(7) }).await,
            None,
            "it is left alone"
        );
    }

    #[tokio::test]
    async fn one_that_is_gone_is_not_asked_any_more() {
        let answers = Answers::new(Instant::now());
        let gone = async { Err::<u8, _>(StoreError::Gone("it was removed".into())) };
        assert_eq!(answers.ask("this", gone).await, None);
        assert_eq!(answers.gone(), Some("it was removed".into()));
        assert_eq!(answers.ask("this", async { Ok(7) }).await, None);
    }
}
