//! Arguments of the demo.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe demo
  tagpipe demo --pages 10000 --no-browser
  tagpipe demo --database-url postgres://tagpipe@localhost/demo

It replaces tagpipe-demo.db in the current folder and needs no network.")]
pub(crate) struct DemoArguments {
    /// Size of the demo site, in pages
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u64).range(60..=100_000))]
    pub(crate) pages: u64,
    /// Seed of its content
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Do not show the script-rendered form through Chromium
    #[arg(long)]
    pub(crate) no_browser: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe demo-site --pages 10000
  tagpipe demo-site --rendering script --listen 127.0.0.1:8000
  tagpipe demo-site --rate-limited 0.1 --soft-404 0.05 --cut-off 0.05")]
pub(crate) struct DemoSiteArguments {
    /// Address of the site
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Address at which the site tells the truth about its content, and takes switches
    #[arg(long, default_value = "127.0.0.1:8001", value_name = "ADDRESS")]
    pub(crate) admin: SocketAddr,
    /// Size, in pages
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u64).range(60..=100_000))]
    pub(crate) pages: u64,
    /// Seed of the content
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// server: complete pages; script: an app that paints them
    #[arg(long, value_enum, default_value = "server", value_name = "HOW")]
    pub(crate) rendering: RenderingChoice,
    /// Time before each document, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) latency_ms: u64,
    /// Share of answers that are 429 (0 to 1)
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) rate_limited: f64,
    /// Share of answers that are 503
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) unavailable: f64,
    /// Share of answers that pretend the page does not exist
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) soft_404: f64,
    /// Share of answers that break off
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) cut_off: f64,
    /// Share of answers that are slow
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) slow: f64,
    /// Share of answers that miss rows
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) partial: f64,
    /// Add a category with hostile names
    #[arg(long)]
    pub(crate) hostile: bool,
    /// Keep no log of requests
    #[arg(long)]
    pub(crate) no_request_log: bool,
}

/// How the demo site renders its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderingChoice {
    Server,
    Script,
}
