//! A small HTTP client that hides nothing: raw paths, and bodies as far as they came.

use std::net::SocketAddr;
use std::time::Duration;

use tagpipe_demo::{DemoConfig, DemoSite, RunningDemo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer; the body may be shorter than announced.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn announced(&self) -> Option<usize> {
        self.header("content-length")
            .map(|length| length.parse().expect("a length is a number"))
    }

    pub(crate) fn is_not_found_screen(&self) -> bool {
        self.status == 200 && self.text().contains("Page Not Found") && !self.text().contains("<table")
    }
}

pub(crate) async fn start(config: DemoConfig) -> RunningDemo {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    DemoSite::start(config, any, any)
        .await
        .expect("free ports are there")
}

/// Percent-encodes what may not stand in a request line, as browsers do; what is encoded stays so.
pub(crate) fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

pub(crate) async fn get(demo: &RunningDemo, path: &str) -> Answer {
    send(demo.site_addr(), "GET", &encoded(path), "", "").await
}

pub(crate) async fn admin(demo: &RunningDemo, path: &str) -> Answer {
    send(demo.admin_addr(), "GET", path, "", "").await
}

pub(crate) async fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: demo\r\nUser-Agent: test/1\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(address).await.expect("the site listens");
    connection
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .expect("the site takes requests");
    let mut bytes = Vec::new();
    // A connection that breaks off leaves what came before: that is what some tests look at.
    let read = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut bytes)).await;
    let _broken_off = read.expect("the answer ends");
    parse(&bytes)
}

/// Sends a request and reads the first `limit` bytes of the answer.
pub(crate) async fn peek(demo: &RunningDemo, path: &str, limit: usize) -> Vec<u8> {
    let mut connection = TcpStream::connect(demo.site_addr())
        .await
        .expect("the site listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .await
        .expect("the site takes requests");
    let mut bytes = vec![0; limit];
    connection
        .read_exact(&mut bytes)
        .await
        .expect("there is that much");
    bytes
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an answer has a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a head has a status");
    let raw = &bytes[end + 4..];
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(raw) } else { raw.to_vec() };
    Answer { status, head, body }
}

fn unchunked(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&raw[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|&size| size > 0 && raw.len() >= end + 2 + size) else {
            break;
        };
        body.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw = &raw[(end + 4 + size).min(raw.len())..];
    }
    body
}
