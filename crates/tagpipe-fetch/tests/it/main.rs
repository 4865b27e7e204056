//! Fetching from real servers on the loopback interface, with a real Chromium.

mod browser;
mod chromium;
mod http;
mod kill;
mod robots;
mod site;
