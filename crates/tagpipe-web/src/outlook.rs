//! Whether a run's numbers can still change, by which pages and streams know whether there is anything to wait for.

use tagpipe_engine::RunStatus;
use tagpipe_store::{OrderState, Store, StoreError};

/// What is to be expected of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It is under way.
    Moves,
    /// It stopped before its end, and a service is to have it go on.
    GoesOn,
    /// It came to its end, or stays where it stopped until people have it go on.
    Rests,
}

impl Outlook {
    /// Of the run with this status.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub(crate) async fn of(store: &Store, status: &RunStatus) -> Result<Outlook, StoreError> {
        if status.run.is_over() {
            return Ok(Outlook::Rests);
        }
        if status.run.state != "interrupted" {
            return Ok(Outlook::Moves);
        }
        let order = store.order_of_run(status.run.id).await?;
        let is_ordered =
            order.is_some_and(|order| matches!(order.state, OrderState::Taken | OrderState::Suspended));
        Ok(if is_ordered {
            Outlook::GoesOn
        } else {
            Outlook::Rests
        })
    }
}
