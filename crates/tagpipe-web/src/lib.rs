//! The service's HTTP side: REST API, event streams, metrics and dashboard.
//!
//! It reads through the [`Store`](tagpipe_store::Store) and acts through the [`Service`](tagpipe_engine::Service), and knows
//! neither SQL nor processes. [`router`] is the whole of it, apart from the network, so that tests can ask it directly;
//! [`serve`] puts it on the network.
//!
//! - `api/`: one file for each resource; [`api::document`] is the contract.
//! - `guard/`: who may do what, limits, headers.
//! - `streams.rs`: what is watched live, asked of the database once for everybody who watches.
//! - `dashboard/`: pages for people, made on the server.

pub mod api;
mod dashboard;
mod guard;
mod metrics;
mod outlook;
mod problem;
mod server;
mod state;
mod streams;

pub use guard::{Controller, Identity, Reader};
pub use problem::Problem;
pub use server::{ServeError, Served, TlsFiles, WebSettings, router, serve};
pub use state::App;

/// SHA-256 of a token's secret, as it is stored.
#[must_use]
pub fn token_hash(secret: &str) -> String {
    guard::hashed(secret)
}

/// A new secret for a token: 256 random bits, with a mark by which leaked ones are recognised.
#[must_use]
pub fn new_secret() -> String {
    // Version 4 UUIDs come from the system's random numbers; two of them have 244 such bits.
    let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    format!("tagpipe_{}{}", one.simple(), two.simple())
}
