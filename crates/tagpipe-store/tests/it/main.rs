//! The conformance suite: what [`tagpipe_store::Store`] promises, held against both engines. Every case is one
//! function; `on_both_engines!` makes a test of it on SQLite and one on PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "the harness is tests too, though no function of it is marked as one"
)]

#[macro_use]
mod harness;

mod audit;
mod browse;
mod check;
mod commit;
mod documents;
mod entities;
mod errors;
mod export;
mod frontier;
mod frontier_model;
mod history;
mod jobs;
mod many_runners;
mod migrations;
mod news;
mod pace;
mod reading_order;
mod reconcile;
mod runs;
mod service;
mod subjects;
mod testing;
mod views;
