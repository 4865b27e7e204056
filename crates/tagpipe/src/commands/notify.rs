//! `tagpipe notify`: who is told what happens, and what became of it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tagpipe_core::model::PageKind;
use tagpipe_core::news::{Fact, NewsKind, NewsLevel};
use tagpipe_core::watch::{Watch, Watched};
use tagpipe_sinks::notify::{Channel, Item, Message, Outcome, notifier};
use tagpipe_store::{Delivery, DeliveryState, NewsFilter, NewsWithDeliveries, StoreError};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::looking;
use crate::cli::{GlobalArguments, NotifyCommand, WatchCommand, WatchedChoice};
use crate::exit::{Exit, Failure};
use crate::notifying::{Courier, Look, Looked, Receivers, TERM};
use crate::output::{Align, Table, harmless, print, print_json, width};
use crate::settings::{Merged, run_config};

/// How often a channel that another process sends to is looked at again.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Does what is asked of the notifications.
pub(crate) async fn notify(global: &GlobalArguments, command: &NotifyCommand) -> Result<Exit, Failure> {
    match command {
        NotifyCommand::Test { channel } => test(global, channel.as_deref()).await,
        NotifyCommand::List { limit } => list(global, *limit).await,
        NotifyCommand::Send { again } => send(global, *again).await,
        NotifyCommand::Watch(WatchCommand::Add { subject, which }) => watch(global, *subject, which).await,
        NotifyCommand::Watch(WatchCommand::List) => list_watches(global).await,
        NotifyCommand::Watch(WatchCommand::Remove { id }) => remove_watch(global, *id).await,
    }
}

/// What a channel said to a test.
#[derive(Serialize)]
struct Answer<'a> {
    channel: &'a str,
    kind: &'static str,
    delivered: bool,
    answer: String,
}

async fn test(global: &GlobalArguments, wanted: Option<&str>) -> Result<Exit, Failure> {
    let merged = load(global)?;
    let receivers = receivers(&merged)?;
    let mut answers = Vec::new();
    for channel in receivers.channels() {
        if wanted.is_none_or(|wanted| wanted == channel.name) {
            answers.push(ask(channel).await);
        }
    }
    if let (true, Some(wanted)) = (answers.is_empty(), wanted) {
        let names: Vec<&str> = receivers.channels().iter().map(|one| one.name.as_str()).collect();
        return Err(Failure::usage(format!(
            "there is no channel `{wanted}`; there are {}",
            names.join(", ")
        )));
    }
    if global.json {
        print_json(&answers)?;
    } else {
        for answer in &answers {
            print(&format!(
                "{} ({}): {}\n",
                answer.channel,
                answer.kind,
                harmless(&answer.answer)
            ))?;
        }
    }
    Ok(match answers.iter().all(|answer| answer.delivered) {
        true => Exit::Done,
        false => Exit::CouldNotRun,
    })
}

async fn ask(channel: &Channel) -> Answer<'_> {
    let outcome = match notifier(&channel.way) {
        Err(error) => Outcome::Permanent {
            why: error.to_string(),
        },
        Ok(notifier) => notifier.send(&test_message(), &[]).await,
    };
    Answer {
        channel: &channel.name,
        kind: channel.way.kind(),
        delivered: outcome == Outcome::Delivered,
        answer: match outcome {
            Outcome::Delivered => "delivered".to_owned(),
            Outcome::Retry { why, reached, .. } if !reached.is_empty() => {
                format!("delivered in part: {why}")
            }
            Outcome::DeliveredInPart { why } => format!("delivered in part: {why}"),
            Outcome::Permanent { why } | Outcome::Retry { why, .. } => format!("not delivered: {why}"),
        },
    }
}

/// Looks as news does, and says that it is none.
fn test_message() -> Message {
    let level = NewsLevel::Info;
    Message {
        id: Uuid::now_v7().to_string(),
        counts: vec![(NewsKind::RunFinished, level, 1)],
        items: vec![Item {
            id: 0,
            at: Timestamp::now().to_string(),
            kind: NewsKind::RunFinished,
            level,
            title: "This is a test of tagpipe's notifications".to_owned(),
            text: "Nothing has happened: `tagpipe notify test` sent this.".to_owned(),
            facts: vec![Fact {
                name: "Sent by".to_owned(),
                value: format!("tagpipe {}", env!("CARGO_PKG_VERSION")),
            }],
            run: None,
            link: None,
        }],
    }
}

async fn list(global: &GlobalArguments, limit: u32) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let news = store.news(&NewsFilter::default(), None, limit).await;
    store.close().await;
    let news = news.map_err(|error| Failure::reading(&error))?;
    if global.json {
        print_json(&news)?;
    } else if news.is_empty() {
        print("no news yet\n")?;
    } else {
        print(&in_words(&news))?;
    }
    Ok(Exit::Done)
}

fn in_words(news: &[NewsWithDeliveries]) -> String {
    let mut table = Table::new(&[
        ("id", Align::Right),
        ("time", Align::Left),
        ("level", Align::Left),
        ("news", Align::Left),
        ("told", Align::Left),
    ]);
    for one in news {
        let told: Vec<String> = one.deliveries.iter().map(delivery_in_words).collect();
        table.row(&[
            one.news.id.to_string(),
            one.news.created_at.clone(),
            one.news.level.to_string(),
            harmless(&one.news.title),
            match told.is_empty() {
                true => "nobody yet".to_owned(),
                false => told.join("; "),
            },
        ]);
    }
    table.render(width())
}

fn delivery_in_words(delivery: &Delivery) -> String {
    let (channel, why) = (&delivery.channel, harmless(&delivery.last_error));
    match delivery.state {
        DeliveryState::Open if !why.is_empty() => {
            format!("{channel}: tried {} times, {why}", delivery.attempts)
        }
        DeliveryState::Open if delivery.attempts > 0 => format!(
            "{channel}: tried {} times, the last time without an end",
            delivery.attempts
        ),
        DeliveryState::Sent if !why.is_empty() => format!("{channel}: sent in part, {why}"),
        DeliveryState::Failed => format!("{channel}: given up, {why}"),
        DeliveryState::LeftOut => format!("{channel}: not wanted"),
        state => format!("{channel}: {}", state.as_str()),
    }
}

async fn send(global: &GlobalArguments, again: bool) -> Result<Exit, Failure> {
    let merged = load(global)?;
    let receivers = receivers(&merged)?;
    let store = looking::open_to_write(global).await?;
    let courier = Courier::new(store.clone(), receivers);
    let sent = send_with(&courier, &store, again).await;
    store.close().await;
    let looked = sent.map_err(|error| Failure::reading(&error))?;
    let Looked {
        sent,
        put_off,
        given_up,
        in_part,
        waiting,
        busy,
    } = looked;
    if global.json {
        print_json(&json!({
            "sent": sent, "put_off": put_off, "given_up": given_up, "in_part": in_part, "waiting": waiting, "busy_channels": busy,
        }))?;
    } else if !global.quiet {
        let of_sent = match in_part {
            0 => String::new(),
            in_part => format!(" ({in_part} not to everybody)"),
        };
        print(&format!(
            "messages sent: {sent}{of_sent}, put off: {put_off}, given up: {given_up}; news waiting: {waiting}\n"
        ))?;
    }
    Ok(match put_off + given_up + in_part + busy {
        0 => Exit::Done,
        _ => Exit::CouldNotRun,
    })
}

/// Waits for channels that another process is sending to, for as long as that may take if it has died.
async fn send_with(
    courier: &Courier,
    store: &tagpipe_store::Store,
    again: bool,
) -> Result<Looked, StoreError> {
    courier.enter_channels().await?;
    if again {
        store.reopen_messages().await?;
    }
    let deadline = Instant::now() + TERM + LOOK_AGAIN;
    let (mut sent, mut in_part) = (0, 0);
    loop {
        let mut looked = courier.look(Look::Last { until: None }).await?;
        sent += looked.sent;
        in_part += looked.in_part;
        (looked.sent, looked.in_part) = (sent, in_part);
        if looked.busy == 0 || Instant::now() >= deadline {
            return Ok(looked);
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn watch(global: &GlobalArguments, subject: WatchedChoice, which: &str) -> Result<Exit, Failure> {
    let watch = what_is_meant(global, subject, which)?;
    let store = looking::open_or_make(global).await?;
    let added = store.add_watch(&watch).await;
    store.close().await;
    if !added.map_err(|error| Failure::reading(&error))? {
        return Err(Failure::usage(format!("`{watch}` is watched already")));
    }
    if global.json {
        print_json(&watch)?;
    } else if !global.quiet {
        print(&format!(
            "watched: {} {}\n",
            watch.subject.as_str(),
            harmless(&watch.to_string())
        ))?;
    }
    Ok(Exit::Done)
}

fn what_is_meant(global: &GlobalArguments, subject: WatchedChoice, which: &str) -> Result<Watch, Failure> {
    let (subject, kind) = match subject {
        WatchedChoice::Set => (Watched::Set, PageKind::Cards),
        WatchedChoice::Card => (Watched::Card, PageKind::GradeRows),
    };
    let is_address = which.starts_with('/') || which.contains("://");
    if !is_address {
        return Watch::parse(subject, which).map_err(|error| Failure::usage(error.to_string()));
    }
    let profile = run_config(&load(global)?)?.profile;
    profile
        .identity_from_href(kind, which)
        .and_then(|identity| Watch::of_page(kind, &identity))
        .ok_or_else(|| {
            Failure::usage(format!(
                "`{which}` is not the address of a {} by the profile's template",
                subject.as_str()
            ))
        })
}

async fn list_watches(global: &GlobalArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let watches = store.watches().await;
    store.close().await;
    let watches = watches.map_err(|error| Failure::reading(&error))?;
    if global.json {
        print_json(&watches)?;
        return Ok(Exit::Done);
    }
    if watches.is_empty() {
        print("nothing is watched; `tagpipe notify watch add card '*Gretzky*'` adds a watch\n")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("id", Align::Right),
        ("watched", Align::Left),
        ("which", Align::Left),
        ("since", Align::Left),
    ]);
    for one in &watches {
        table.row(&[
            one.id.to_string(),
            one.watch.subject.as_str().to_owned(),
            harmless(&one.watch.to_string()),
            one.created_at.clone(),
        ]);
    }
    print(&table.render(width()))?;
    Ok(Exit::Done)
}

async fn remove_watch(global: &GlobalArguments, id: i64) -> Result<Exit, Failure> {
    let store = looking::open_to_write(global).await?;
    let removed = store.remove_watch(id).await;
    store.close().await;
    if !removed.map_err(|error| Failure::reading(&error))? {
        return Err(Failure::usage(format!(
            "there is no watch {id}; `tagpipe notify watch list` shows those there are"
        )));
    }
    if global.json {
        print_json(&json!({ "id": id, "removed": true }))?;
    } else if !global.quiet {
        print(&format!("{id}: removed\n"))?;
    }
    Ok(Exit::Done)
}

fn load(global: &GlobalArguments) -> Result<Merged, Failure> {
    Merged::load(global.config.as_deref(), &global.given())
}

/// The channels of the settings, of which there must be one.
fn receivers(merged: &Merged) -> Result<Receivers, Failure> {
    let receivers = Receivers::of(merged)?;
    match receivers.is_empty() {
        true => Err(Failure::usage(
            "there is no channel; write one as [[notify.channels]] into tagpipe.toml, or set a variable such as PIPELINE_NOTIFY_NTFY_URL",
        )),
        false => Ok(receivers),
    }
}
