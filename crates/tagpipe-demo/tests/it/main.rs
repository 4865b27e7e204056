//! The demo site from outside: over HTTP, as its readers see it, against what it says is true.

mod addresses;
mod content;
mod faults;
mod http;
mod page;
mod settings;
mod whole_site;
mod world;
