//! A small web site whose every byte a test decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// What a site sends for one request, and what it does then.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    Close,
    /// Stays silent until the client goes away.
    Stall,
    /// Sends this again and again until the client goes away.
    Repeat(Vec<u8>),
}

impl Reply {
    /// An answer with `headers`, each ended by CR LF, and `body`.
    pub(crate) fn new(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        Reply::raw([head.as_bytes(), body].concat())
    }

    pub(crate) fn html(body: impl AsRef<[u8]>) -> Reply {
        Reply::new(200, "Content-Type: text/html; charset=utf-8\r\n", body)
    }

    pub(crate) fn redirect(to: &str) -> Reply {
        Reply::new(302, &format!("Location: {to}\r\n"), "")
    }

    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
        Reply {
            bytes: bytes.into(),
            then: Then::Close,
        }
    }

    pub(crate) fn then_stall(self) -> Reply {
        Reply {
            then: Then::Stall,
            ..self
        }
    }

    pub(crate) fn then_repeat(self, bytes: Vec<u8>) -> Reply {
        Reply {
            then: Then::Repeat(bytes),
            ..self
        }
    }
}

/// One request as it came: its first line and its headers.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
}

impl Request {
    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

pub(crate) struct Site {
    pub(crate) origin: Url,
    log: watch::Sender<Vec<Request>>,
    /// Path and query of the stalled requests whose client went away.
    given_up: watch::Sender<Vec<String>>,
    /// Bytes of bodies that the network took, over all connections.
    sent: watch::Sender<usize>,
}

impl Site {
    /// A site on a free port that answers each request with what `handler` makes of its path and query.
    pub(crate) async fn start(handler: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Arc<Site> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let origin = Url::parse(&origin).expect("a URL");
        let site = Arc::new(Site {
            origin,
            log: watch::Sender::new(Vec::new()),
            given_up: watch::Sender::default(),
            sent: watch::Sender::new(0),
        });
        let handler = Arc::new(handler);
        let serving = Arc::clone(&site);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (site, handler) = (Arc::clone(&serving), Arc::clone(&handler));
                tokio::spawn(async move {
                    // Clients may go away whenever they like.
                    let _ = site.answer(stream, &*handler).await;
                });
            }
        });
        site
    }

    pub(crate) fn url(&self, target: &str) -> Url {
        self.origin.join(target).expect("a URL")
    }

    /// Path and query of all requests so far, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.log
            .borrow()
            .iter()
            .map(|request| request.target().to_owned())
            .collect()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.borrow().clone()
    }

    pub(crate) fn count(&self, target: &str) -> usize {
        self.targets().iter().filter(|seen| *seen == target).count()
    }

    pub(crate) fn sent(&self) -> usize {
        *self.sent.borrow()
    }

    /// Waits until `target` was asked for.
    pub(crate) async fn asked_for(&self, target: &str) {
        let mut log = self.log.subscribe();
        let asked = |log: &Vec<Request>| log.iter().any(|request| request.target() == target);
        log.wait_for(asked).await.expect("the site runs");
    }

    /// Waits until the client of the stalled request for `target` went away.
    pub(crate) async fn given_up(&self, target: &str) {
        let mut given_up = self.given_up.subscribe();
        let gone = given_up.wait_for(|targets| targets.iter().any(|gone| gone == target));
        let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
        gone.expect("the client goes away").expect("the site runs");
    }

    async fn answer(
        &self,
        stream: TcpStream,
        handler: &(dyn Fn(&str) -> Reply + Send + Sync),
    ) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let request = Request { head };
        let target = request.target().to_owned();
        let reply = handler(&target);
        self.log.send_modify(|log| log.push(request));
        stream.write_all(&reply.bytes).await?;
        stream.flush().await?;
        match reply.then {
            Then::Close => Ok(()),
            Then::Stall => {
                // Ends with the connection, in whichever way.
                let _ = stream.read_to_end(&mut Vec::new()).await;
                self.given_up.send_modify(|given_up| given_up.push(target));
                Ok(())
            }
            Then::Repeat(bytes) => loop {
                stream.write_all(&bytes).await?;
                self.sent.send_modify(|sent| *sent += bytes.len());
            },
        }
    }
}
