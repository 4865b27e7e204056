//! The last server before a cloud: it passes requests on, answers them itself, cuts them off, or lets them wait.
//!
//! [`crate::tcp_proxy::TcpProxy`] breaks a line wherever it is; this one chooses which request meets with what.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::harness::wait_until;

/// A request, as far as one judges it by.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    head: String,
}

/// What becomes of a request.
pub(super) enum Verdict {
    /// The server answers.
    Pass,
    /// A status, such as `403 Forbidden`, and a body.
    Answer(&'static str, String),
    /// The connection is reset.
    Cut,
    /// Nothing, for as long as the client waits.
    Wait,
}

type Judge = dyn Fn(&Asked) -> Verdict + Send + Sync;

/// The server, until it is dropped.
pub(super) struct Gate {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: AbortHandle,
}

impl Gate {
    /// Stands before the server at `port`.
    pub(super) async fn before(port: u16, judge: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let judge: Arc<Judge> = Arc::new(judge);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (noted, judge) = (Arc::clone(&noted), Arc::clone(&judge));
                // A client that goes away in the middle is the client's business.
                connections.spawn(async move { drop(serve(client, server, &noted, &*judge).await) });
            }
        });
        Gate {
            address,
            asked,
            task: task.abort_handle(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }

    /// Waits for a request.
    pub(super) async fn wait_for(&self, what: &str, wanted: impl Fn(&Asked) -> bool) {
        wait_until(what, || self.asked.lock().expect("a lock").iter().any(&wanted)).await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    fn of(head: String) -> Asked {
        let mut words = head.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let (method, target) = (word(), word());
        Asked { method, target, head }
    }

    /// The value of a header; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.trim())
    }
}

/// One request of one connection.
async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    noted: &Mutex<Vec<Asked>>,
    judge: &Judge,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let asked = Asked::of(String::from_utf8_lossy(&head).into_owned());
    let verdict = judge(&asked);
    noted.lock().expect("a lock").push(asked.clone());
    let answer = match verdict {
        Verdict::Wait => std::future::pending().await,
        Verdict::Cut => return client.set_zero_linger(),
        Verdict::Pass => None,
        Verdict::Answer(status, body) => Some((status, body)),
    };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    client.read_exact(&mut body).await?;
    match answer {
        Some((status, text)) => {
            let length = text.len();
            let whole = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
            );
            client.write_all(whole.as_bytes()).await?;
        }
        None => {
            let mut server = TcpStream::connect(server).await?;
            let head = asked.head.trim_end();
            let head = format!("{head}\r\nconnection: close\r\n\r\n");
            server.write_all(head.as_bytes()).await?;
            server.write_all(&body).await?;
            tokio::io::copy(&mut server, &mut client).await?;
        }
    }
    client.shutdown().await
}
