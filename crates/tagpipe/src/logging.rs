//! Logs: always to standard error, as lines for people or as JSON, and never through a progress bar.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tagpipe_store::audit::AuditLevel;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::settings::LogFormat;

/// Starts logging. Lines are written above `bars`.
pub(crate) fn start(level: AuditLevel, format: LogFormat, quiet: bool, bars: &MultiProgress) {
    let level = match level {
        AuditLevel::Debug => LevelFilter::DEBUG,
        AuditLevel::Info if !quiet => LevelFilter::INFO,
        AuditLevel::Info | AuditLevel::Warning => LevelFilter::WARN,
        AuditLevel::Error | AuditLevel::Critical => LevelFilter::ERROR,
    };
    let targets = tracing_subscriber::filter::Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("tagpipe", level);
    let writer = AboveBars(bars.clone());
    let registry = tracing_subscriber::registry().with(targets);
    // A second start, as tests may cause, keeps the first.
    let _ = match format {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(writer),
            )
            .try_init(),
        LogFormat::Pretty => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_target(false)
                    .with_ansi(colours_wanted())
                    .with_writer(writer),
            )
            .try_init(),
    };
}

/// The same for commands without progress: only what deserves a look, unless DEBUG was asked for.
pub(crate) fn start_plain(level: AuditLevel, format: LogFormat) {
    let level = if level == AuditLevel::Debug {
        level
    } else {
        level.max(AuditLevel::Warning)
    };
    start(level, format, true, &MultiProgress::new());
}

fn colours_wanted() -> bool {
    match anstream::ColorChoice::global() {
        anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => true,
        anstream::ColorChoice::Never => false,
        anstream::ColorChoice::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Writes each line while the bars are out of the way.
struct AboveBars(MultiProgress);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            bars: self.0.clone(),
            text: Vec::new(),
        }
    }
}

/// One event's text, written when it is complete.
struct Line {
    bars: MultiProgress,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // If standard error is gone there is nobody to tell.
        let _ = self.bars.suspend(|| io::stderr().write_all(&self.text));
    }
}
