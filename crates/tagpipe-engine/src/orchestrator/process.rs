//! A runner's process: started here, or found alive after an earlier orchestrator was killed.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::LogLines;
use crate::process::{Presence, group_of, has_group, presence};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
    /// It was not started here: only that it is gone can be told.
    Unknown,
}

pub(crate) enum RunnerProcess {
    /// Our child, which leads a process group. If it is a script, the runner itself is another process of the group.
    Started {
        child: Box<Child>,
        group: u32,
        /// How the child ended, while others of its group go on.
        left: Option<Exit>,
    },
    Found {
        host: String,
        pid: u32,
        mark: String,
    },
}

impl RunnerProcess {
    /// Starts `command` in a process group of its own: a Ctrl-C at the terminal reaches only us, and we pass it on.
    /// It outlives us, whatever ends us. Its log goes to ours, or to `lines`.
    pub(crate) fn start(command: Command, lines: Option<&LogLines>) -> std::io::Result<RunnerProcess> {
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
        let group = child.id().unwrap_or(0);
        Ok(RunnerProcess::Started {
            child: Box::new(child),
            group,
            left: None,
        })
    }

    /// Its id, which is also that of its group.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            RunnerProcess::Started { group, .. } => *group,
            RunnerProcess::Found { pid, .. } => *pid,
        }
    }

    /// How it ended, if it has. A script has ended when the runner that it started has, too.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        match self {
            RunnerProcess::Started { child, group, left } => {
                if left.is_none() {
                    *left = match child.try_wait() {
                        Ok(status) => status.map(Exit::of),
                        // Somebody else has collected it.
                        Err(_) => Some(Exit::Unknown),
                    };
                }
                left.filter(|_| !has_group(*group))
            }
            RunnerProcess::Found { host, pid, mark } => match presence(host, *pid, mark) {
                Presence::Here => None,
                Presence::Gone | Presence::Unknown => Some(Exit::Unknown),
            },
        }
    }

    /// Asks it to stop in order.
    pub(crate) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks one that was asked to stop to do so at once. By another signal: two of a kind may arrive as one.
    pub(crate) fn hurry(&self) {
        self.signal(Signal::INT);
    }

    /// Ends it and what it has started in its group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid();
        let is_leader = match self {
            // A group keeps its id while somebody is in it.
            RunnerProcess::Started { .. } => true,
            RunnerProcess::Found { host, mark, .. } if presence(host, pid, mark) != Presence::Here => return,
            RunnerProcess::Found { .. } => group_of(pid) == Some(pid),
        };
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        let sent = match is_leader {
            true => kill_process_group(pid, signal),
            false => kill_process(pid, signal),
        };
        if let Err(error) = sent {
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
