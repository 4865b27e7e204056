//! Stopping: a first request lets pages in hand finish, a second one drops them. Either way nothing is lost,
//! because a page is committed whole or not at all.

use tokio::sync::watch;

/// How urgently somebody wants the run to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopRequest {
    /// Nobody does.
    None,
    /// Finish the pages in hand.
    Graceful,
    /// At once.
    Now,
}

/// Where requests to stop are made and waited for. Clones share one state.
#[derive(Debug, Clone)]
pub struct Shutdown {
    state: watch::Sender<StopRequest>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown {
            state: watch::Sender::new(StopRequest::None),
        }
    }
}

impl Shutdown {
    /// Asks to stop, one step more urgently than before.
    pub fn request(&self) {
        self.state.send_modify(|state| {
            *state = match state {
                StopRequest::None => StopRequest::Graceful,
                StopRequest::Graceful | StopRequest::Now => StopRequest::Now,
            };
        });
    }

    /// What has been asked for.
    #[must_use]
    pub fn requested(&self) -> StopRequest {
        *self.state.borrow()
    }

    /// Waits until at least `level` has been asked for.
    pub async fn wait_for(&self, level: StopRequest) {
        let mut watcher = self.state.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = watcher.wait_for(|state| *state >= level).await;
    }
}
