//! A server that takes messages: it writes down each request and answers as it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::harness::wait_until;

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, further header lines, and a body.
    Status(&'static str, String, &'static str),
    /// Nothing, for as long as the client waits.
    Nothing,
    /// The end of the connection.
    Cut,
}

impl Answer {
    pub(crate) fn status(status: &'static str) -> Answer {
        Answer::Status(status, String::new(), "")
    }

    pub(crate) fn with_header(status: &'static str, header: &str) -> Answer {
        Answer::Status(status, format!("{header}\r\n"), "")
    }
}

/// What ntfy answers to a message that it has published: <https://docs.ntfy.sh/subscribe/api/#json-message-format>.
const PUBLISHED: &str =
    r#"{"id":"hwQ2YpKdmg","time":1635528741,"event":"message","topic":"cards","message":"..."}"#;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) path: String,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// The server, until it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Request>>,
    answers: Mutex<VecDeque<Answer>>,
    usual: Mutex<Option<Answer>>,
}

impl Receiver {
    /// A server that answers with these in turn, and then takes everything.
    pub(crate) async fn start(answers: &[Answer]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        state
            .answers
            .lock()
            .expect("a lock")
            .extend(answers.iter().cloned());
        let task = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                let mut connections = JoinSet::new();
                while let Ok((connection, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    // A client that goes away in the middle is the client's business.
                    connections.spawn(async move { drop(serve(connection, &state).await) });
                }
            }
        });
        Receiver {
            address,
            state,
            task: task.abort_handle(),
        }
    }

    /// A server that never answers, until it is told otherwise.
    pub(crate) async fn silent() -> Receiver {
        let receiver = Receiver::start(&[]).await;
        receiver.answers_always(Answer::Nothing);
        receiver
    }

    /// A server that answers with these in turn, and then as ntfy does.
    pub(crate) async fn ntfy(answers: &[Answer]) -> Receiver {
        let receiver = Receiver::start(answers).await;
        receiver.answers_always(Answer::Status("200 OK", String::new(), PUBLISHED));
        receiver
    }

    pub(crate) fn answers_always(&self, answer: Answer) {
        *self.state.usual.lock().expect("a lock") = Some(answer);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().expect("a lock").clone()
    }

    pub(crate) async fn wait_for_requests(&self, count: usize) {
        wait_until("a message", || self.requests().len() >= count).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, state: &State) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let mut request = Request {
        at: Instant::now(),
        path: String::new(),
        head: String::from_utf8_lossy(&head).into_owned(),
        body: Vec::new(),
    };
    request.path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = request.header("content-length").parse().unwrap_or(0);
    request.body = vec![0; length];
    client.read_exact(&mut request.body).await?;
    state.requests.lock().expect("a lock").push(request);
    let next = state.answers.lock().expect("a lock").pop_front();
    let usual = state.usual.lock().expect("a lock").clone();
    match next
        .or(usual)
        .unwrap_or(Answer::Status("200 OK", String::new(), "ok"))
    {
        Answer::Nothing => std::future::pending().await,
        Answer::Cut => Ok(()),
        Answer::Status(status, headers, body) => {
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
                body.len()
            );
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await
        }
    }
}
