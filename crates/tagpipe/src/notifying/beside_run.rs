//! Telling people beside a run of this process. Whatever fails here is said and changes nothing about the run.

use tagpipe_store::{DatabaseUrl, Store, StoreError};

use super::{Courier, Receivers, Telling};
use crate::commands::wait_for_signal;

/// A courier with a database of its own, as long as the run lasts.
pub(crate) struct BesideRun(Option<(Store, Telling)>);

impl BesideRun {
    /// Begins to tell `receivers` what happens, if there are any. The database is there and up to date.
    pub(crate) async fn start(receivers: Receivers, database: &DatabaseUrl) -> BesideRun {
        if receivers.is_empty() || *database == DatabaseUrl::Memory {
            return BesideRun(None);
        }
        match begin(receivers, database).await {
            Ok(begun) => BesideRun(Some(begun)),
            Err(error) => {
                tracing::warn!(%error, "nobody is told what happens; `tagpipe notify send` does so later");
                BesideRun(None)
            }
        }
    }

    /// Sends what is there at the end of the run, for a bounded time, or until somebody does not want to wait.
    pub(crate) async fn finish(self) {
        let Some((store, telling)) = self.0 else { return };
        tokio::select! {
            () = telling.finish() => {}
            _ = wait_for_signal() => {}
        }
        store.close().await;
    }
}

async fn begin(receivers: Receivers, database: &DatabaseUrl) -> Result<(Store, Telling), StoreError> {
    let store = Store::open(database, false).await?;
    let courier = Courier::new(store.clone(), receivers);
    courier.enter_channels().await?;
    Ok((store, courier.start()))
}
