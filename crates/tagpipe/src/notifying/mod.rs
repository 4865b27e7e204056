//! Sends news to the channels of the settings: takes what is due from the outbox, sends it, and records what became of it.
//!
//! - **At least once.** What was sent and not recorded, because the process died in between, is sent again under the same id.
//! - **One process sends to a channel at a time**, for a term, so that in normal operation nothing is sent twice.
//! - **A channel is no other channel's business**: each has a task, so that one that hangs delays none.
//! - Nothing here may fail or hold up a run: see [`BesideRun`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tagpipe_engine::{Shutdown, StopRequest};
use tagpipe_sinks::notify::rules::{Due, Waiting, due, pause};
use tagpipe_sinks::notify::{Channel, Item, Message, Notifier, Outcome, notifier};
use tagpipe_store::{MessageEnd, OpenMessage, RecordedNews, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use url::Url;
use uuid::Uuid;

use crate::exit::Failure;
use crate::settings::{Merged, channels, dashboard_url};

mod beside_run;

pub(crate) use beside_run::BesideRun;

/// How often the outbox is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a message may take to be sent.
const SEND_WITHIN: Duration = Duration::from_secs(20);
/// How long a channel stays with a process that is not heard of any more: longer than a message takes.
pub(crate) const TERM: Duration = Duration::from_secs(45);
/// How long the last look of a process may take.
const LAST_LOOK_WITHIN: Duration = Duration::from_secs(15);
/// News that a message tells in full.
const TOLD_MAX: u32 = 20;
/// Messages to a channel that are on their way; further news is collected while the other side does not answer.
const OPEN_MAX: usize = 3;
/// How long news is kept.
const KEEP_NEWS: Duration = Duration::from_secs(90 * 24 * 3600);

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
    Last,
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
    /// News that waits, for quiet hours to end for example.
    pub(crate) waiting: usize,
    /// Channels that another process is sending to.
    pub(crate) busy: usize,
}

impl std::ops::AddAssign for Looked {
    fn add_assign(&mut self, more: Looked) {
        self.sent += more.sent;
        self.put_off += more.put_off;
        self.given_up += more.given_up;
        self.waiting += more.waiting;
        self.busy += more.busy;
    }
}

/// Courier at work, until it is told to finish.
pub(crate) struct Telling {
    courier: Courier,
    stop: Shutdown,
    tasks: JoinSet<()>,
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
        let stop = Shutdown::default();
        let mut tasks = JoinSet::new();
        for index in 0..self.receivers.len() {
            let (courier, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move { courier.tell(&courier.receivers[index], &stop).await });
        }
        Telling {
            courier: self,
            stop,
            tasks,
        }
    }

    /// Looks at all channels once.
    pub(crate) async fn look(&self, look: Look) -> Result<Looked, StoreError> {
        let mut looks = JoinSet::new();
        for index in 0..self.receivers.len() {
            let courier = self.clone();
            looks.spawn(async move { courier.look_at(&courier.receivers[index], look).await });
        }
        let mut all = Looked::default();
        let mut failed = None;
        while let Some(looked) = looks.join_next().await {
            match looked {
                Ok(Ok(looked)) => all += looked,
                Ok(Err(error)) => failed = Some(error),
                Err(error) => failed = Some(StoreError::Bug(format!("a look at a channel failed: {error}"))),
            }
        }
        self.store.leave_channels(&self.instance).await?;
        failed.map_or(Ok(all), Err)
    }

    async fn tell(&self, receiver: &Receiver, stop: &Shutdown) {
        let mut is_troubled = false;
        while stop.requested() == StopRequest::None {
            let looked = self.look_at(receiver, Look::OneOfMany).await;
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
                () = stop.wait_for(StopRequest::Graceful) => {}
            }
        }
    }

    /// Has one channel told what is due. Nothing is written while nothing is.
    async fn look_at(&self, receiver: &Receiver, look: Look) -> Result<Looked, StoreError> {
        let (store, channel) = (&self.store, &receiver.channel);
        let mut looked = Looked::default();
        if !self.sort(channel).await? {
            looked.busy = 1;
            return Ok(looked);
        }
        let mut open = store.open_messages(&channel.name).await?;
        let (now_us, waiting) = store.waiting_news(&channel.name).await?;
        let waiting: Vec<Waiting> = waiting
            .iter()
            .map(|one| Waiting {
                id: one.id,
                level: one.level,
                since: moment(one.created_us),
            })
            .collect();
        looked.waiting = waiting.len();
        if let Due::Now(ids) = due(moment(now_us), &waiting, &channel.rules, look == Look::Last)
            && open.len() < OPEN_MAX
        {
            if !self.hold(channel).await? {
                looked.busy = 1;
                return Ok(looked);
            }
            let message = Uuid::now_v7().to_string();
            if store
                .pack_news(&channel.name, &self.instance, &message, &ids)
                .await?
            {
                looked.waiting -= ids.len();
                open = store.open_messages(&channel.name).await?;
            }
        }
        for message in open {
            if !message.is_due {
                looked.put_off += 1;
                continue;
            }
            match self.send(receiver, &message).await? {
                None => looked.busy = 1,
                Some(MessageEnd::Sent) => looked.sent += 1,
                Some(MessageEnd::Failed { .. }) => looked.given_up += 1,
                // What does not take one message takes no other: it has its pause.
                Some(MessageEnd::Retry { .. }) => {
                    looked.put_off += 1;
                    break;
                }
            }
        }
        if looked.sent + looked.given_up > 0 {
            store.prune_news(KEEP_NEWS).await?;
        }
        if looked.sent + looked.given_up + looked.put_off > 0 && look == Look::OneOfMany {
            store.leave_channel(&channel.name, &self.instance).await?;
        }
        Ok(looked)
    }

    /// Decides about news that the channel has not looked at. `false` if another process sends to it.
    async fn sort(&self, channel: &Channel) -> Result<bool, StoreError> {
        loop {
            let unsorted = self.store.news_to_sort(&channel.name).await?;
            if unsorted.is_empty() {
                return Ok(true);
            }
            let sorted: Vec<(i64, bool)> = unsorted
                .iter()
                .map(|headline| (headline.id, channel.rules.wants(headline.kind, headline.level)))
                .collect();
            let is_mine = self.hold(channel).await?;
            if !is_mine
                || !self
                    .store
                    .sort_news(&channel.name, &self.instance, &sorted)
                    .await?
            {
                return Ok(false);
            }
        }
    }

    /// Sends a message and records what became of it. `None` if it is not for this process to send.
    async fn send(
        &self,
        receiver: &Receiver,
        message: &OpenMessage,
    ) -> Result<Option<MessageEnd>, StoreError> {
        let (store, name) = (&self.store, &receiver.channel.name);
        if !self.hold(&receiver.channel).await?
            || !store.begin_message(name, &self.instance, &message.id).await?
        {
            return Ok(None);
        }
        let packed = store.packed_news(&message.id, TOLD_MAX).await?;
        let items = packed.first.into_iter().map(|news| self.item(news));
        let whole = Message {
            id: message.id.clone(),
            counts: packed.counts,
            items: items.collect(),
        };
        let outcome = timeout(SEND_WITHIN, receiver.notifier.send(&whole))
            .await
            .unwrap_or_else(|_| Outcome::Retry {
                after: None,
                why: format!("it took longer than {} s", SEND_WITHIN.as_secs()),
            });
        let end = ending(outcome, message.attempts + 1);
        store.end_message(name, &message.id, &end).await?;
        log(name, &whole, &end);
        Ok(Some(end))
    }

    fn item(&self, news: RecordedNews) -> Item {
        let run_page = |run: i64| self.dashboard.as_ref()?.join(&format!("runs/{run}")).ok();
        Item {
            link: news.run_id.and_then(run_page).map(|url| url.to_string()),
            id: news.id,
            at: news.created_at,
            kind: news.kind,
            level: news.level,
            title: news.title,
            text: news.text,
            facts: news.facts,
            run: news.run_id,
        }
    }

    async fn hold(&self, channel: &Channel) -> Result<bool, StoreError> {
        self.store.hold_channel(&channel.name, &self.instance, TERM).await
    }
}

impl Telling {
    /// Looks a last time, for a bounded time, and stops. What is not sent by then stays for later.
    pub(crate) async fn finish(mut self) {
        self.stop.request();
        let rest = async {
            while self.tasks.join_next().await.is_some() {}
            self.courier.look(Look::Last).await
        };
        match timeout(LAST_LOOK_WITHIN, rest).await {
            Ok(Ok(looked)) if looked.put_off + looked.busy > 0 => {
                tracing::info!("some news was not sent yet; `tagpipe notify send` tries again");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "news stays in the outbox; `tagpipe notify send` sends it")
            }
            Err(_) => {
                tracing::warn!(
                    "news stays in the outbox, because it took too long; `tagpipe notify send` sends it"
                );
            }
        }
    }
}

/// What an outcome leads to after this many attempts.
fn ending(outcome: Outcome, attempts: u32) -> MessageEnd {
    match outcome {
        Outcome::Delivered => MessageEnd::Sent,
        Outcome::Permanent { why } => MessageEnd::Failed { why },
        Outcome::Retry { after, why } => match pause(attempts, after, fastrand::f64()) {
            Some(after) => MessageEnd::Retry { after, why },
            None => MessageEnd::Failed {
                why: format!("{why} (after {attempts} attempts)"),
            },
        },
    }
}

fn log(channel: &str, message: &Message, end: &MessageEnd) {
    let (id, news) = (&message.id, message.total());
    match end {
        MessageEnd::Sent => tracing::info!(channel, message = id, news, "the channel was told"),
        MessageEnd::Retry { after, why } => {
            let pause_s = after.as_secs_f64();
            tracing::warn!(
                channel,
                message = id,
                news,
                pause_s,
                "the channel was not told yet: {why}"
            );
        }
        MessageEnd::Failed { why } => {
            tracing::error!(
                channel,
                message = id,
                news,
                "the channel was not told, and will not be: {why}"
            );
        }
    }
}

fn moment(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX)
}
