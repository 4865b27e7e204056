//! Logs: always to standard error, as lines for people or as JSON, and never through a progress bar.
//!
//! Where many runners write to one place, each event tells whose it is, and goes out whole: by one write.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use indicatif::MultiProgress;
use tagpipe_store::audit::AuditLevel;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::settings::LogFormat;

/// What is logged, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logging<'a> {
    pub(crate) level: AuditLevel,
    pub(crate) format: LogFormat,
    /// Leaves out what is no warning, unless DEBUG was asked for.
    pub(crate) is_quiet: bool,
    /// The runner whose lines these are; told in each of them.
    pub(crate) runner_id: Option<&'a str>,
}

/// Starts logging. Lines are written above `bars`.
pub(crate) fn start(logging: Logging<'_>, bars: &MultiProgress) {
    let bars = bars.clone();
    let write = move |text: &[u8]| {
        // If standard error is gone there is nobody to tell.
        let _ = bars.suspend(|| io::stderr().write_all(text));
    };
    // A second start, as tests may cause, keeps the first.
    let _ = subscriber(logging, colours_wanted(), Arc::new(write)).try_init();
}

/// The same for commands without progress: only what deserves a look, unless DEBUG was asked for.
pub(crate) fn start_plain(level: AuditLevel, format: LogFormat) {
    let level = if level == AuditLevel::Debug {
        level
    } else {
        level.max(AuditLevel::Warning)
    };
    let logging = Logging {
        level,
        format,
        is_quiet: true,
        runner_id: None,
    };
    start(logging, &MultiProgress::new());
}

/// Takes the text of one event, to its last line's end.
type WriteEvent = Arc<dyn Fn(&[u8]) + Send + Sync>;

fn subscriber(logging: Logging<'_>, has_colours: bool, write: WriteEvent) -> impl Subscriber + Send + Sync {
    let stamp = logging
        .runner_id
        .map(|runner_id| Stamp::new(runner_id, logging.format, has_colours));
    let lines = Lines { stamp, write };
    let layer = match logging.format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(lines)
            .boxed(),
        LogFormat::Pretty => tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_ansi(has_colours)
            .with_writer(lines)
            .boxed(),
    };
    tracing_subscriber::registry().with(targets(logging)).with(layer)
}

fn targets(logging: Logging<'_>) -> Targets {
    let level = match logging.level {
        AuditLevel::Debug => LevelFilter::DEBUG,
        AuditLevel::Info if !logging.is_quiet => LevelFilter::INFO,
        AuditLevel::Info | AuditLevel::Warning => LevelFilter::WARN,
        AuditLevel::Error | AuditLevel::Critical => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("tagpipe", level)
}

fn colours_wanted() -> bool {
    match anstream::ColorChoice::global() {
        anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => true,
        anstream::ColorChoice::Never => false,
        anstream::ColorChoice::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// What tells whose event it is, and before what it stands: the end of the event's text.
#[derive(Debug, Clone)]
struct Stamp {
    text: Arc<str>,
    before: &'static str,
}

impl Stamp {
    fn new(runner_id: &str, format: LogFormat, has_colours: bool) -> Stamp {
        let (text, before) = match format {
            LogFormat::Json => (format!(",\"runner_id\":{}", serde_json::json!(runner_id)), "}\n"),
            // As the formatter writes the fields of an event.
            LogFormat::Pretty if has_colours => (
                format!(" \u{1b}[3mrunner_id\u{1b}[0m\u{1b}[2m=\u{1b}[0m{runner_id}"),
                "\n",
            ),
            LogFormat::Pretty => (format!(" runner_id={runner_id}"), "\n"),
        };
        Stamp {
            text: text.into(),
            before,
        }
    }

    /// Puts it into an event's text. What has another form, such as a complaint of the formatter, stays as it is.
    fn put_into(&self, text: &mut Vec<u8>) {
        if text.ends_with(self.before.as_bytes()) {
            let at = text.len() - self.before.len();
            text.splice(at..at, self.text.bytes());
        }
    }
}

/// Makes a `Line` for each event.
struct Lines {
    stamp: Option<Stamp>,
    write: WriteEvent,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            stamp: self.stamp.clone(),
            write: Arc::clone(&self.write),
            text: Vec::new(),
        }
    }
}

/// One event's text, written when it is complete.
struct Line {
    stamp: Option<Stamp>,
    write: WriteEvent,
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
        if let Some(stamp) = &self.stamp {
            stamp.put_into(&mut self.text);
        }
        if !self.text.is_empty() {
            (self.write)(&self.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Value;

    use super::*;

    /// What is written for two events, one of them of two lines: a text for each write.
    fn written(format: LogFormat, has_colours: bool, runner_id: Option<&str>) -> Vec<String> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&written);
        let write = move |text: &[u8]| {
            let text = String::from_utf8(text.to_vec()).expect("UTF-8");
            into.lock().expect("a lock").push(text);
        };
        let logging = Logging {
            level: AuditLevel::Info,
            format,
            is_quiet: false,
            runner_id,
        };
        tracing::subscriber::with_default(subscriber(logging, has_colours, Arc::new(write)), || {
            tracing::info!(pages = 3, "read");
            tracing::warn!("a layout of\ntwo lines {{}}");
        });
        let written = written.lock().expect("a lock");
        assert_eq!(written.len(), 2, "one write for an event: {written:?}");
        written.clone()
    }

    #[test]
    fn lines_for_people_end_in_the_runner() {
        let lines = written(LogFormat::Pretty, false, Some("runner_1"));
        assert!(
            lines[0].ends_with("INFO read pages=3 runner_id=runner_1\n"),
            "{lines:?}"
        );
        assert!(
            lines[1].ends_with("two lines {} runner_id=runner_1\n"),
            "{lines:?}"
        );
        let lines = written(LogFormat::Pretty, false, None);
        assert!(lines[0].ends_with("INFO read pages=3\n"), "{lines:?}");
    }

    #[test]
    fn coloured_lines_show_the_runner_as_they_show_their_fields() {
        let lines = written(LogFormat::Pretty, true, Some("3"));
        let (_, fields) = lines[0].split_once("read ").expect("the message");
        let (field, runner) = fields.trim_end().split_once(' ').expect("two fields");
        assert_eq!(field.replace("pages", "runner_id"), runner, "{lines:?}");
    }

    #[test]
    fn lines_for_programs_have_a_field_for_the_runner() {
        for (line, message) in written(LogFormat::Json, false, Some("runner_1"))
            .iter()
            .zip(["read", "a layout of\ntwo lines {}"])
        {
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
            let event: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(event["runner_id"], "runner_1", "{line}");
            assert_eq!(event["message"], message, "{line}");
        }
        for line in written(LogFormat::Json, false, None) {
            let event: Value = serde_json::from_str(&line).expect("JSON");
            assert!(event.get("runner_id").is_none(), "{line}");
        }
    }
}
