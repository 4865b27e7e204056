//! Commands to Chromium and its answers and events, over a pair of pipes: JSON messages, each ended by a NUL byte.
//!
//! Commands are untyped: a handful is used, and a field that a newer Chromium adds or drops elsewhere cannot
//! break them. Events reach their session's handler in the order of the pipe and before any later answer, so
//! whoever gets an answer sees everything that happened before it.
//!
//! Dropping the [`Connection`] closes the pipe, which is how Chromium is told to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandError {
    /// Chromium has ended.
    #[error("Chromium has ended")]
    Ended,
    /// Chromium says that it cannot be done.
    #[error("Chromium refused `{method}`: {message}")]
    Refused { method: &'static str, message: String },
}

/// Hears the events of one session. Called on the reading task: it must be quick and must not wait.
pub(super) trait Listener: Send + Sync {
    fn on_event(&self, connection: &Connection, method: &str, params: &Value);
}

/// One Chromium's two pipes.
pub(super) struct Connection {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    ended: bool,
    replies: HashMap<u64, oneshot::Sender<Reply>>,
    listeners: HashMap<String, Arc<dyn Listener>>,
}

type Reply = Result<Value, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    id: Option<u64>,
    method: Option<String>,
    session_id: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Connection {
    /// Reads `from` and writes `to` until either ends or the connection is dropped.
    pub(super) fn start(
        to: impl AsyncWrite + Send + Unpin + 'static,
        from: impl AsyncRead + Send + Unpin + 'static,
    ) -> Arc<Connection> {
        let (outgoing, messages) = mpsc::unbounded_channel();
        let connection = Arc::new(Connection {
            outgoing,
            state: Mutex::default(),
        });
        tokio::spawn(write_all(to, messages));
        tokio::spawn(read_all(from, Arc::downgrade(&connection)));
        connection
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Hands the events of `session` to `listener` until [`Connection::forget`].
    pub(super) fn listen(&self, session: &str, listener: Arc<dyn Listener>) {
        self.state().listeners.insert(session.to_owned(), listener);
    }

    pub(super) fn forget(&self, session: &str) {
        self.state().listeners.remove(session);
    }

    /// Sends a command and waits for its result. Dropping the future forgets the answer, not the command.
    pub(super) async fn call(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, CommandError> {
        let (sender, reply) = oneshot::channel();
        let id = self
            .send(session, method, &params, Some(sender))
            .ok_or(CommandError::Ended)?;
        let _forgets_the_answer = Waiting { connection: self, id };
        match reply.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(message)) => Err(CommandError::Refused { method, message }),
            Err(_) => Err(CommandError::Ended),
        }
    }

    /// Sends a command whose result does not matter.
    pub(super) fn post(&self, session: Option<&str>, method: &'static str, params: &Value) {
        self.send(session, method, params, None);
    }

    /// The command's number; `None` when Chromium has ended.
    fn send(
        &self,
        session: Option<&str>,
        method: &str,
        params: &Value,
        reply: Option<oneshot::Sender<Reply>>,
    ) -> Option<u64> {
        let mut state = self.state();
        if state.ended {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        if let Some(reply) = reply {
            state.replies.insert(id, reply);
        }
        let command = match session {
            Some(session) => json!({ "id": id, "method": method, "params": params, "sessionId": session }),
            None => json!({ "id": id, "method": method, "params": params }),
        };
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.outgoing.send(bytes).ok().map(|()| id)
    }

    fn receive(&self, message: &[u8]) {
        let message: Message = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "a message from Chromium cannot be read");
                return;
            }
        };
        if let Some(id) = message.id {
            let reply = self.state().replies.remove(&id);
            if let Some(reply) = reply {
                // Fails only when nobody waits any longer.
                let _ = reply.send(
                    message
                        .error
                        .map_or(Ok(message.result), |error| Err(error.message)),
                );
            }
        } else if let (Some(method), Some(session)) = (message.method, message.session_id) {
            let listener = self.state().listeners.get(&session).cloned();
            if let Some(listener) = listener {
                listener.on_event(self, &method, &message.params);
            }
        }
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.replies.clear();
        state.listeners.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a command's place in the list of replies away when nobody waits for it any longer.
struct Waiting<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.connection.state().replies.remove(&self.id);
    }
}

async fn write_all(mut to: impl AsyncWrite + Unpin, mut messages: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if to.write_all(&message).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

async fn read_all(from: impl AsyncRead + Unpin, connection: Weak<Connection>) {
    let mut from = BufReader::with_capacity(1 << 16, from);
    let mut message = Vec::new();
    loop {
        message.clear();
        let is_whole = matches!(from.read_until(0, &mut message).await, Ok(1..)) && message.pop() == Some(0);
        let Some(connection) = connection.upgrade() else {
            return;
        };
        if !is_whole {
            return connection.end();
        }
        connection.receive(&message);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    struct Heard(mpsc::UnboundedSender<String>);

    impl Listener for Heard {
        fn on_event(&self, _: &Connection, method: &str, _: &Value) {
            self.0.send(method.to_owned()).expect("the test listens");
        }
    }

    #[tokio::test]
    async fn answers_find_their_commands_and_events_their_sessions() {
        let (ours, theirs) = duplex(4096);
        let (from, to) = tokio::io::split(ours);
        let connection = Connection::start(to, from);
        let (heard, mut events) = mpsc::unbounded_channel();
        connection.listen("S", Arc::new(Heard(heard)));
        let (mut their_from, mut their_to) = tokio::io::split(theirs);
        let answer = async {
            let mut buffer = [0; 256];
            let read = their_from.read(&mut buffer).await.expect("a command");
            assert_eq!(buffer[read - 1], 0);
            for message in [
                "rubbish",
                r#"{"method":"A.b","sessionId":"S","params":{}}"#,
                r#"{"method":"A.other","sessionId":"T"}"#,
                r#"{"id":7,"result":{}}"#,
                r#"{"id":1,"result":{"x":1},"sessionId":"S"}"#,
            ] {
                their_to.write_all(message.as_bytes()).await.expect("sent");
                their_to.write_all(&[0]).await.expect("sent");
            }
        };
        let (result, ()) = tokio::join!(connection.call(Some("S"), "Do.it", json!({})), answer);
        assert_eq!(result, Ok(json!({ "x": 1 })));
        assert_eq!(events.try_recv().as_deref(), Ok("A.b"));
        assert!(events.try_recv().is_err());
        assert!(connection.state().replies.is_empty());
    }

    #[tokio::test]
    async fn the_end_of_the_pipe_ends_every_command() {
        let (ours, theirs) = duplex(4096);
        let (from, to) = tokio::io::split(ours);
        let connection = Connection::start(to, from);
        let (result, ()) = tokio::join!(connection.call(None, "Do.it", json!({})), async { drop(theirs) });
        assert_eq!(result, Err(CommandError::Ended));
        assert!(connection.has_ended());
        assert_eq!(
            connection.call(None, "Do.it", json!({})).await,
            Err(CommandError::Ended)
        );
    }

    #[tokio::test]
    async fn dropping_the_connection_closes_the_pipe() {
        let (ours, mut theirs) = duplex(64);
        let (from, to) = tokio::io::split(ours);
        drop(Connection::start(to, from));
        // A duplex half is closed once both tasks let go of it: the reader does when its other end is.
        theirs.shutdown().await.expect("closed");
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("the end"), 0);
    }
}
