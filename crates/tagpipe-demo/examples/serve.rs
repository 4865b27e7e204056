//! Serves a demo site until Ctrl-C and prints its two addresses.
//!
//! `cargo run -p tagpipe-demo --example serve -- --pages 600 --rendering script --listen 127.0.0.1:8090`
//!
//! Every further setting can be changed at run time with `PUT /settings` on the admin address.

use std::net::SocketAddr;

use tagpipe_demo::{DemoConfig, DemoSite, Rendering};

const USAGE: &str = "options: --pages N  --seed N  --rendering server|script  --hostile  --quiet-log  --listen ADDR  --admin ADDR";

struct Options {
    config: DemoConfig,
    listen: SocketAddr,
    admin: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = parse(std::env::args().skip(1))?;
    let demo = DemoSite::start(options.config, options.listen, options.admin).await?;
    println!("site  {}/pop-report", demo.site_url());
    println!("admin {}/truth/summary", demo.admin_url());
    tokio::signal::ctrl_c().await?;
    demo.stop().await;
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, Box<dyn std::error::Error>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = Options {
        config: DemoConfig::default(),
        listen: any,
        admin: any,
    };
    while let Some(name) = words.next() {
        match name.as_str() {
            "--hostile" => options.config.hostile = true,
            "--quiet-log" => options.config.record_requests = false,
            _ => take(&mut options, &name, &words.next().ok_or(USAGE)?)?,
        }
    }
    Ok(options)
}

fn take(options: &mut Options, name: &str, value: &str) -> Result<(), Box<dyn std::error::Error>> {
    match (name, value) {
        ("--pages", pages) => options.config.pages = pages.parse()?,
        ("--seed", seed) => options.config.seed = seed.parse()?,
        ("--rendering", "server") => options.config.rendering = Rendering::Server,
        ("--rendering", "script") => options.config.rendering = Rendering::Script,
        ("--listen", address) => options.listen = address.parse()?,
        ("--admin", address) => options.admin = address.parse()?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
