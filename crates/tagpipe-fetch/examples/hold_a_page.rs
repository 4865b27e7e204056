//! Opens one page in the browser, says so, and waits: to see what is left when it is killed.
//!
//! `cargo run -p tagpipe-fetch --example hold_a_page -- http://127.0.0.1:8080/pop-report/Baseball`

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tagpipe_core::model::PageKind;
use tagpipe_core::profile::SiteProfile;
use tagpipe_fetch::{BrowserFetcher, BrowserSettings, Fetcher};
use url::Url;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = Url::parse(&std::env::args().nth(1).ok_or("the URL of a page is missing")?)?;
    let profile = SiteProfile::builtin();
    let fetcher = BrowserFetcher::new(BrowserSettings {
        executable: None,
        tabs: 1,
        user_agent: "tagpipe (+https://github.com/tagpipe/tagpipe)".to_owned(),
        timeout: Duration::from_secs(30),
        settle: Duration::from_millis(250),
        max_bytes: 16 << 20,
        rules: HashMap::from([(PageKind::Years, profile.wait_rules(PageKind::Years))]),
        block: profile.browser.block,
        recycle_after_pages: 500,
        recycle_after_age: Duration::from_secs(3600),
        recycle_above_bytes: 2 << 30,
    });
    let page = fetcher.open(PageKind::Years, &url).await?;
    println!("open: {} bytes", page.document.bytes);
    tokio::signal::ctrl_c().await?;
    drop(page);
    fetcher.close().await;
    Ok(())
}
