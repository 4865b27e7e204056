//! Signals: what asks a command to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use tagpipe_engine::{Shutdown, StopRequest};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether SIGTERM or SIGHUP rather than Ctrl-C was the last request to stop.
pub(super) fn was_terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// Turns each Ctrl-C, SIGTERM or SIGHUP into a request to stop.
pub(super) async fn listen_for_signals(shutdown: Shutdown) {
    let hangup = hangup();
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        hangup,
    ) else {
        tracing::warn!("signals cannot be listened for; stopping at once loses nothing either");
        return;
    };
    loop {
        let by_term = tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => true,
            () = next(hangup.as_mut()) => true,
        };
        TERMINATED.store(by_term, Ordering::Relaxed);
        shutdown.request();
        if shutdown.requested() == StopRequest::Graceful {
            tracing::warn!("stopping: finishing the pages in hand (once more to stop at once)");
        } else {
            tracing::warn!("stopping at once: pages in hand are given back unread");
        }
    }
}

/// The signal of a terminal that was closed, unless it was to be ignored, as by `nohup`: to listen would undo that.
fn hangup() -> std::io::Result<Option<Signal>> {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) if !ignores_hangup(&status) => signal(SignalKind::hangup()).map(Some),
        // Where it cannot be told, what the process was started with stays in force.
        _ => Ok(None),
    }
}

/// Whether a process with this `/proc/PID/status` ignores SIGHUP. `SigIgn` is a hexadecimal mask whose lowest bit is
/// signal 1 (proc(5)).
fn ignores_hangup(status: &str) -> bool {
    let hangup = 1_u64 << (SignalKind::hangup().as_raw_value() - 1);
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & hangup != 0)
}

/// Waits for a signal; for ever if it is not listened for.
async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Remembers which signal asked to stop.
pub(super) fn note(exit: Exit) {
    TERMINATED.store(exit == Exit::Terminated, Ordering::Relaxed);
}

/// Listens for Ctrl-C, SIGTERM and SIGHUP from the call on, and waits for one; it tells the exit code that is asked for.
pub(crate) fn wait_for_signal() -> impl Future<Output = Exit> {
    let listening = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        hangup(),
    );
    async {
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = listening else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
            () = next(hangup.as_mut()) => Exit::Terminated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_seen_in_the_mask() {
        for (mask, expected) in [
            ("0000000000000000", false),
            ("0000000000000001", true),
            ("0000000000001000", false),
            ("0000000000001001", true),
            ("rubbish", false),
        ] {
            let status = format!("Name:\ttagpipe\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
            assert_eq!(ignores_hangup(&status), expected, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
