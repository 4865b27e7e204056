//! Exports and backups: one at a time, each by a process of its own, whose printed JSON is the job's result.
//!
//! What must survive stands in the database (`tagpipe-store/src/jobs.rs`). A service that goes away leaves a job that the next
//! one begins anew: what an export or a backup writes is seen when it is whole, and doing it again does no harm.

use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value as Json;
use tagpipe_store::{Job, JobEnd, JobKind, NewJob, Store, StoreError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{Launcher, OrderError, RunOptions, Service, Timetable};

/// How long a job stays with a service that is not heard of any more.
const TERM: Duration = Duration::from_secs(15);
/// How often a job is begun whose service goes away before it is done.
const ATTEMPTS_MAX: u64 = 3;
/// How long a process has to clear up when the service stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of what a process prints that are kept: its result, and the end of its complaints.
const RESULT_MAX: usize = 1 << 20;
const COMPLAINTS_MAX: usize = 4 << 10;

/// A job that the settings order by a timetable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// What is to be done.
    pub kind: JobKind,
    /// Cron pattern of five fields, or six with seconds.
    pub cron: String,
    /// IANA name of the time zone.
    pub time_zone: String,
}

/// A job that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRequest {
    /// What is to be done.
    pub kind: JobKind,
    /// What is wanted.
    pub options: RunOptions,
    /// What makes a repeated request the same one.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub by: String,
}

/// The job that a service does now.
pub(super) struct Working {
    job: Job,
    /// Its process leads a group of this number.
    group: u32,
    process: JoinHandle<JobEnd>,
    /// How it came to its end, until that is written.
    end: Option<JobEnd>,
    kept_at: Instant,
}

impl Service {
    /// Orders a job. Returns it, and whether it is new: a repeated request gets the job of its first one.
    ///
    /// # Errors
    /// [`OrderError`] says why not.
    pub async fn order_job(&self, request: JobRequest) -> Result<(Job, bool), OrderError> {
        if self.is_draining() {
            return Err(OrderError::Draining);
        }
        self.launcher
            .check_job(&self.store, request.kind, &request.options)
            .await?;
        let new = NewJob {
            kind: request.kind,
            options: request.options.to_json(),
            ordered_by: request.by,
            planned_us: None,
            idempotency_key: request.idempotency_key,
        };
        let made = self.store.order_job(&new).await?;
        let job = match (made, &new.idempotency_key) {
            (Some(id), _) => self.store.job(id).await?,
            (None, Some(key)) => self.store.job_by_key(key).await?,
            (None, None) => None,
        };
        let job = job.ok_or_else(|| StoreError::Bug("a job was ordered and is not there".into()))?;
        if job.kind != new.kind || job.options != new.options {
            return Err(OrderError::KeyInUse);
        }
        self.wake.notify_one();
        Ok((job, made.is_some()))
    }

    /// Orders the jobs of the settings' timetables whose time has come. One that was missed is made up for once.
    pub(super) async fn plan_jobs(&self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        for planned in self.launcher.planned_jobs() {
            // Checked when the service started.
            let Ok(timetable) = Timetable::new(&planned.cron, &planned.time_zone) else {
                continue;
            };
            let last = self.store.last_planned_job(planned.kind).await?;
            let since = last
                .and_then(|us| Timestamp::from_microsecond(us).ok())
                .unwrap_or(self.started_at);
            let Some((time, _)) = timetable.latest(since, now) else {
                continue;
            };
            let job = NewJob {
                kind: planned.kind,
                options: RunOptions::default().to_json(),
                ordered_by: "the settings' timetable".into(),
                planned_us: Some(time.as_microsecond()),
                idempotency_key: None,
            };
            if let Some(job) = self.store.order_job(&job).await? {
                tracing::info!(job, %time, "a scheduled {} is ordered", planned.kind.as_str());
            }
        }
        Ok(())
    }

    /// Goes on with the job at work, or begins the next one.
    pub(super) async fn tend_jobs(&self) -> Result<(), StoreError> {
        let mut at_work = self.job.lock().await;
        if let Some(working) = &mut *at_work {
            if !working.is_over(&self.store, &self.instance).await? {
                return Ok(());
            }
            *at_work = None;
        }
        for job in self.store.open_jobs().await? {
            if !job.is_free || !self.store.begin_job(job.id, &self.instance, TERM).await? {
                continue;
            }
            match start(&*self.launcher, &job) {
                Ok(working) => {
                    tracing::info!(
                        job = job.id,
                        pid = working.group,
                        "{}: {} begins",
                        job.ordered_by,
                        job.kind.as_str()
                    );
                    *at_work = Some(working);
                    return Ok(());
                }
                Err(why) => end(&self.store, &self.instance, &job, &JobEnd::Failed(why)).await?,
            }
        }
        Ok(())
    }

    /// Has the job's process stop; what it has not done is begun anew by the next service.
    pub(super) async fn drain_jobs(&self) {
        let Some(mut working) = self.job.lock().await.take() else {
            return;
        };
        working.signal(Signal::TERM);
        if let Ok(ended) = timeout(STOP_WITHIN, &mut working.process).await {
            working.end = Some(ended.unwrap_or_else(|error| JobEnd::Failed(error.to_string())));
        } else {
            working.signal(Signal::KILL);
        }
        let left = match &working.end {
            Some(done @ JobEnd::Done(_)) => end(&self.store, &self.instance, &working.job, done).await,
            _ => {
                let why = "its service was stopped";
                let given = self
                    .store
                    .give_back_job(working.job.id, &self.instance, why)
                    .await;
                given.map(|_| ())
            }
        };
        if let Err(error) = left {
            tracing::warn!(%error, job = working.job.id, "the job is begun anew when its term is over");
        }
    }
}

impl Working {
    /// Whether nothing more is to be done here; the term is renewed until then, and the end is written.
    async fn is_over(&mut self, store: &Store, holder: &str) -> Result<bool, StoreError> {
        if self.end.is_none() && self.process.is_finished() {
            let ended = (&mut self.process).await;
            self.end = Some(ended.unwrap_or_else(|error| JobEnd::Failed(error.to_string())));
        }
        if let Some(reached) = &self.end {
            end(store, holder, &self.job, reached).await?;
            return Ok(true);
        }
        if self.kept_at.elapsed() < TERM / 4 {
            return Ok(false);
        }
        if store.keep_job(self.job.id, holder, TERM).await? {
            self.kept_at = Instant::now();
            return Ok(false);
        }
        // Another service has it: this one was not heard of for too long.
        self.signal(Signal::TERM);
        Ok(true)
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.group).ok().and_then(Pid::from_raw);
        if let (Some(group), false) = (group, self.process.is_finished()) {
            // It fails where the process has ended meanwhile.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Starts the process of a job, in words why there is none.
fn start(launcher: &dyn Launcher, job: &Job) -> Result<Working, String> {
    if job.attempts >= ATTEMPTS_MAX {
        return Err(format!(
            "it was begun {} times, and its service went away each time",
            job.attempts
        ));
    }
    let options = RunOptions::from_json(&job.options)?;
    let command = launcher.job_command(job.kind, &options)?;
    let mut child = spawn(command).map_err(|error| format!("no process could be started: {error}"))?;
    let group = child.id().unwrap_or(0);
    Ok(Working {
        job: job.clone(),
        group,
        process: tokio::spawn(async move { watch(&mut child).await }),
        end: None,
        kept_at: Instant::now(),
    })
}

/// In a group of its own: a Ctrl-C at the terminal reaches the service alone, which passes it on.
fn spawn(command: Command) -> std::io::Result<Child> {
    tokio::process::Command::from(command)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

async fn watch(child: &mut Child) -> JobEnd {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (said, complained, status) = tokio::join!(
        end_of(stdout, RESULT_MAX),
        end_of(stderr, COMPLAINTS_MAX),
        child.wait()
    );
    match status {
        Ok(status) if status.success() => result_of(&said),
        Ok(status) => JobEnd::Failed(why(&complained, &status.to_string())),
        Err(error) => JobEnd::Failed(format!("its process cannot be waited for: {error}")),
    }
}

/// The last `most` bytes of what comes, as text.
async fn end_of(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> String {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let mut chunk = vec![0; 8 << 10];
        // A pipe that breaks has given what it had.
        while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
            kept.extend_from_slice(&chunk[..length]);
            if kept.len() > 2 * most {
                kept.drain(..kept.len() - most);
            }
        }
    }
    let start = kept.len().saturating_sub(most);
    String::from_utf8_lossy(&kept[start..]).into_owned()
}

fn result_of(said: &str) -> JobEnd {
    match serde_json::from_str::<Json>(said) {
        Ok(result) => JobEnd::Done(result),
        Err(error) => JobEnd::Failed(format!("it said it was done, but not what it did: {error}")),
    }
}

/// The error that a process has printed last, or how it ended.
fn why(complained: &str, status: &str) -> String {
    let lines: Vec<&str> = complained.lines().collect();
    let first = lines.iter().rposition(|line| line.starts_with("error"));
    match first {
        Some(first) => lines[first..].join("\n").trim().to_owned(),
        None => match lines.iter().rfind(|line| !line.trim().is_empty()) {
            Some(last) => format!("{}; it ended with {status}", last.trim()),
            None => format!("it ended with {status}"),
        },
    }
}

async fn end(store: &Store, holder: &str, job: &Job, reached: &JobEnd) -> Result<(), StoreError> {
    if store.end_job(job, holder, reached).await? {
        match reached {
            JobEnd::Done(_) => tracing::info!(job = job.id, "the {} is done", job.kind.as_str()),
            JobEnd::Failed(why) => tracing::error!(job = job.id, "the {} failed: {why}", job.kind.as_str()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn what_a_process_says_is_the_result() {
        let mut child = spawn(shell("echo noise >&2; echo '{\"rows\": 3}'")).expect("a shell");
        assert_eq!(
            watch(&mut child).await,
            JobEnd::Done(serde_json::json!({ "rows": 3 }))
        );
        let mut child = spawn(shell("true")).expect("a shell");
        assert!(matches!(watch(&mut child).await, JobEnd::Failed(why) if why.contains("not what it did")));
    }

    #[tokio::test]
    async fn a_failure_is_told_by_its_last_error() {
        for (script, expected) in [
            (
                "echo 'error: old' >&2; echo 'error: cannot write `x`' >&2; echo '  help: free some space' >&2; exit 1",
                "error: cannot write `x`\n  help: free some space",
            ),
            ("echo lost >&2; exit 7", "lost; it ended with exit status: 7"),
            ("kill -9 $$", "it ended with signal: 9 (SIGKILL)"),
        ] {
            let mut child = spawn(shell(script)).expect("a shell");
            assert_eq!(
                watch(&mut child).await,
                JobEnd::Failed(expected.into()),
                "{script}"
            );
        }
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_text_is_kept() {
        let text = "x".repeat(50_000) + "end";
        let kept = end_of(Some(text.as_bytes()), 100).await;
        assert_eq!(kept.len(), 100);
        assert!(kept.ends_with("xend"));
    }
}
