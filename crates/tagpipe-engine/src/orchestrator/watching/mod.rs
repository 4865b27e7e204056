//! The watch over one run: one loop that owns all seats.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::contract::RunId;
use tagpipe_store::monitor::RunnerOverview;
use tagpipe_store::{Resumed, RunnerEnd, Steering, Store};
use tokio::time::{Instant, sleep};

use super::health::Reads;
use super::picture::{SeatPicture, Speed};
use super::process::{Exit, RunnerProcess};
use super::seat::{Circumstances, Limits, Seat, SeatState, Verdict, share, verdict};
use super::{Orchestrator, RunnerOrder};
use crate::error::RunError;
use crate::pipeline::{Preparation, Start};
use crate::process::{Presence, presence};
use crate::shutdown::{Shutdown, StopRequest};
use crate::status::run_status;
use crate::summary::{RunEnd, RunnerSummary, Summary};
use answers::Answers;
use entering::{enter, own_entry};

mod answers;
mod checking;
mod ending;
mod entering;

/// How often processes are looked at: that one has ended is noticed at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often what people want of the run is looked at.
const STEERED_EVERY: Duration = Duration::from_secs(1);
/// How often the picture is drawn anew.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// A stop in order becomes one at once after this, …
const STOP_IN_ORDER: Duration = Duration::from_secs(7);
/// … and what does not stop at once within this is killed.
const STOP_AT_ONCE: Duration = Duration::from_millis(1500);

/// Why everything is being stopped.
#[derive(Debug, Clone)]
struct Stopping {
    since: Instant,
    /// What one runner met, if not a person asked.
    alarm: Option<RunEnd>,
    /// Since when they are to stop at once.
    at_once_since: Option<Instant>,
    /// For how long the database had not answered, if that is why.
    database_away: Option<Duration>,
}

/// What is remembered of a runner from check to check.
#[derive(Debug, Clone, Copy)]
struct Watched {
    speed: Speed,
    /// Its counters when they last moved, and when that was.
    moved: (u64, Instant),
    /// Its reads when they were last counted anew.
    counted: Reads,
}

impl Watched {
    fn new(now: Instant, pages: u64, reads: u64) -> Watched {
        Watched {
            speed: Speed::new(now, pages),
            moved: (reads, now),
            counted: Reads::default(),
        }
    }
}

/// What an orchestrator that goes on with a run has found.
#[derive(Debug, Default)]
struct Beginning {
    resumed: Option<Resumed>,
    /// Runners that its predecessor kept.
    runners_before: u64,
    /// Whether they were told something else than they would be now.
    has_new_terms: bool,
}

pub(super) struct Watching<'a> {
    of: &'a Orchestrator,
    store: Store,
    run: RunId,
    resumed: Option<Resumed>,
    instance: String,
    started: Instant,
    requests_before: u64,
    seats: Vec<Seat>,
    watched: HashMap<String, Watched>,
    answers: Answers,
    checks: u32,
    run_ended: Option<Instant>,
    stopping: Option<Stopping>,
}

impl<'a> Watching<'a> {
    /// Finds or begins the run, enters this process as its orchestrator and takes the seats that are taken already. A
    /// run that has ended before it began has a summary.
    pub(super) async fn begin(
        of: &'a mut Orchestrator,
        start: Start,
        shutdown: &Shutdown,
    ) -> Result<Result<Watching<'a>, Summary>, RunError> {
        let started = Instant::now();
        let entry = own_entry(of);
        let left_behind = match start {
            Start::New => {
                let others = of.pipeline.store().orchestrators_at_work().await?;
                of.pipeline.find_left_behind(others).await?
            }
            Start::Resume(_) | Start::Join(_) => None,
        };
        let wanted = match (start, left_behind) {
            (_, Some(run)) => {
                tracing::info!(
                    run,
                    "run {run} was left by an orchestrator that is gone: taking it up"
                );
                Some(run)
            }
            (Start::Resume(run), None) => run,
            (Start::Join(run), None) => Some(run),
            (Start::New, None) => None,
        };
        let mut beginning = Beginning::default();
        let run = if start == Start::New && left_behind.is_none() {
            match of.pipeline.prepare(start, Some(&entry), shutdown).await? {
                Preparation::Ready(prepared) => prepared.run,
                Preparation::Ended(summary) => return Ok(Err(*summary)),
            }
        } else {
            let taken_up = of.pipeline.take_up_with_others(wanted).await?;
            beginning = Beginning {
                runners_before: enter(of, taken_up.run, &entry)
                    .await?
                    .map_or(0, |before| before.runners_wanted),
                resumed: Some(taken_up.resumed),
                has_new_terms: taken_up.has_new_terms,
            };
            taken_up.run
        };
        let store = of.pipeline.store().clone();
        let now = Instant::now();
        let mut watching = Watching {
            requests_before: store.runner_totals(run).await?.requests,
            seats: (1..=of.settings.num_runners)
                .map(|number| Seat::new(format!("runner_{number}"), now))
                .collect(),
            of,
            store,
            run,
            resumed: beginning.resumed,
            instance: entry.identity.instance,
            started,
            watched: HashMap::new(),
            answers: Answers::new(now),
            checks: 0,
            run_ended: None,
            stopping: None,
        };
        watching.find_runners(&beginning).await?;
        let message = format!("orchestrating with {} runners", watching.of.settings.num_runners);
        watching
            .audit(AuditLevel::Info, "orchestrator_started", &message, json!({}))
            .await;
        Ok(Ok(watching))
    }

    /// Takes over runners of this machine that an earlier orchestrator has started. Those it kept beyond what is wanted now
    /// are asked to stop, and so are those that were told other terms: others take their seats.
    async fn find_runners(&mut self, beginning: &Beginning) -> Result<(), RunError> {
        let now = Instant::now();
        let kept = self.seats.len() as u64;
        let left_over = (kept + 1..=beginning.runners_before).map(|number| format!("runner_{number}"));
        self.seats
            .extend(left_over.map(|runner_id| Seat::left_over(runner_id, now)));
        let processes = self.store.runners(self.run).await?;
        for seat in &mut self.seats {
            let own = processes
                .iter()
                .filter(|process| process.runner_id == seat.runner_id);
            seat.reads_before = own.clone().map(|process| Reads::from(process).all).sum();
            let alive = own.rev().find(|process| {
                process.state == "running"
                    && presence(&process.host, pid_of(process), &process.process_mark) == Presence::Here
            });
            let Some(process) = alive else { continue };
            let leaving = match (seat.is_kept, beginning.has_new_terms) {
                (false, _) => Some("fewer runners are wanted now".to_owned()),
                (true, true) => Some("it was started with other settings".to_owned()),
                (true, false) => None,
            };
            tracing::info!(
                run = self.run,
                "found {} at work as process {}{}",
                seat.runner_id,
                process.pid,
                leaving
                    .as_deref()
                    .map_or(String::new(), |why| format!(": {why}, it is asked to stop"))
            );
            let process = RunnerProcess::Found {
                host: process.host.clone(),
                pid: pid_of(process),
                mark: process.process_mark.clone(),
            };
            if leaving.is_some() {
                process.ask_to_stop();
            }
            seat.state = SeatState::Taken {
                process,
                since: now,
                leaving,
            };
        }
        self.seats
            .retain(|seat| seat.is_kept || matches!(seat.state, SeatState::Taken { .. }));
        Ok(())
    }

    pub(super) async fn watch(mut self, shutdown: &Shutdown) -> Result<Summary, RunError> {
        let mut checked = Instant::now();
        let mut drawn = None;
        let mut heard = StopRequest::None;
        let mut steered = Instant::now();
        while !self.seats.iter().all(Seat::is_empty) {
            let now = Instant::now();
            if shutdown.requested() > heard {
                heard = shutdown.requested();
                self.stop_all(None, heard == StopRequest::Now);
            }
            if now - steered >= STEERED_EVERY {
                steered = now;
                self.mind_the_steering().await;
            }
            self.mind_the_database(now);
            self.press_on(now);
            self.collect_exits(now).await;
            self.fill_seats(now);
            if now - checked >= self.of.settings.check_interval {
                checked = now;
                self.check(now).await?;
            }
            if drawn.is_none_or(|drawn| now - drawn >= DRAW_EVERY) {
                drawn = Some(now);
                self.draw(now).await;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = shutdown.wait_for(StopRequest::Graceful), if heard == StopRequest::None => {}
                () = shutdown.wait_for(StopRequest::Now), if heard == StopRequest::Graceful => {}
            }
        }
        self.sum_up().await
    }

    /// Asks all runners to stop: in order, or at once.
    fn stop_all(&mut self, alarm: Option<RunEnd>, at_once: bool) {
        let now = Instant::now();
        let is_first = self.stopping.is_none();
        let stopping = self.stopping.get_or_insert(Stopping {
            since: now,
            alarm,
            at_once_since: None,
            database_away: None,
        });
        let hurries = at_once && stopping.at_once_since.is_none();
        if hurries {
            stopping.at_once_since = Some(now);
        }
        for seat in &mut self.seats {
            match &seat.state {
                SeatState::Waiting { .. } => seat.state = SeatState::Empty(Verdict::Stopped),
                SeatState::Taken { process, leaving, .. } => {
                    if is_first && leaving.is_none() {
                        process.ask_to_stop();
                    }
                    if hurries {
                        process.hurry();
                    }
                }
                SeatState::Empty(_) => {}
            }
        }
    }

    /// Nobody waits for ever: whoever was asked to stop in order is asked to stop at once, then killed.
    fn press_on(&mut self, now: Instant) {
        let Some(stopping) = &self.stopping else { return };
        match stopping.at_once_since {
            None if now - stopping.since >= STOP_IN_ORDER => self.stop_all(None, true),
            Some(since) if now - since >= STOP_AT_ONCE => self
                .seats
                .iter()
                .filter_map(Seat::process)
                .for_each(RunnerProcess::kill),
            _ => {}
        }
    }

    /// People may want the run to stop. The runners see it, too; asked from here, none of them is replaced.
    async fn mind_the_steering(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let steering = self
            .answers
            .ask("how it is steered", self.store.steering(self.run));
        if steering.await == Some(Steering::Stop) {
            tracing::info!(run = self.run, "people want the run to stop");
            self.stop_all(None, false);
        }
    }

    /// A database that stays away for longer than anybody is patient, or that is gone, ends the work.
    fn mind_the_database(&mut self, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        let patience = self.of.pipeline.settings().database_patience;
        let silent_for = self.answers.silent_for(now);
        if let Some(why) = self.answers.gone() {
            tracing::error!("stopping all runners: {why}");
        } else if silent_for > patience {
            tracing::error!(
                "stopping all runners: the database has not answered for {} s",
                silent_for.as_secs()
            );
        } else {
            return;
        }
        self.stop_all(None, false);
        if let Some(stopping) = &mut self.stopping {
            stopping.database_away = Some(silent_for);
        }
    }

    /// Takes in which processes have ended, and what that means.
    async fn collect_exits(&mut self, now: Instant) {
        let ended: Vec<(usize, Exit)> = self
            .seats
            .iter_mut()
            .enumerate()
            .filter_map(|(number, seat)| match &mut seat.state {
                SeatState::Taken { process, .. } => Some((number, process.exit()?)),
                _ => None,
            })
            .collect();
        if ended.is_empty() {
            return;
        }
        let processes = self
            .answers
            .ask("who was at work", self.store.runners(self.run))
            .await
            .unwrap_or_default();
        let is_over = self.is_run_over().await;
        // A runner may have seen before this process that people want the run to stop.
        if ended
            .iter()
            .any(|(_, exit)| matches!(exit, Exit::Code(130 | 143)))
        {
            self.mind_the_steering().await;
        }
        for (number, exit) in ended {
            self.take_exit(number, exit, &processes, is_over, now).await;
        }
        self.sweep("its process is gone").await;
    }

    async fn take_exit(
        &mut self,
        number: usize,
        exit: Exit,
        processes: &[RunnerOverview],
        is_over: Option<bool>,
        now: Instant,
    ) {
        let is_stopping = self.stopping.is_some();
        let seat = &mut self.seats[number];
        let SeatState::Taken { leaving, .. } = &seat.state else {
            return;
        };
        let process = processes
            .iter()
            .rev()
            .find(|process| process.runner_id == seat.runner_id);
        let why = process.map_or("", |process| process.ended_why.as_str());
        let has_read = process.is_some_and(|process| Reads::from(process).all > 0);
        // Nobody lives without the database: deaths while it is away say nothing about the runner.
        let is_excused = has_read || self.answers.since().is_none();
        let verdict = verdict(
            exit,
            Circumstances {
                why,
                asked: is_stopping || leaving.is_some(),
                is_run_over: is_over,
            },
        );
        let limits = Limits {
            deaths_max: self.of.settings.deaths_max,
            first_pause: self.of.settings.restart_pause,
        };
        let lost = process
            .filter(|process| process.state == "running")
            .map(|process| process.instance.clone());
        seat.vacate(verdict.clone(), is_excused, &limits, now);
        let (runner_id, last_why) = (seat.runner_id.clone(), seat.last_why.clone());
        if let Some(instance) = lost {
            self.give_up(&instance, &last_why).await;
        }
        match (&verdict, &self.seats[number].state) {
            (Verdict::Alarm(end), _) => {
                tracing::warn!("{runner_id} stops the run: {end}");
                self.stop_all(Some(end.clone()), false);
            }
            (_, SeatState::Waiting { until }) => {
                let pause = *until - now;
                let message = format!(
                    "{runner_id} ended and is replaced in {} s: {last_why}",
                    pause.as_secs()
                );
                tracing::warn!("{message}");
                self.audit(
                    AuditLevel::Warning,
                    "runner_replaced",
                    &message,
                    json!({ "runner": runner_id, "why": last_why }),
                )
                .await;
            }
            (_, SeatState::Empty(Verdict::Hopeless(why))) => {
                let message = format!("{runner_id} is not started again: {why}");
                tracing::error!("{message}");
                self.audit(
                    AuditLevel::Error,
                    "runner_given_up",
                    &message,
                    json!({ "runner": runner_id, "why": why }),
                )
                .await;
            }
            _ => {}
        }
    }

    /// Starts processes for seats whose time has come. None could begin while the database is away.
    fn fill_seats(&mut self, now: Instant) {
        if self.answers.since().is_none() {
            return;
        }
        for number in 0..self.seats.len() {
            if matches!(self.seats[number].state, SeatState::Waiting { until } if until <= now) {
                match self.stopping {
                    // Nobody is started any more.
                    Some(_) => self.seats[number].state = SeatState::Empty(Verdict::Stopped),
                    None => self.fill_seat(number, now),
                }
            }
        }
    }

    fn fill_seat(&mut self, number: usize, now: Instant) {
        let Some(order) = self.order(number) else {
            self.seats[number].state = SeatState::Empty(Verdict::BudgetSpent);
            return;
        };
        let seat = &mut self.seats[number];
        let command = (self.of.command)(&order);
        let program = command.get_program().to_string_lossy().into_owned();
        match RunnerProcess::start(command, self.of.lines.as_ref()) {
            Ok(process) => {
                tracing::info!(
                    run = self.run,
                    "{} started as process {}",
                    seat.runner_id,
                    process.pid()
                );
                seat.state = SeatState::Taken {
                    process,
                    since: now,
                    leaving: None,
                };
            }
            Err(error) => {
                let why = format!("`{program}` cannot be started: {error}");
                tracing::error!("{}: {why}", seat.runner_id);
                seat.last_why.clone_from(&why);
                seat.state = SeatState::Empty(Verdict::Hopeless(why));
            }
        }
    }

    /// What the process of a seat is to do; `None` when its share of the budget is spent.
    fn order(&self, number: usize) -> Option<RunnerOrder> {
        let budget = self.of.pipeline.settings().budget;
        let seat = &self.seats[number];
        let read = self
            .watched
            .get(&seat.runner_id)
            .map_or(0, |watched| watched.moved.0.saturating_sub(seat.reads_before));
        let max_pages = budget
            .max_pages
            .map(|all| share(all, number, self.of.settings.num_runners).saturating_sub(read));
        let max_duration = budget
            .max_duration
            .map(|all| all.saturating_sub(self.started.elapsed()));
        if max_pages == Some(0) || max_duration == Some(Duration::ZERO) {
            return None;
        }
        Some(RunnerOrder {
            run: self.run,
            runner_id: seat.runner_id.clone(),
            max_pages,
            max_duration,
        })
    }

    /// Gives back the pages of runners of this machine whose processes are gone, whoever started them.
    async fn sweep(&self, why: &str) {
        let running = self
            .answers
            .ask("who is at work", self.store.running_runners(self.run));
        for runner in running.await.unwrap_or_default() {
            let who = runner.identity;
            if presence(&who.host, who.pid, &who.process_mark) == Presence::Gone {
                self.give_up(&who.instance, why).await;
            }
        }
    }

    async fn give_up(&self, instance: &str, why: &str) {
        let taken = self
            .answers
            .ask("take pages back", self.store.take_back(self.run, instance))
            .await;
        let end = RunnerEnd::Lost(why);
        self.answers
            .ask("end a runner", self.store.end_runner(instance, end))
            .await;
        if let Some(pages @ 1..) = taken {
            tracing::info!(run = self.run, "{pages} pages of it are available again");
        }
    }

    /// Whether the run is read; `None` if that cannot be asked now.
    async fn is_run_over(&self) -> Option<bool> {
        let overview = self
            .answers
            .ask("how the run stands", self.store.run_overview(self.run))
            .await?;
        Some(overview.is_some_and(|run| run.is_over()))
    }

    async fn draw(&mut self, now: Instant) {
        let status = self
            .answers
            .ask("how the run stands", run_status(&self.store, self.run));
        let status = status.await.flatten();
        let seats = self
            .seats
            .iter()
            .map(|seat| {
                let summary = status
                    .as_ref()
                    .and_then(|status| status.runners.iter().find(|one| one.runner_id == seat.runner_id))
                    .cloned();
                let pages = summary.as_ref().map_or(0, |summary| summary.pages);
                let reads = summary.as_ref().map_or(0, |one| Reads::from(one).all);
                let watched = self
                    .watched
                    .entry(seat.runner_id.clone())
                    .or_insert_with(|| Watched::new(now, pages, reads));
                SeatPicture {
                    runner_id: seat.runner_id.clone(),
                    state: state_name(seat, summary.as_ref()),
                    why: seat.last_why.clone(),
                    pages_per_s: watched.speed.watch(now, pages),
                    summary,
                }
            })
            .collect();
        let stopping = self.stopping.is_some();
        self.of.picture.send_modify(|picture| {
            // A database that does not answer takes nothing away that is known.
            picture.status = status.or(picture.status.take());
            picture.seats = seats;
            picture.stopping = stopping;
        });
    }

    async fn audit(&self, level: AuditLevel, operation: &str, message: &str, context: serde_json::Value) {
        let settings = self.of.pipeline.settings();
        if level < settings.audit_level {
            return;
        }
        let entry = AuditEntry {
            level,
            kind: if level >= AuditLevel::Error {
                AuditKind::Error
            } else {
                AuditKind::Operation
            },
            page_key: None,
            operation: operation.into(),
            message: message.into(),
            context,
        };
        let (store, run) = (self.store.clone(), self.run);
        let origin = AuditOrigin {
            run: Some(run),
            runner_id: &settings.runner_id,
        };
        self.answers
            .ask("write the audit trail", store.audit(origin, &[entry]))
            .await;
    }
}

fn state_name(seat: &Seat, summary: Option<&RunnerSummary>) -> &'static str {
    match &seat.state {
        SeatState::Taken { leaving: Some(_), .. } => "leaving",
        SeatState::Taken { .. } if summary.is_some_and(|one| one.state == "running") => "running",
        SeatState::Taken { .. } => "starting",
        SeatState::Waiting { .. } => "waiting",
        SeatState::Empty(Verdict::Done | Verdict::BudgetSpent) => "done",
        SeatState::Empty(Verdict::Hopeless(_) | Verdict::Died(_)) => "given up",
        SeatState::Empty(Verdict::Stopped | Verdict::Alarm(_)) => "stopped",
    }
}

fn pid_of(process: &RunnerOverview) -> u32 {
    u32::try_from(process.pid).unwrap_or(0)
}
