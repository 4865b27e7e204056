//! A runner's process: started here, or found alive after an earlier orchestrator was killed.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::LogLines;
use crate::process::{Presence, group_of, presence};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    /// It was not started here: only that it is gone can be told.
    Unknown,
}

/// One process, alone in its process group or the leader of it.
pub(super) enum RunnerProcess {
    Started(Child),
    Found { host: String, pid: u32, mark: String },
}

impl RunnerProcess {
    /// Starts `command` in a process group of its own: a Ctrl-C at the terminal reaches only us, and we pass it on.
    /// It outlives us, whatever ends us. Its log goes to ours, or to `lines`.
    pub(super) fn start(command: Command, lines: Option<&LogLines>) -> std::io::Result<RunnerProcess> {
        let mut command = tokio::process::Command::from(command);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(false);
        if lines.is_some() {
            command.stderr(Stdio::piped());
        }
        let mut child = command.spawn()?;
        if let (Some(lines), Some(stderr)) = (lines, child.stderr.take()) {
            let lines = LogLines::clone(lines);
            // Ends with the last process that holds the other end.
            tokio::spawn(async move {
                let mut stderr = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = stderr.next_line().await {
                    lines(&line);
                }
            });
        }
        Ok(RunnerProcess::Started(child))
    }

    /// Its id; `None` once it has been seen to end.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            RunnerProcess::Started(child) => child.id(),
            RunnerProcess::Found { pid, .. } => Some(*pid),
        }
    }

    /// How it ended, if it has.
    pub(super) fn exit(&mut self) -> Option<Exit> {
        match self {
            RunnerProcess::Started(child) => match child.try_wait() {
                Ok(status) => status.map(Exit::of),
                // Somebody else has collected it.
                Err(_) => Some(Exit::Unknown),
            },
            RunnerProcess::Found { host, pid, mark } => match presence(host, *pid, mark) {
                Presence::Here => None,
                Presence::Gone | Presence::Unknown => Some(Exit::Unknown),
            },
        }
    }

    /// Asks it to stop: the first time in order, the second time at once.
    pub(super) fn ask_to_stop(&self) {
        self.with_pid(|pid| kill_process(pid, Signal::TERM));
    }

    /// Ends it and what it has started in its group.
    pub(super) fn kill(&self) {
        self.with_pid(|pid| {
            let raw = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
            match group_of(raw) {
                Some(group) if group == raw => kill_process_group(pid, Signal::KILL),
                _ => kill_process(pid, Signal::KILL),
            }
        });
    }

    fn with_pid(&self, action: impl Fn(Pid) -> rustix::io::Result<()>) {
        let is_another_now = match self {
            // A child that is not yet waited for keeps its id.
            RunnerProcess::Started(_) => false,
            RunnerProcess::Found { host, pid, mark } => presence(host, *pid, mark) != Presence::Here,
        };
        let pid = self
            .pid()
            .filter(|_| !is_another_now)
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid
            && let Err(error) = action(pid)
        {
            tracing::debug!(%error, "a signal did not reach its process");
        }
    }
}

impl Exit {
    fn of(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}
