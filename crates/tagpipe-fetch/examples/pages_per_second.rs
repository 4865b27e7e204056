//! How many pages a second the browser reads: serves a trivial script-rendered page to itself.
//!
//! `cargo run --release -p tagpipe-fetch --example pages_per_second [pages] [tabs…]`

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tagpipe_core::model::PageKind;
use tagpipe_core::profile::{SiteProfile, WaitRules};
use tagpipe_fetch::{BrowserFetcher, BrowserSettings, Fetcher};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

const PAGE: &str = "<!doctype html><div id=root></div><script>setTimeout(() => { \
    root.innerHTML = '<table><tbody>' + '<tr class=MuiTableRow-root><td class=MuiTableCell-root>1986</td></tr>'.repeat(40) \
    + '</tbody></table><p class=MuiTablePagination-caption>1-40 of 40</p>'; }, 0)</script>";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let (pages, tabs) = numbers
        .split_first()
        .map_or((200, &[1, 2, 4][..]), |(pages, tabs)| (*pages, tabs));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = Url::parse(&format!("http://{}/pop-report/Baseball", listener.local_addr()?))?;
    tokio::spawn(serve(listener));
    for tabs in tabs {
        measure(&url, pages, *tabs).await?;
    }
    Ok(())
}

async fn measure(url: &Url, pages: usize, tabs: usize) -> Result<(), Box<dyn Error>> {
    let fetcher = Arc::new(BrowserFetcher::new(settings(tabs)));
    let start = Instant::now();
    drop(fetcher.open(PageKind::Years, url).await?);
    let first = start.elapsed();
    let start = Instant::now();
    let mut reads = stream::iter(0..pages)
        .map(|_| async {
            fetcher
                .open(PageKind::Years, url)
                .await
                .map(|page| page.document.elapsed)
        })
        .buffer_unordered(tabs);
    let mut elapsed = Vec::new();
    while let Some(read) = reads.next().await {
        elapsed.push(read?);
    }
    elapsed.sort();
    let rate = pages as f64 / start.elapsed().as_secs_f64();
    println!(
        "{tabs} tabs: {rate:.1} pages/s, median {:?}, first page after {first:?}",
        elapsed[pages / 2]
    );
    drop(reads);
    fetcher.close().await;
    Ok(())
}

fn settings(tabs: usize) -> BrowserSettings {
    let profile = SiteProfile::builtin();
    let rules: HashMap<PageKind, WaitRules> = PageKind::ALL
        .into_iter()
        .map(|kind| (kind, profile.wait_rules(kind)))
        .collect();
    BrowserSettings {
        executable: None,
        tabs,
        user_agent: "tagpipe (+https://github.com/tagpipe/tagpipe)".to_owned(),
        timeout: Duration::from_secs(10),
        settle: Duration::from_millis(250),
        max_bytes: 16 << 20,
        block: profile.browser.block,
        rules,
        recycle_after_pages: 500,
        recycle_after_age: Duration::from_secs(3600),
        recycle_above_bytes: 2 << 30,
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A connection that breaks off ends its own task only.
            let _ = answer(stream).await;
        });
    }
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
            PAGE.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(PAGE.as_bytes()).await?;
    }
}
