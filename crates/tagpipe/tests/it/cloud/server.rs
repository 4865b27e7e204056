//! Servers of others, started by our scripts.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::target;

/// A server on a port of its own. Ends with the test.
pub(super) struct Server {
    pub(super) port: u16,
    _process: Child,
}

impl Server {
    /// Starts one by its script, which installs it where it is missing, and waits until it listens.
    pub(super) async fn start(script: &str) -> Server {
        let path = format!("{}/../../scripts/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(path)
            .env("CARGO_TARGET_DIR", target())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a script starts");
        let mut lines = BufReader::new(process.stderr.take().expect("its words are piped")).lines();
        let mut said = String::new();
        let port = loop {
            let line = lines.next_line().await.expect("its words are text");
            let line = line.unwrap_or_else(|| {
                panic!("this test needs the server that scripts/{script} installs; it said:\n{said}")
            });
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break digits.parse().expect("a port");
            }
            said.push_str(&line);
            said.push('\n');
        };
        // A pipe that nobody reads would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Server {
            port,
            _process: process,
        }
    }
}
