//! Measures how many pages a second the server rendering answers, client and site sharing the machine.
//!
//! `cargo run --release -p tagpipe-demo --example throughput -- 10000`

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tagpipe_demo::{DemoConfig, DemoSite, PageRow};

const CONNECTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages = std::env::args()
        .nth(1)
        .map_or(Ok(10_000), |pages| pages.parse())?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = DemoConfig {
        pages,
        record_requests: false,
        ..DemoConfig::default()
    };
    let demo = DemoSite::start(config, any, any).await?;
    let world = demo.world();
    for level in 1..=4 {
        let requests: Vec<String> = world
            .page_rows()
            .filter(|page| page.level == level)
            .map(|page| request(&page))
            .collect();
        let address = demo.site_addr();
        let measured = tokio::task::spawn_blocking(move || measure(address, &requests)).await??;
        println!("level {level}: {measured}");
    }
    demo.stop().await;
    Ok(())
}

fn request(page: &PageRow) -> String {
    let mut path = String::new();
    for byte in page.url_path.bytes() {
        match byte {
            b'!'..=b'~' => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n")
}

fn measure(address: SocketAddr, requests: &[String]) -> std::io::Result<String> {
    let started = Instant::now();
    let counted: Vec<std::io::Result<(u64, u64)>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| read_all(address, requests, started)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or(Ok((0, 0))))
            .collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let (mut pages, mut bytes) = (0, 0);
    for client in counted {
        let (more_pages, more_bytes) = client?;
        pages += more_pages;
        bytes += more_bytes;
    }
    let rate = pages as f64 / seconds;
    Ok(format!(
        "{rate:.0} pages/s of {} bytes on average, {CONNECTIONS} connections",
        bytes / pages.max(1)
    ))
}

fn read_all(address: SocketAddr, requests: &[String], started: Instant) -> std::io::Result<(u64, u64)> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 20];
    let (mut pages, mut bytes) = (0, 0);
    for request in requests.iter().cycle() {
        if started.elapsed() > PATIENCE {
            break;
        }
        connection.write_all(request.as_bytes())?;
        bytes += read_answer(&mut connection, &mut buffer)?;
        pages += 1;
    }
    Ok((pages, bytes))
}

/// Reads one answer with a known length, and says how long its body was.
fn read_answer(connection: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<u64> {
    let mut filled = 0;
    loop {
        filled += connection.read(&mut buffer[filled..])?;
        if let Some(end) = buffer[..filled]
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
        {
            let length = content_length(&buffer[..end]);
            let mut left = (end + 4 + length).saturating_sub(filled);
            while left > 0 {
                let room = left.min(buffer.len());
                left -= connection.read(&mut buffer[..room])?;
            }
            return Ok(length as u64);
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}
