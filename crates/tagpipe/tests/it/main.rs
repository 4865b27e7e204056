//! The program from outside: started as a process, on a demo site that tells the truth about its content.

mod bad_days;
mod browser;
mod chaos;
mod crawl;
mod data_questions;
mod doctor;
mod documents;
mod exits;
mod frontier_history;
mod harness;
mod help;
mod looking;
mod options;
mod orchestrate;
mod pace;
mod probe;
mod proxy;
mod pruning;
mod python_guide;
mod reparse;
mod resume;
mod settings;
mod site_input;
mod tcp_proxy;
mod truth;
