//! Waiting for a database that is locked, restarts or is full: the same call is made again until it
//! succeeds or patience ends.

use std::future::Future;
use std::time::Duration;

use tagpipe_store::{ErrorClass, StoreError};
use tokio::time::{Instant, sleep, timeout};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a single call may go without an answer. A connection whose network went away without a word never gets one;
/// the next call takes another connection. Longer than PostgreSQL lets a frozen transaction hold its locks.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// Calls `action` until it gives another answer than "not available", for at most `patience`, be it that the database
/// says so or that it says nothing at all.
///
/// # Errors
/// The last error.
pub(crate) async fn patiently<T, F>(
    patience: Duration,
    what: &str,
    mut action: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let within = patience.min(ANSWER_WITHIN);
    persistently(patience, what, || {
        let call = action();
        async move {
            match timeout(within, call).await {
                Ok(answer) => answer,
                Err(_) => Err(no_answer(what, within)),
            }
        }
    })
    .await
}

/// The same for calls that may rightly take long, however large the database: a single one may go on as long as it
/// has to.
///
/// # Errors
/// The last error.
pub(crate) async fn persistently<T, F>(
    patience: Duration,
    what: &str,
    mut action: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut complained = false;
    loop {
        match action().await {
            Err(error) if error.class() == ErrorClass::Retry && Instant::now() + pause < deadline => {
                if !complained && pause > FIRST_PAUSE * 4 {
                    complained = true;
                    tracing::warn!(%error, patience_s = patience.as_secs(), "waiting for the database to {what}");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => {
                if complained && other.is_ok() {
                    tracing::info!("the database is back");
                }
                return other;
            }
        }
    }
}

fn no_answer(what: &str, within: Duration) -> StoreError {
    StoreError::Unavailable(format!(
        "no answer within {} s to the request to {what}",
        within.as_secs()
    ))
}
