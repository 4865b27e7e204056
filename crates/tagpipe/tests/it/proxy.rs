//! A small server that answers some paths itself and passes the others on to a site.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// What a path is answered with.
pub(crate) enum Answer {
    /// What the site says.
    Forward,
    /// What the site says, changed.
    Rewrite(Box<dyn Fn(String) -> String + Send>),
    /// A page.
    Page(String),
    /// These bytes, whole answer.
    Raw(Vec<u8>),
    /// These bytes again and again, after the head of a page; so many times or for ever.
    Repeat(Vec<u8>, Option<usize>),
}

impl Answer {
    pub(crate) fn redirect(location: &str) -> Answer {
        Answer::Raw(
            format!(
                "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            .into_bytes(),
        )
    }

    pub(crate) fn status(status: &str) -> Answer {
        Answer::Raw(
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes(),
        )
    }
}

/// The server, until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(
        site: Option<SocketAddr>,
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                // A client that goes away in the middle is the client's business.
                connections.spawn(async move { drop(serve(connection, site, answer.as_ref()).await) });
            }
        });
        Proxy {
            address,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    site: Option<SocketAddr>,
    answer: &(dyn Fn(&str) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
    match answer(&path) {
        Answer::Forward => client.write_all(&ask(site, &path).await?).await?,
        Answer::Rewrite(change) => {
            let whole = ask(site, &path).await?;
            let whole = String::from_utf8_lossy(&whole);
            let body = whole.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            client.write_all(&page(&change(body.to_owned()))).await?;
        }
        Answer::Page(body) => client.write_all(&page(&body)).await?,
        Answer::Raw(bytes) => client.write_all(&bytes).await?,
        Answer::Repeat(bytes, times) => {
            client
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n\r\n",
                )
                .await?;
            let mut written = 0;
            while times.is_none_or(|times| written < times) {
                client.write_all(&bytes).await?;
                written += 1;
            }
        }
    }
    client.shutdown().await
}

async fn ask(site: Option<SocketAddr>, path: &str) -> std::io::Result<Vec<u8>> {
    let Some(site) = site else {
        return Ok(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec());
    };
    let mut server = TcpStream::connect(site).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {site}\r\nuser-agent: proxy\r\nconnection: close\r\n\r\n");
    server.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn page(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
