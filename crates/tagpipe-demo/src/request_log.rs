//! What the site was asked, so that tests can check a reader's manners.
//!
//! A bounded ring: when it is full, the oldest entries go. User agents are kept once each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::faults::Fault;

/// Entries that are kept.
const CAPACITY: usize = 2_000_000;
/// Different user agents that are told apart; what comes later is recorded under the same text each time anew.
const AGENTS: usize = 64;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A page.
    Document,
    /// The content of a page, asked for by the app.
    Data,
    /// An image, a font, a script.
    Asset,
    /// `/robots.txt`.
    Robots,
    /// The app's background polling.
    Poll,
}

/// One request that the site received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// When it arrived, in microseconds since 1970.
    pub at_us: u64,
    /// Path and query as they were sent.
    pub path_and_query: String,
    /// What it was for.
    pub kind: RequestKind,
    /// Status of the answer.
    pub status: u16,
    /// Fault that struck it.
    pub fault: Option<Fault>,
    /// The client's `User-Agent`, empty if it sent none.
    pub user_agent: String,
}

#[derive(Debug)]
struct Entry {
    at_us: u64,
    path_and_query: Box<str>,
    user_agent: Arc<str>,
    status: u16,
    kind: RequestKind,
    fault: Option<Fault>,
}

impl Entry {
    fn record(&self) -> RequestRecord {
        RequestRecord {
            at_us: self.at_us,
            path_and_query: self.path_and_query.to_string(),
            kind: self.kind,
            status: self.status,
            fault: self.fault,
            user_agent: self.user_agent.to_string(),
        }
    }
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    agents: Vec<Arc<str>>,
    /// How many entries have been dropped from the front.
    dropped: u64,
}

impl Ring {
    fn agent(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.agents.iter().find(|known| known.as_ref() == text) {
            return Arc::clone(known);
        }
        let agent: Arc<str> = text.into();
        if self.agents.len() < AGENTS {
            self.agents.push(Arc::clone(&agent));
        }
        agent
    }
}

/// The ring of requests.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<Ring>);

/// What is known about a request once its answer is decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'r> {
    pub(crate) at: SystemTime,
    pub(crate) path_and_query: &'r str,
    pub(crate) user_agent: &'r str,
    pub(crate) kind: RequestKind,
    pub(crate) status: u16,
    pub(crate) fault: Option<Fault>,
}

impl RequestLog {
    /// Keeps a request.
    pub(crate) fn push(&self, received: Received<'_>) {
        let at_us = received
            .at
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64);
        let path_and_query = received.path_and_query.into();
        let mut ring = self.ring();
        let user_agent = ring.agent(received.user_agent);
        if ring.entries.len() == CAPACITY {
            ring.entries.pop_front();
            ring.dropped += 1;
        }
        let Received {
            kind, status, fault, ..
        } = received;
        ring.entries.push_back(Entry {
            at_us,
            path_and_query,
            user_agent,
            status,
            kind,
            fault,
        });
    }

    /// All requests in the order of their arrival.
    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.ring().entries.iter().map(Entry::record).collect()
    }

    /// Up to `count` requests from the `first` ever received on, and where to go on.
    pub(crate) fn portion(&self, first: u64, count: usize) -> (Vec<RequestRecord>, u64) {
        let ring = self.ring();
        let first = first.max(ring.dropped);
        let records: Vec<RequestRecord> = ring
            .entries
            .iter()
            .skip((first - ring.dropped) as usize)
            .take(count)
            .map(Entry::record)
            .collect();
        let next = first + records.len() as u64;
        (records, next)
    }

    /// Forgets all requests.
    pub(crate) fn clear(&self) {
        *self.ring() = Ring::default();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(path_and_query: &str) -> Received<'_> {
        Received {
            at: UNIX_EPOCH + std::time::Duration::from_micros(42),
            path_and_query,
            user_agent: "test/1",
            kind: RequestKind::Document,
            status: 200,
            fault: Some(Fault::SoftNotFound),
        }
    }

    #[test]
    fn requests_come_back_as_they_were_received() {
        let log = RequestLog::default();
        log.push(received("/a?b=c"));
        let records = log.records();
        assert_eq!(records.len(), 1);
        let json = serde_json::to_string(&records[0]).expect("records are JSON");
        assert_eq!(
            json,
            r#"{"at_us":42,"path_and_query":"/a?b=c","kind":"document","status":200,"fault":"soft_404","user_agent":"test/1"}"#
        );
    }

    #[test]
    fn portions_cover_everything_once() {
        let log = RequestLog::default();
        ["/1", "/2", "/3", "/4", "/5"]
            .into_iter()
            .for_each(|path| log.push(received(path)));
        let (first, next) = log.portion(0, 3);
        let (second, end) = log.portion(next, 3);
        let paths: Vec<&str> = first
            .iter()
            .chain(&second)
            .map(|it| it.path_and_query.as_str())
            .collect();
        assert_eq!(paths, ["/1", "/2", "/3", "/4", "/5"]);
        assert_eq!(log.portion(end, 3), (Vec::new(), 5));
        log.clear();
        assert!(log.records().is_empty());
    }
}
