//! A stand-in for the population report: synthetic, deterministic from a seed, and honest about its own content.
//!
//! [`DemoSite::start`] opens two addresses. The first is the site: five levels of pages from categories down to
//! the leaderboard of a card, either rendered by the server or by a script in the visitor's browser, with all
//! the quirks and, on request, all the faults of its model. The second tells the truth: every row that a perfect
//! reading must yield, every request received, and every setting.
//!
//! The crate knows nothing of the pipeline that reads the site, so no mistake can hide in both.
//!
//! | module | owns |
//! |---|---|
//! | `chance` | repeatable draws |
//! | `world` | the content, without any form |
//! | `address` | addresses and their spellings |
//! | `render` | the markup |
//! | `app` | the script rendering |
//! | `faults` | misbehaviour on request |
//! | `truth` | the rows that a reading must yield |
//! | `request_log` | the requests received |
//! | `server` | the two addresses |
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use tagpipe_demo::{DemoConfig, DemoSite};
//!
//! let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
//! let demo = DemoSite::start(DemoConfig { pages: 100, ..DemoConfig::default() }, any, any).await?;
//! println!("{} has {} pages", demo.site_url(), demo.world().page_count());
//! demo.stop().await;
//! # Ok(())
//! # }
//! ```

mod address;
mod app;
mod chance;
mod config;
mod faults;
mod render;
mod request_log;
mod server;
mod truth;
mod world;

pub use self::config::{DemoConfig, Latency, Layout, Level, Rendering};
pub use self::faults::{Fault, Faults};
pub use self::request_log::{RequestKind, RequestRecord};
pub use self::server::{DemoSite, RunningDemo};
pub use self::truth::{CardRow, CategoryRow, GradeRow, PageRow, RowCounts, SetRow, Summary, YearRow};
pub use self::world::{
    CertNumber, Counts, Day, FEWEST_PAGES, GRADES, Grade, LONGEST_NAME, MOST_PAGES, World,
};
