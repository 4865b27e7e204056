//! The rules of tagpipe, free of I/O: what the population report is made of ([`model`]), what a site
//! looks like ([`profile`]), how a document becomes a typed page ([`extract`]), which states a page goes
//! through ([`lifecycle`]) and what each outcome of a read leads to ([`policy`]).
//!
//! Nothing here knows tokio, SQL, HTTP, files, the clock or randomness: functions take values, `now` and
//! random numbers included, and return values, so every rule is tested in milliseconds.

pub mod extract;
pub mod filter;
pub mod inspection;
pub mod lifecycle;
pub mod model;
pub mod news;
pub mod outcome;
pub mod policy;
pub mod profile;
pub mod staleness;
pub mod tabular;
pub mod text;
pub mod watch;
