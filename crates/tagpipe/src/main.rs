//! tagpipe reads the TAG population report: command line and wiring.
fn main() {}
