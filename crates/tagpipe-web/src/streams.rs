//! What is watched live. Whatever the number of watchers, one task for each topic asks the database, once a second, and only
//! while somebody watches.
//!
//! A topic has named frames, until one is named [`ENDED`]. A watcher gets all of them at first and then those that have changed; what a slow watcher misses
//! is made up for by the next state. The audit trail is a topic of another kind: none of its entries may be missed
//! (`api/audit.rs`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::sleep;

/// The frame after which nothing comes any more.
pub(crate) const ENDED: &str = "ended";

/// How often a topic is asked for anew.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A named part of a topic's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Name of the event.
    pub(crate) name: String,
    /// Its data.
    pub(crate) data: String,
}

/// The state of a topic; its number grows with each change.
#[derive(Debug, Clone, Default)]
struct Picture {
    number: u64,
    frames: Arc<Vec<(u64, Frame)>>,
    is_over: bool,
}

/// All topics that somebody watches.
pub(crate) struct Streams {
    topics: Arc<Mutex<HashMap<String, watch::Receiver<Picture>>>>,
    open: Arc<AtomicU64>,
    ended: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            topics: Arc::default(),
            open: Arc::default(),
            ended: watch::Sender::new(false),
        }
    }
}

impl Streams {
    /// Streams that are open now.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Ends all streams.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Resolves when all streams are to end.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            // An error means that the service is gone.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// Counts a stream for as long as the guard lives.
    pub(crate) fn count(&self) -> OpenStream {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(&self.open))
    }

    /// Watches the topic `key`. `ask` gives its frames now, or `None` when there is nothing to watch any more; a failure
    /// leaves the frames as they are.
    pub(crate) fn watch<F, A>(&self, key: &str, last_seen: Option<u64>, ask: A) -> Answer
    where
        A: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Option<Vec<Frame>>> + Send + 'static,
    {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let known = topics
            .get(key)
            .filter(|receiver| receiver.has_changed().is_ok())
            .cloned();
        let receiver = known.unwrap_or_else(|| {
            let (sender, receiver) = watch::channel(Picture::default());
            tokio::spawn(keep_asking(sender, ask));
            topics.retain(|_, receiver| receiver.has_changed().is_ok());
            topics.insert(key.to_owned(), receiver.clone());
            receiver
        });
        drop(topics);
        let watcher = Watcher {
            receiver,
            seen: last_seen.unwrap_or(0),
            waiting: Vec::new(),
            _open: self.count(),
        };
        let events = stream::unfold(watcher, Watcher::next);
        let events = stream::StreamExt::take_until(events, Box::pin(self.ended()));
        sse(Box::pin(events))
    }
}

/// An event stream as an answer.
pub(crate) type Answer = Sse<
    axum::response::sse::KeepAliveStream<
        std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>,
    >,
>;

/// `events` as an answer that is kept alive.
pub(crate) fn sse(events: std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>) -> Answer {
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// Counts an open stream.
pub(crate) struct OpenStream(Arc<AtomicU64>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn keep_asking<F, A>(sender: watch::Sender<Picture>, ask: A)
where
    A: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Option<Vec<Frame>>> + Send + 'static,
{
    // Numbers go on after a restart, so that a browser that comes back is told what is new to it.
    let mut number = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    loop {
        match ask().await {
            Some(frames) => {
                number += 1;
                let is_over = frames.iter().any(|frame| frame.name == ENDED);
                sender.send_if_modified(|picture| {
                    picture.is_over = is_over;
                    renew(picture, frames, number) || is_over
                });
                if is_over {
                    return;
                }
            }
            None => {
                sender.send_modify(|picture| picture.is_over = true);
                return;
            }
        }
        // The topic itself is one watcher.
        if sender.receiver_count() <= 1 {
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

/// Takes `frames` as the state; those that are as they were keep their number.
fn renew(picture: &mut Picture, frames: Vec<Frame>, number: u64) -> bool {
    let before = Arc::clone(&picture.frames);
    let renewed: Vec<(u64, Frame)> = frames
        .into_iter()
        .map(|frame| {
            let known = before.iter().find(|(_, known)| *known == frame);
            (known.map_or(number, |(since, _)| *since), frame)
        })
        .collect();
    if *before == renewed {
        return false;
    }
    picture.number = number;
    picture.frames = Arc::new(renewed);
    true
}

struct Watcher {
    receiver: watch::Receiver<Picture>,
    /// The newest number that was sent.
    seen: u64,
    /// Frames of the picture that are still to be sent, last first.
    waiting: Vec<(u64, Frame)>,
    _open: OpenStream,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Watcher)> {
        loop {
            if let Some((number, frame)) = self.waiting.pop() {
                let event = Event::default()
                    .id(number.to_string())
                    .event(frame.name)
                    .data(frame.data);
                return Some((Ok(event), self));
            }
            let picture = self.receiver.borrow_and_update().clone();
            if picture.number > self.seen {
                self.waiting = picture
                    .frames
                    .iter()
                    .filter(|(since, _)| *since > self.seen)
                    .cloned()
                    .collect();
                self.waiting.reverse();
                self.seen = picture.number;
                continue;
            }
            if picture.is_over {
                return None;
            }
            if self.receiver.changed().await.is_err() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, data: &str) -> Frame {
        Frame {
            name: name.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn only_what_has_changed_gets_a_new_number() {
        let mut picture = Picture::default();
        assert!(renew(&mut picture, vec![frame("a", "1"), frame("b", "1")], 5));
        assert!(!renew(&mut picture, vec![frame("a", "1"), frame("b", "1")], 6));
        assert!(renew(&mut picture, vec![frame("a", "1"), frame("b", "2")], 7));
        let numbers: Vec<_> = picture.frames.iter().map(|(number, _)| *number).collect();
        assert_eq!((picture.number, numbers), (7, vec![5, 7]));
    }
}
