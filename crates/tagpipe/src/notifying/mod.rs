//! Sends news to the channels of the settings: takes what is due from the outbox, sends it, and records what became of it.
//!
//! - **At least once.** What was sent and not recorded, because the process died in between, is sent again under the same id.
//! - **One process sends to a channel at a time**, for a term, so that in normal operation nothing is sent twice.
//! - **A channel is no other channel's business**: each has a task, so that one that hangs delays none.
//! - Nothing here may fail or hold up a run: see [`BesideRun`].

use std::sync::Arc;
use std::time::Duration;

use tagpipe_sinks::notify::{Channel, Notifier, notifier};
use tagpipe_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::Url;
use uuid::Uuid;

use crate::exit::Failure;
use crate::settings::{Merged, channels, dashboard_url};

mod beside_run;
mod turn;

pub(crate) use beside_run::BesideRun;
use turn::Turn;

/// How often the outbox is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a channel stays with a process that is not heard of any more: longer than an attempt takes.
pub(crate) const TERM: Duration = Duration::from_secs(20);
/// How long the last look of a process may take.
const LAST_LOOK_WITHIN: Duration = Duration::from_secs(12);
/// How long it may take to give channels back.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Whom to tell what happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receivers {
    channels: Vec<Channel>,
    dashboard: Option<Url>,
}

impl Receivers {
    /// The channels of the settings.
    pub(crate) fn of(merged: &Merged) -> Result<Receivers, Failure> {
        Ok(Receivers {
            channels: channels(merged)?,
            dashboard: dashboard_url(merged)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }
}

/// Sends what is due. Clones share everything.
#[derive(Clone)]
pub(crate) struct Courier {
    store: Store,
    receivers: Arc<Vec<Receiver>>,
    dashboard: Option<Url>,
    /// Tells this process from every other one that sends.
    instance: Arc<str>,
}

struct Receiver {
    channel: Channel,
    notifier: Box<dyn Notifier>,
}

/// Which look at the outbox it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Others follow.
    OneOfMany,
    /// No other one may follow soon: digests are over.
    Last {
        /// When it has to be over, what became of it recorded; `None` if there is time.
        until: Option<Instant>,
    },
}

impl Look {
    fn is_last(self) -> bool {
        matches!(self, Look::Last { .. })
    }
}

/// What became of messages in a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// They arrived.
    pub(crate) sent: usize,
    /// They are tried again later.
    pub(crate) put_off: usize,
    /// They were given up.
    pub(crate) given_up: usize,
    /// Of those that arrived: not at everybody.
    pub(crate) in_part: usize,
    /// News, and messages that were not taken, that wait for quiet hours or a digest to end.
    pub(crate) waiting: usize,
    /// Channels that another process is sending to.
    pub(crate) busy: usize,
}

impl std::ops::AddAssign for Looked {
    fn add_assign(&mut self, more: Looked) {
        self.sent += more.sent;
        self.put_off += more.put_off;
        self.given_up += more.given_up;
        self.in_part += more.in_part;
        self.waiting += more.waiting;
        self.busy += more.busy;
    }
}

/// Courier at work, until it is told to finish.
pub(crate) struct Telling {
    courier: Courier,
    /// When everything has to be over; `None` while there is no end.
    end: watch::Sender<Option<Instant>>,
    tasks: JoinSet<Result<Looked, StoreError>>,
}

impl Courier {
    /// A courier to `receivers`. A channel that cannot be sent to by its settings is left alone, and said so; what it was to be
    /// told waits.
    pub(crate) fn new(store: Store, receivers: Receivers) -> Courier {
        let ready = receivers
            .channels
            .into_iter()
            .filter_map(|channel| match notifier(&channel.way) {
                Ok(notifier) => Some(Receiver { channel, notifier }),
                Err(error) => {
                    tracing::error!(channel = channel.name, %error, "nothing can be sent to the channel");
                    None
                }
            });
        Courier {
            store,
            receivers: Arc::new(ready.collect()),
            dashboard: receivers.dashboard,
            instance: Uuid::new_v4().to_string().into(),
        }
    }

    /// From now on, news is for these channels, whoever sends it.
    pub(crate) async fn enter_channels(&self) -> Result<(), StoreError> {
        let names: Vec<&str> = self
            .receivers
            .iter()
            .map(|receiver| receiver.channel.name.as_str())
            .collect();
        self.store.enter_channels(&names).await
    }

    /// Sends what is due from now on, until it is told to finish.
    pub(crate) fn start(self) -> Telling {
        let (end, ends) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for index in 0..self.receivers.len() {
            let (courier, ends) = (self.clone(), ends.clone());
            tasks.spawn(async move { courier.tell(&courier.receivers[index], ends).await });
        }
        Telling {
            courier: self,
            end,
            tasks,
        }
    }

    /// Looks at all channels once.
    pub(crate) async fn look(&self, look: Look) -> Result<Looked, StoreError> {
        let mut looks = JoinSet::new();
        for index in 0..self.receivers.len() {
            let courier = self.clone();
            looks.spawn(async move { Turn::new(&courier, &courier.receivers[index]).take(look).await });
        }
        all_of(&mut looks).await
    }

    /// Has one channel told what is due until there is to be an end, and then a last time.
    async fn tell(
        &self,
        receiver: &Receiver,
        mut ends: watch::Receiver<Option<Instant>>,
    ) -> Result<Looked, StoreError> {
        let mut is_troubled = false;
        while ends.borrow().is_none() {
            let looked = Turn::new(self, receiver).take(Look::OneOfMany).await;
            match (&looked, is_troubled) {
                (Err(error), false) => {
                    let channel = &receiver.channel.name;
                    tracing::warn!(channel, %error, "news waits for the database");
                }
                (Ok(_), true) => tracing::info!("news goes out again"),
                _ => {}
            }
            is_troubled = looked.is_err();
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                // Where nobody is left who could name an end, it is now.
                _ = ends.wait_for(Option::is_some) => {}
            }
        }
        let until = *ends.borrow();
        Turn::new(self, receiver).take(Look::Last { until }).await
    }
}

impl Telling {
    /// Has each channel told a last time, for a bounded time, and stops. What is not sent by then stays for later.
    pub(crate) async fn finish(mut self) {
        if self.courier.receivers.is_empty() {
            return;
        }
        let end = Instant::now() + LAST_LOOK_WITHIN;
        self.end.send_replace(Some(end));
        match timeout_at(end, all_of(&mut self.tasks)).await {
            Ok(Ok(looked)) if looked.put_off + looked.busy > 0 => {
                tracing::info!("some news was not sent yet; `tagpipe notify send` tries again");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "news stays in the outbox; `tagpipe notify send` sends it");
            }
            Err(_) => {
                tracing::warn!(
                    "news stays in the outbox, because it took too long; `tagpipe notify send` sends it"
                );
                self.tasks.abort_all();
                // Where that cannot be said, the term runs out by itself.
                let leaving = self.courier.store.leave_channels(&self.courier.instance);
                let _ = timeout(LEAVE_WITHIN, leaving).await;
            }
        }
    }
}

/// What all looks have come to.
async fn all_of(looks: &mut JoinSet<Result<Looked, StoreError>>) -> Result<Looked, StoreError> {
    let mut all = Looked::default();
    let mut failed = None;
    while let Some(looked) = looks.join_next().await {
        match looked {
            Ok(Ok(looked)) => all += looked,
            Ok(Err(error)) => failed = Some(error),
            Err(error) => failed = Some(StoreError::Bug(format!("a look at a channel failed: {error}"))),
        }
    }
    failed.map_or(Ok(all), Err)
}
