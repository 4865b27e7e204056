//! The HTTP side over a database that a demo site with hostile names was read into.

mod dashboard;
mod rig;
