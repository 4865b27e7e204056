//! One look at one channel: what it is to be told is sorted in, packed and sent.
//!
//! What is only looked at takes no right to the channel and writes nothing, so that an idle courier costs some reads a second.

use std::time::Duration;

use jiff::Timestamp;
use tagpipe_core::news::NewsLevel;
use tagpipe_sinks::notify::rules::{Due, Waiting, due, pause};
use tagpipe_sinks::notify::{Channel, Item, Message, Outcome, SEND_WITHIN};
use tagpipe_store::{MessageEnd, OpenMessage, RecordedNews, Store, StoreError};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Courier, Look, Looked, Receiver, TERM};

/// How long a message may take to be sent, whatever its way: what a way takes, and a moment for it to say so. Less than the term of
/// a channel.
const ATTEMPT_WITHIN: Duration = SEND_WITHIN.saturating_add(Duration::from_secs(1));
/// How long it may take to record what became of an attempt; also the least time that an attempt is worth.
const RECORD_WITHIN: Duration = Duration::from_secs(1);
/// News that a message tells in full.
const TOLD_MAX: u32 = 20;
/// Messages to a channel that are on their way; further news is collected while the other side does not take them. What is critical
/// is held back by what is critical alone.
const OPEN_MAX: usize = 3;

/// One look at one channel.
pub(super) struct Turn<'a> {
    courier: &'a Courier,
    receiver: &'a Receiver,
    /// Whether this process has taken the right to send to the channel.
    is_held: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(courier: &'a Courier, receiver: &'a Receiver) -> Turn<'a> {
        Turn {
            courier,
            receiver,
            is_held: false,
        }
    }

    /// Has the channel told what is due. Where that fails, the right to send to it runs out.
    pub(super) async fn take(mut self, look: Look) -> Result<Looked, StoreError> {
        let looked = self.sort_pack_and_send(look).await?;
        if self.is_held {
            self.store()
                .leave_channel(self.name(), &self.courier.instance)
                .await?;
        }
        Ok(looked)
    }

    async fn sort_pack_and_send(&mut self, look: Look) -> Result<Looked, StoreError> {
        const BUSY: Looked = Looked {
            sent: 0,
            put_off: 0,
            given_up: 0,
            in_part: 0,
            waiting: 0,
            busy: 1,
        };
        if !self.sort().await? {
            return Ok(BUSY);
        }
        let Some(waiting) = self.pack(look).await? else {
            return Ok(BUSY);
        };
        let mut looked = self.send_all(look).await?;
        looked.waiting += waiting;
        Ok(looked)
    }

    /// Decides about news that the channel has not looked at. `false` if another process sends to it.
    async fn sort(&mut self) -> Result<bool, StoreError> {
        loop {
            let unsorted = self.store().news_to_sort(self.name()).await?;
            if unsorted.is_empty() {
                return Ok(true);
            }
            let rules = &self.channel().rules;
            let sorted: Vec<(i64, bool)> = unsorted
                .iter()
                .map(|headline| (headline.id, rules.wants(headline.kind, headline.level)))
                .collect();
            let is_sorted = self.hold().await?
                && self
                    .store()
                    .sort_news(self.name(), &self.courier.instance, &sorted)
                    .await?;
            if !is_sorted {
                return Ok(false);
            }
        }
    }

    /// Makes a message of what is due. Returns how much waits on; `None` if another process sends to the channel.
    async fn pack(&mut self, look: Look) -> Result<Option<usize>, StoreError> {
        let (now_us, waiting) = self.store().waiting_news(self.name()).await?;
        let waiting: Vec<Waiting> = waiting
            .iter()
            .map(|one| Waiting {
                id: one.id,
                level: one.level,
                since: moment(one.created_us),
            })
            .collect();
        let due = due(moment(now_us), &waiting, &self.channel().rules, look.is_last());
        let Due::Now(ids) = due else {
            return Ok(Some(waiting.len()));
        };
        let is_urgent = waiting
            .iter()
            .any(|one| one.level == NewsLevel::Critical && ids.contains(&one.id));
        let open = self.store().open_messages(self.name()).await?;
        let in_its_way = open.iter().filter(|one| one.is_critical || !is_urgent);
        if in_its_way.count() >= OPEN_MAX {
            return Ok(Some(waiting.len()));
        }
        let message = Uuid::now_v7().to_string();
        let is_packed = self.hold().await?
            && self
                .store()
                .pack_news(self.name(), &self.courier.instance, &message, &ids)
                .await?;
        Ok(is_packed.then_some(waiting.len() - ids.len()))
    }

    async fn send_all(&mut self, look: Look) -> Result<Looked, StoreError> {
        let mut looked = Looked::default();
        let mut open = self.store().open_messages(self.name()).await?;
        if open.is_empty() {
            return Ok(looked);
        }
        // Of each kind the oldest first.
        open.sort_by_key(|message| !message.is_critical);
        let is_quiet = self
            .channel()
            .rules
            .is_quiet(moment(self.store().now_us().await?));
        let mut has_paused = false;
        for message in open {
            if is_quiet && !message.is_critical {
                looked.waiting += 1;
                continue;
            }
            let within = time_for_an_attempt(look, Instant::now());
            let (true, Some(within)) = (message.is_due && !has_paused, within) else {
                looked.put_off += 1;
                continue;
            };
            match self.send(&message, within).await? {
                None => looked.busy = 1,
                Some(MessageEnd::Sent) => looked.sent += 1,
                Some(MessageEnd::SentInPart { .. }) => {
                    looked.sent += 1;
                    looked.in_part += 1;
                }
                Some(MessageEnd::Failed { .. }) => looked.given_up += 1,
                // What does not take one message takes no other: it has its pause.
                Some(MessageEnd::Retry { .. }) => {
                    looked.put_off += 1;
                    has_paused = true;
                }
            }
        }
        Ok(looked)
    }

    /// Sends a message and records what became of it. `None` if it is not for this process to send.
    async fn send(
        &mut self,
        message: &OpenMessage,
        within: Duration,
    ) -> Result<Option<MessageEnd>, StoreError> {
        let is_mine = self.hold().await?
            && self
                .store()
                .begin_message(self.name(), &self.courier.instance, &message.id)
                .await?;
        if !is_mine {
            return Ok(None);
        }
        let packed = self.store().packed_news(&message.id, TOLD_MAX).await?;
        let items = packed.first.into_iter().map(|news| self.item(news));
        let whole = Message {
            id: message.id.clone(),
            counts: packed.counts,
            items: items.collect(),
        };
        let outcome = timeout(within, self.receiver.notifier.send(&whole, &message.reached))
            .await
            .unwrap_or_else(|_| Outcome::Retry {
                after: None,
                why: format!("it was not taken within {:.1} s", within.as_secs_f64()),
                reached: Vec::new(),
            });
        let end = ending(outcome, message);
        self.store().end_message(self.name(), &message.id, &end).await?;
        log(self.name(), &whole, &end);
        Ok(Some(end))
    }

    fn item(&self, news: RecordedNews) -> Item {
        let dashboard = self.courier.dashboard.as_ref();
        let run_page = |run: i64| dashboard?.join(&format!("runs/{run}")).ok();
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

    /// Takes the right to send to the channel, or renews it.
    async fn hold(&mut self) -> Result<bool, StoreError> {
        self.is_held = self
            .store()
            .hold_channel(self.name(), &self.courier.instance, TERM)
            .await?;
        Ok(self.is_held)
    }

    fn store(&self) -> &'a Store {
        &self.courier.store
    }

    fn channel(&self) -> &'a Channel {
        &self.receiver.channel
    }

    fn name(&self) -> &'a str {
        &self.receiver.channel.name
    }
}

/// How long an attempt that begins now may take; `None` if there is no time for one.
fn time_for_an_attempt(look: Look, now: Instant) -> Option<Duration> {
    let Look::Last { until: Some(until) } = look else {
        return Some(ATTEMPT_WITHIN);
    };
    let left = until.saturating_duration_since(now).saturating_sub(RECORD_WITHIN);
    (left >= RECORD_WITHIN).then_some(left.min(ATTEMPT_WITHIN))
}

/// What the outcome of one more attempt to send `message` leads to.
fn ending(outcome: Outcome, message: &OpenMessage) -> MessageEnd {
    let attempts = message.attempts + 1;
    match outcome {
        Outcome::Delivered => MessageEnd::Sent,
        Outcome::DeliveredInPart { why } => MessageEnd::SentInPart { why },
        Outcome::Permanent { why } => MessageEnd::Failed { why },
        Outcome::Retry {
            after,
            why,
            reached: now,
        } => match pause(attempts, after, fastrand::f64()) {
            Some(after) => MessageEnd::Retry {
                after,
                why,
                reached: message.reached.iter().cloned().chain(now).collect(),
            },
            None => MessageEnd::Failed {
                why: format!("{why} (after {attempts} attempts)"),
            },
        },
    }
}

fn log(channel: &str, message: &Message, end: &MessageEnd) {
    let (id, news) = (&message.id, message.total());
    match end {
        MessageEnd::Sent => tracing::info!(channel, message_id = id, news, "the channel was told"),
        MessageEnd::SentInPart { why } => {
            tracing::error!(
                channel,
                message = id,
                news,
                "not everybody was told, nor will be: {why}"
            );
        }
        MessageEnd::Retry { after, why, .. } => {
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

#[cfg(test)]
mod tests {
    use tagpipe_sinks::notify::rules::ATTEMPTS_MAX;

    use super::*;

    #[test]
    fn what_may_be_taken_later_is_tried_until_it_has_been_often_enough() {
        let why = || "busy".to_owned();
        let asked = Some(Duration::from_secs(60));
        let retry = |after| Outcome::Retry {
            after,
            why: why(),
            reached: vec!["b".to_owned()],
        };
        let after = |attempts| OpenMessage {
            id: "m1".to_owned(),
            attempts,
            is_due: true,
            is_critical: false,
            reached: vec!["a".to_owned()],
        };
        assert_eq!(ending(Outcome::Delivered, &after(0)), MessageEnd::Sent);
        assert_eq!(
            ending(Outcome::Permanent { why: why() }, &after(0)),
            MessageEnd::Failed { why: why() }
        );
        match ending(retry(asked), &after(2)) {
            MessageEnd::Retry { after, reached, .. } => {
                assert!(Some(after) >= asked, "{after:?}");
                assert_eq!(reached, ["a", "b"]);
            }
            other => panic!("{other:?}"),
        }
        match ending(retry(asked), &after(ATTEMPTS_MAX - 1)) {
            MessageEnd::Failed { why } => assert!(why.contains(&ATTEMPTS_MAX.to_string()), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_attempt_ends_before_the_look_does_so_that_it_is_recorded() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let within = |left| {
            let until = Some(now + seconds(left));
            time_for_an_attempt(Look::Last { until }, now)
        };
        assert_eq!(time_for_an_attempt(Look::OneOfMany, now), Some(ATTEMPT_WITHIN));
        let endless = Look::Last { until: None };
        assert_eq!(time_for_an_attempt(endless, now), Some(ATTEMPT_WITHIN));
        assert_eq!(within(3600), Some(ATTEMPT_WITHIN));
        assert_eq!(within(5), Some(seconds(4)));
        assert_eq!(within(1), None);
        assert!(ATTEMPT_WITHIN + RECORD_WITHIN <= super::super::LAST_LOOK_WITHIN);
        assert!(ATTEMPT_WITHIN + RECORD_WITHIN < TERM);
    }
}
