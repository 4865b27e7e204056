//! The end: what all runners together have brought about, and what is written of it.

use std::time::Duration;

use tagpipe_store::{ErrorClass, StoreError};
use tokio::time::{Instant, sleep};

use super::super::seat::{SeatState, Verdict};
use super::answers::Answers;
use super::{Stopping, Watching};
use crate::error::RunError;
use crate::runner::Halt;
use crate::summary::{OwnPart, RunEnd, Summary};

/// How often the database is asked again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

impl Watching<'_> {
    /// The end of the run as all runners together have brought about. A database that is away just now is waited for.
    pub(super) async fn sum_up(mut self) -> Result<Summary, RunError> {
        if let Some(why) = self.answers.gone() {
            return Err(RunError::Store(StoreError::Gone(why)));
        }
        let patience = self.of.pipeline.settings().database_patience;
        let deadline = Instant::now() + patience.saturating_sub(self.answers.silent_for(Instant::now()));
        loop {
            // It is asked now, however it has answered before.
            self.answers = Answers::new(Instant::now());
            match self.try_to_sum_up().await {
                Err(RunError::Store(error))
                    if error.class() == ErrorClass::Retry && Instant::now() < deadline =>
                {
                    tracing::warn!(%error, "waiting for the database to sum up");
                    sleep(RETRY_EVERY).await;
                }
                Ok(_) if let Some(away) = self.gave_up_on_the_database() => {
                    return Err(RunError::Store(StoreError::Unavailable(format!(
                        "it did not answer for {} s, and all runners were stopped",
                        away.as_secs()
                    ))));
                }
                other => return other,
            }
        }
    }

    fn gave_up_on_the_database(&self) -> Option<Duration> {
        self.stopping.as_ref().and_then(|stopping| stopping.database_away)
    }

    async fn try_to_sum_up(&self) -> Result<Summary, RunError> {
        self.sweep("its process is gone").await;
        let pipeline = &self.of.pipeline;
        let run = self.run;
        let is_over = pipeline
            .patiently("look at the run", || self.store.run_overview(run))
            .await?
            .is_some_and(|run| run.is_over());
        let end = if is_over {
            let discrepancies = self.store.discrepancies_of(run).await?;
            pipeline.end_reached(run, &Halt::Drained, discrepancies).await?
        } else {
            self.unfinished_end()
        };
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let requests = self.store.runner_totals(run).await?.requests - self.requests_before;
        let own = OwnPart {
            runner_id: pipeline.settings().runner_id.clone(),
            resumed: self.resumed,
            joined: false,
            elapsed_s,
            requests,
            interval_s: pipeline.settings().interval.as_secs_f64(),
        };
        let summary = pipeline.summary_of(run, end, own).await?;
        if is_over {
            let stored = serde_json::to_value(&summary).expect("own types serialise");
            self.store.replace_summary(run, &stored).await?;
        } else {
            self.leave(&summary).await?;
        }
        self.store.end_orchestrator(run, &self.instance).await?;
        Ok(summary)
    }

    fn unfinished_end(&self) -> RunEnd {
        let empty_for = |wanted: fn(&Verdict) -> bool| {
            self.seats
                .iter()
                .any(|seat| matches!(&seat.state, SeatState::Empty(verdict) if wanted(verdict)))
        };
        let budget = self.of.pipeline.settings().budget;
        match &self.stopping {
            Some(Stopping { alarm: Some(end), .. }) => end.clone(),
            Some(_) => RunEnd::Interrupted,
            None if empty_for(|verdict| *verdict == Verdict::BudgetSpent) => {
                RunEnd::BudgetSpent(match (budget.max_pages, budget.max_duration) {
                    (Some(pages), _)
                        if budget.max_duration.is_none_or(|all| self.started.elapsed() < all) =>
                    {
                        format!("{pages} page reads, as --max-pages allows")
                    }
                    (_, Some(time)) => format!("{:.0} s, as --max-duration allows", time.as_secs_f64()),
                    _ => "its budget".to_owned(),
                })
            }
            None => RunEnd::RunnersLost(format!(
                "no runner is left and none can be started: {}",
                self.last_word()
            )),
        }
    }

    fn last_word(&self) -> String {
        let mut words = self.seats.iter().filter_map(|seat| match &seat.state {
            SeatState::Empty(Verdict::Hopeless(why)) => Some(format!("{}: {why}", seat.runner_id)),
            _ => None,
        });
        words
            .next_back()
            .unwrap_or_else(|| "they ended before the run did".to_owned())
    }

    /// Writes the end of an unfinished run, if no runner of somebody else's works on it.
    async fn leave(&self, summary: &Summary) -> Result<(), RunError> {
        // The last runner has said so already; what is known here is more.
        self.of
            .pipeline
            .patiently("take the run up again", || self.store.set_running(self.run))
            .await?;
        if !self
            .of
            .pipeline
            .end_unfinished(&self.instance, summary, None)
            .await?
        {
            tracing::warn!(run = self.run, "other runners go on with the run");
        }
        Ok(())
    }
}
