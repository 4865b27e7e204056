//! Questions to a database that may be away: nobody's data depends on their answers, and everything else waits for them.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tagpipe_store::StoreError;
use tokio::time::{Instant, timeout};

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks, and remembers since when there were answers without a break.
pub(super) struct Answers(Mutex<Option<Instant>>);

impl Answers {
    pub(super) fn new(now: Instant) -> Answers {
        Answers(Mutex::new(Some(now)))
    }

    /// Since when every question was answered; `None` if the last one was not.
    pub(super) fn since(&self) -> Option<Instant> {
        *self.0.lock().expect("no holder of this lock panics")
    }

    /// `None` when there is no answer now.
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        let error = match timeout(ANSWER_WITHIN, question).await {
            Ok(Ok(answer)) => {
                self.remember(|since| since.or_else(|| Some(Instant::now())));
                return Some(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        self.remember(|_| None);
        tracing::debug!(%error, "the database could not be asked: {what}");
        None
    }

    fn remember(&self, change: impl FnOnce(Option<Instant>) -> Option<Instant>) {
        let mut since = self.0.lock().expect("no holder of this lock panics");
        *since = change(*since);
    }
}
