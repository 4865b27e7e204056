//! The program from outside: started as a process, on a demo site that tells the truth about its content.

mod browser;
mod crawl;
mod data_questions;
mod exits;
mod harness;
mod help;
mod options;
mod pace;
mod proxy;
mod resume;
mod settings;
mod site_input;
mod truth;
