//! `tagpipe schedule`: when the service's runs begin.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tagpipe_engine::{Launcher, RunOptions, Timetable};
use tagpipe_store::{NewSchedule, Overlap, Schedule};

use super::launching::Program;
use super::looking;
use crate::cli::{GlobalArguments, ScheduleArguments, ScheduleCommand, WhenBusy};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, harmless, print, print_json, width};
use crate::settings::{Merged, parse_time, time_zone};

/// Times that are shown in advance.
const UPCOMING: usize = 5;

/// Does what is asked of the schedules.
pub(crate) async fn schedule(global: &GlobalArguments, command: &ScheduleCommand) -> Result<Exit, Failure> {
    match command {
        ScheduleCommand::List => list(global).await,
        ScheduleCommand::Add(arguments) => add(global, arguments).await,
        ScheduleCommand::Remove { name } => {
            let store = looking::open_to_write(global).await?;
            let removed = store.remove_schedule(name).await;
            store.close().await;
            done(
                global,
                name,
                removed.map_err(|error| Failure::reading(&error))?,
                "removed",
            )
        }
        ScheduleCommand::Enable { name } => enable(global, name, true).await,
        ScheduleCommand::Disable { name } => enable(global, name, false).await,
        ScheduleCommand::Preview { cron, time_zone } => preview(global, cron, time_zone.as_deref()),
    }
}

async fn enable(global: &GlobalArguments, name: &str, enabled: bool) -> Result<Exit, Failure> {
    let store = looking::open_to_write(global).await?;
    let changed = store.enable_schedule(name, enabled).await;
    store.close().await;
    let words = if enabled { "enabled" } else { "disabled" };
    done(
        global,
        name,
        changed.map_err(|error| Failure::reading(&error))?,
        words,
    )
}

fn done(global: &GlobalArguments, name: &str, found: bool, what: &str) -> Result<Exit, Failure> {
    if !found {
        return Err(Failure::usage(format!(
            "there is no schedule `{name}`; `tagpipe schedule list` shows those there are"
        )));
    }
    if global.json {
        print_json(&json!({ "schedule": name, "done": what }))?;
    } else if !global.quiet {
        print(&format!("{}: {what}\n", harmless(name)))?;
    }
    Ok(Exit::Done)
}

async fn list(global: &GlobalArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let schedules = store.schedules().await;
    store.close().await;
    let schedules = schedules.map_err(|error| Failure::reading(&error))?;
    if global.json {
        let all: Vec<Json> = schedules
            .iter()
            .map(|schedule| json!({ "schedule": schedule, "upcoming": upcoming(schedule) }))
            .collect();
        print_json(&all)?;
    } else {
        print(&in_words(&schedules))?;
    }
    Ok(Exit::Done)
}

fn in_words(schedules: &[Schedule]) -> String {
    if schedules.is_empty() {
        return "no schedules; `tagpipe schedule add weekly '0 3 * * SUN'` adds one\n".to_owned();
    }
    let mut table = Table::new(&[
        ("schedule", Align::Left),
        ("pattern", Align::Left),
        ("zone", Align::Left),
        ("next", Align::Left),
        ("while busy", Align::Left),
        ("options", Align::Left),
    ]);
    for schedule in schedules {
        let plan = &schedule.plan;
        let next = match plan.enabled {
            true => upcoming(schedule).first().map_or_else(
                || "never".to_owned(),
                |time| time["local"].as_str().unwrap_or_default().to_owned(),
            ),
            false => "disabled".to_owned(),
        };
        let options = plan.options.as_object().into_iter().flatten();
        table.row(&[
            harmless(&plan.name),
            harmless(&plan.cron),
            plan.time_zone.clone(),
            next,
            plan.overlap.as_str().to_owned(),
            options
                .map(|(key, value)| format!("{key}={}", harmless(value.as_str().unwrap_or_default())))
                .collect::<Vec<_>>()
                .join(" "),
        ]);
    }
    table.render(width())
}

fn upcoming(schedule: &Schedule) -> Vec<Json> {
    Timetable::new(&schedule.plan.cron, &schedule.plan.time_zone)
        .map(|timetable| times(&timetable))
        .unwrap_or_default()
}

fn times(timetable: &Timetable) -> Vec<Json> {
    let times = timetable.upcoming(Timestamp::now(), UPCOMING);
    times
        .iter()
        .map(|time| {
            json!({
                "local": time.strftime("%Y-%m-%d %H:%M:%S %:z %a").to_string(),
                "utc": time.timestamp().to_string(),
            })
        })
        .collect()
}

async fn add(global: &GlobalArguments, arguments: &ScheduleArguments) -> Result<Exit, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    let plan = plan_of(&merged, arguments)?;
    let program = Program::new(merged)?;
    let options = RunOptions::from_json(&plan.options).map_err(Failure::usage)?;
    program.check(&options).map_err(Failure::usage)?;
    let store = looking::open_or_make(global).await?;
    let added = store.add_schedule(&plan).await;
    store.close().await;
    if !added.map_err(|error| Failure::reading(&error))? {
        return Err(Failure::usage(format!(
            "there is a schedule `{}`; remove it first: `tagpipe schedule remove {0}`",
            plan.name
        )));
    }
    let timetable = timetable(&plan.cron, &plan.time_zone)?;
    if global.json {
        print_json(&json!({ "schedule": plan, "upcoming": times(&timetable) }))?;
    } else if !global.quiet {
        print(&format!(
            "{} is scheduled; `tagpipe serve` starts its runs\n",
            harmless(&plan.name)
        ))?;
        print(&times_in_words(&timetable))?;
    }
    Ok(Exit::Done)
}

fn plan_of(merged: &Merged, arguments: &ScheduleArguments) -> Result<NewSchedule, Failure> {
    let name = NewSchedule::name_of(&arguments.name).ok_or_else(|| {
        Failure::usage(format!(
            "a schedule's name takes 1 to {} characters, without `/`",
            NewSchedule::NAME_MAX
        ))
    })?;
    let time_zone = match &arguments.time_zone {
        Some(zone) => zone.clone(),
        None => time_zone(merged)?,
    };
    timetable(&arguments.cron, &time_zone)?;
    let mut options = RunOptions::default();
    for option in &arguments.options {
        let (key, value) = option.split_once('=').ok_or_else(|| {
            Failure::usage(format!(
                "`{option}` is no setting (set by --set); it takes KEY=VALUE"
            ))
        })?;
        options.set(key.trim(), value);
    }
    let seconds = |flag: &str, text: Option<&str>| match text {
        None => Ok(0),
        Some(text) => parse_time(text)
            .and_then(|time| u32::try_from(time.as_secs()).ok())
            .ok_or_else(|| {
                Failure::usage(format!(
                    "`{text}` is not a time (set by {flag}); it takes 30s, 10m or 6h"
                ))
            }),
    };
    Ok(NewSchedule {
        name: name.to_owned(),
        cron: arguments.cron.clone(),
        time_zone,
        options: options.to_json(),
        enabled: !arguments.disabled,
        jitter_s: seconds("--jitter", arguments.jitter.as_deref())?,
        overlap: match arguments.when_busy {
            WhenBusy::Skip => Overlap::Skip,
            WhenBusy::Queue => Overlap::Queue,
            WhenBusy::Stop => Overlap::Stop,
        },
        catch_up_s: seconds("--catch-up", arguments.catch_up.as_deref())?,
    })
}

fn preview(global: &GlobalArguments, cron: &str, zone: Option<&str>) -> Result<Exit, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    let zone = match zone {
        Some(zone) => zone.to_owned(),
        None => time_zone(&merged)?,
    };
    let timetable = timetable(cron, &zone)?;
    if global.json {
        print_json(
            &json!({ "in_words": timetable.in_words(), "time_zone": zone, "upcoming": times(&timetable) }),
        )?;
    } else {
        print(&format!("{} ({zone})\n", timetable.in_words()))?;
        print(&times_in_words(&timetable))?;
    }
    Ok(Exit::Done)
}

fn timetable(cron: &str, zone: &str) -> Result<Timetable, Failure> {
    Timetable::new(cron, zone).map_err(|wrong| Failure::usage(wrong.to_string()))
}

fn times_in_words(timetable: &Timetable) -> String {
    let mut table = Table::new(&[("local", Align::Left), ("UTC", Align::Left)]);
    for time in times(timetable) {
        let text = |key: &str| time[key].as_str().unwrap_or_default().to_owned();
        table.row(&[text("local"), text("utc")]);
    }
    table.render(width())
}
