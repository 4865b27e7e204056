//! The dashboard: pages rendered on the server, with live parts over an event stream.
//!
//! Every page works without JavaScript; forms are sent and answered by a redirect. The security policy allows no inline
//! script and no inline style, so a template has neither.

pub mod show;
pub mod views;
