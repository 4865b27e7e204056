//! The network between the program and its database, which can be frozen or cut for a time.
//!
//! Frozen, nothing arrives any more and nobody is told: connections stay, and the end of one is not passed on either,
//! so that the server keeps the session and the locks of a process that is long dead. Cut, all connections are reset
//! and new ones refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::harness::wait_until;

/// Ports below those that the system gives to outgoing connections: nobody takes one while the network is cut.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Frozen,
    Cut,
}

/// The network, until it is dropped.
pub(crate) struct TcpProxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    /// Whether connections are taken.
    listening: watch::Receiver<bool>,
    toll: Arc<Toll>,
    task: AbortHandle,
}

/// How many more bytes pass, in both directions together, before the line is cut.
struct Toll {
    left: AtomicU64,
    line: watch::Sender<Line>,
}

impl Toll {
    /// Pays for bytes. Cuts the line where they were one too many.
    fn pay(&self, bytes: usize) -> bool {
        let paid = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
                UNLIMITED => Some(UNLIMITED),
                left => left.checked_sub(bytes as u64),
            });
        if paid.is_err() {
            self.left.store(UNLIMITED, Ordering::Relaxed);
            self.line.send_replace(Line::Cut);
        }
        paid.is_ok()
    }
}

/// Nothing is counted.
const UNLIMITED: u64 = u64::MAX;

impl TcpProxy {
    /// Passes everything on to `server`.
    pub(crate) async fn start(server: SocketAddr) -> TcpProxy {
        let listener = listen_somewhere().await;
        let address = listener.local_addr().expect("an address");
        let (line, state) = watch::channel(Line::Open);
        let (listens, listening) = watch::channel(true);
        let toll = Arc::new(Toll {
            left: AtomicU64::new(UNLIMITED),
            line: line.clone(),
        });
        let task = tokio::spawn(accept(listener, server, state, listens, Arc::clone(&toll)));
        TcpProxy {
            address,
            line,
            listening,
            toll,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through; connections stay.
    pub(crate) async fn freeze(&self) {
        self.put(Line::Frozen).await;
    }

    /// Resets all connections and refuses new ones.
    pub(crate) async fn cut(&self) {
        self.put(Line::Cut).await;
    }

    /// Cuts it when so many bytes have passed from now on.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.toll.left.store(bytes, Ordering::Relaxed);
    }

    /// Waits until it is cut.
    pub(crate) async fn wait_for_cut(&self) {
        wait_until("the network to be cut", || !*self.listening.borrow()).await;
    }

    /// Lets everything through again, what was held back first.
    pub(crate) async fn restore(&self) {
        self.put(Line::Open).await;
    }

    async fn put(&self, line: Line) {
        self.line.send_replace(line);
        let listens = line != Line::Cut;
        wait_until("the network to change", || *self.listening.borrow() == listens).await;
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen_somewhere() -> TcpListener {
    for _ in 0..100 {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(PORTS)));
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
    }
    panic!("no port in {PORTS:?} is free");
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mut line: watch::Receiver<Line>,
    listens: watch::Sender<bool>,
    toll: Arc<Toll>,
) {
    let address = listener.local_addr().expect("an address");
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let state = *line.borrow_and_update();
        if state == Line::Cut {
            listener = None;
            while connections.join_next().await.is_some() {}
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.expect("its own port is free"));
        }
        listens.send_replace(listener.is_some());
        tokio::select! {
            // Dropped with the proxy.
            changed = line.changed() => if changed.is_err() { return },
            accepted = next(listener.as_ref()) => if let Ok((client, _)) = accepted {
                connections.spawn(serve(client, server, line.clone(), Arc::clone(&toll)));
            },
        }
    }
}

async fn next(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// One connection, until its ends close it or the line is cut: then both are reset.
async fn serve(mut client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>, toll: Arc<Toll>) {
    let mut at_cut = line.clone();
    let connecting = async {
        line.wait_for(|line| *line == Line::Open).await.ok()?;
        // A server that is down refuses; so does its network.
        TcpStream::connect(server).await.ok()
    };
    let connected = tokio::select! {
        connected = connecting => connected,
        _ = at_cut.wait_for(|line| *line == Line::Cut) => None,
    };
    let Some(mut server) = connected else {
        return reset(&client);
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let passing = async {
        tokio::join!(
            pass(from_client, to_server, line.clone(), &toll),
            pass(from_server, to_client, line.clone(), &toll)
        )
    };
    tokio::select! {
        _ = passing => {}
        _ = at_cut.wait_for(|line| *line == Line::Cut) => {
            reset(&client);
            reset(&server);
        }
    }
}

/// Has a connection reset instead of closed when it is dropped.
fn reset(connection: &TcpStream) {
    connection.set_zero_linger().expect("a socket has this option");
}

/// Passes on what comes, and its end, as long as the line is open.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut line: watch::Receiver<Line>, toll: &Toll) {
    let mut portion = [0; 16 * 1024];
    loop {
        // A connection that was reset has ended like one that was closed.
        let count = from.read(&mut portion).await.unwrap_or(0);
        if line.wait_for(|line| *line == Line::Open).await.is_err() {
            return;
        }
        if count == 0 {
            // Its other end may be gone already.
            let _ = to.shutdown().await;
            return;
        }
        if !toll.pay(count) {
            // Reset with the line; ending here would pass an end on.
            return std::future::pending().await;
        }
        if to.write_all(&portion[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Sends back what it gets, on any number of connections.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = connection.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn ask(connection: &mut TcpStream, word: &[u8; 4]) -> [u8; 4] {
        connection.write_all(word).await.unwrap();
        let mut answer = [0; 4];
        connection.read_exact(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_frozen_arrives_later() {
        let proxy = TcpProxy::start(echo().await).await;
        let mut connection = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut connection, b"open").await, *b"open");
        proxy.freeze().await;
        connection.write_all(b"late").await.unwrap();
        let mut answer = [0; 4];
        let nothing = timeout(Duration::from_millis(150), connection.read_exact(&mut answer)).await;
        assert!(nothing.is_err(), "nothing arrives");
        proxy.restore().await;
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"late");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_connection_is_frozen_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpProxy::start(listener.local_addr().unwrap()).await;
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        proxy.freeze().await;
        drop(client);
        let mut byte = [0; 1];
        let unaware = timeout(Duration::from_millis(150), served.read(&mut byte)).await;
        assert!(
            unaware.is_err(),
            "the server does not know that its client is gone"
        );
        proxy.restore().await;
        assert_eq!(served.read(&mut byte).await.unwrap_or(0), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_cut_is_refused_until_it_is_restored() {
        let proxy = TcpProxy::start(echo().await).await;
        let mut connection = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut connection, b"open").await, *b"open");
        for _ in 0..2 {
            proxy.cut().await;
            let mut byte = [0; 1];
            let reset = connection.read(&mut byte).await.unwrap_err();
            assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
            let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            proxy.restore().await;
            connection = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(ask(&mut connection, b"back").await, *b"back");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_down_closes_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let proxy = TcpProxy::start(address).await;
        if let Ok(mut connection) = TcpStream::connect(proxy.address()).await {
            let mut byte = [0; 1];
            assert_eq!(connection.read(&mut byte).await.unwrap_or(0), 0);
        }
    }
}
