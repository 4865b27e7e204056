//! `tagpipe serve`: API, dashboard and scheduler.

use std::sync::Arc;
use std::time::Duration;

use indicatif::MultiProgress;
use serde_json::json;
use tagpipe_engine::{RunOptions, Service, Shutdown, StopRequest};
use tagpipe_store::{DatabaseUrl, ErrorClass, NewSchedule, Overlap, Store};
use tagpipe_web::{App, ServeError};
use tokio::time::{Instant, sleep};

use super::launching::Program;
use super::signals::{listen_for_signals, was_terminated};
use crate::cli::{GlobalArguments, ServeArguments};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Logging};
use crate::notifying::{Courier, Receivers};
use crate::output::print_json;
use crate::settings::{
    Merged, database_patience, database_url, log_format, log_level, run_config, schedule, time_zone,
    web_settings,
};

/// Name of the schedule that the settings give.
const OF_SETTINGS: &str = "PIPELINE_SCHEDULE";
/// How long after a missed time the schedule of the settings is still made up for.
const CATCH_UP: Duration = Duration::from_secs(3600);
/// How often a database that is not there yet is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves until it is asked to stop.
pub(crate) async fn serve(global: &GlobalArguments, arguments: &ServeArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let merged = Merged::load(global.config.as_deref(), &given)?;
    let config = run_config(&merged)?;
    let web = web_settings(&merged, &config)?;
    let receivers = Receivers::of(&merged)?;
    let logging = Logging {
        level: log_level(&merged)?,
        format: log_format(&merged)?,
        is_quiet: global.quiet,
        runner_id: Some("service"),
    };
    logging::start(logging, &MultiProgress::new());
    for note in merged.notes() {
        tracing::warn!("{note}");
    }
    let url = database_url(&merged)?;
    if url == DatabaseUrl::Memory {
        return Err(Failure::usage(
            "a service and its runs cannot share a database in memory; name a file or a PostgreSQL",
        ));
    }
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let patience = database_patience(&merged)?;
    let Some(store) = open(&url, !global.no_migrate, patience, &shutdown).await? else {
        return Ok(ended());
    };
    keep_schedule_of_settings(&store, &merged).await?;
    let program = Program::new(merged)?;
    let courier = Courier::new(store.clone(), receivers);
    courier
        .enter_channels()
        .await
        .map_err(|error| Failure::opening(&error))?;
    let telling = courier.start();
    let service = Service::new(store.clone(), Arc::new(program));
    let app = App::new(Arc::clone(&service), &web);
    let working = tokio::spawn({
        let (service, shutdown) = (Arc::clone(&service), shutdown.clone());
        async move { service.run(&shutdown).await }
    });
    let is_json = global.json;
    let served = tagpipe_web::serve(app, &web, &shutdown, |served| {
        tracing::info!(url = served.url, "the service is up");
        if is_json {
            // Whoever reads it and has gone away needs no address.
            let _ = print_json(&json!({ "url": served.url, "address": served.address.to_string() }));
        }
    })
    .await;
    // One that cannot listen does not work in the dark either.
    if served.is_err() && shutdown.requested() == StopRequest::None {
        shutdown.request();
    }
    working
        .await
        .map_err(|error| Failure::could_not_run(format!("the service failed: {error}")))?;
    signals.abort();
    telling.finish().await;
    store.close().await;
    served.map_err(|error| match error {
        ServeError::NoToken(_) => Failure::usage(error.to_string()),
        other => Failure::could_not_run(other.to_string()),
    })?;
    Ok(ended())
}

/// To be stopped is how a service ends.
fn ended() -> Exit {
    match was_terminated() {
        true => Exit::Done,
        false => Exit::Interrupted,
    }
}

/// Opens the database; one that is not there yet is waited for. `None` if it was asked to stop meanwhile.
async fn open(
    url: &DatabaseUrl,
    migrate: bool,
    patience: Duration,
    shutdown: &Shutdown,
) -> Result<Option<Store>, Failure> {
    let deadline = Instant::now() + patience;
    let mut has_said = false;
    loop {
        match Store::open(url, migrate).await {
            Ok(store) => return Ok(Some(store)),
            Err(error) if error.class() == ErrorClass::Retry && Instant::now() < deadline => {
                if !has_said {
                    has_said = true;
                    tracing::warn!(%error, "waiting for the database");
                }
            }
            Err(error) => return Err(Failure::opening(&error)),
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = shutdown.wait_for(StopRequest::Graceful) => return Ok(None),
        }
    }
}

/// The schedule that the settings give is a schedule like others; without it there is none.
async fn keep_schedule_of_settings(store: &Store, merged: &Merged) -> Result<(), Failure> {
    let failed = |error| Failure::opening(&error);
    match schedule(merged)? {
        Some(cron) => {
            let plan = NewSchedule {
                name: OF_SETTINGS.to_owned(),
                cron,
                time_zone: time_zone(merged)?,
                options: RunOptions::default().to_json(),
                enabled: true,
                jitter_s: 0,
                overlap: Overlap::Skip,
                catch_up_s: u32::try_from(CATCH_UP.as_secs()).unwrap_or(u32::MAX),
            };
            store.put_schedule(&plan, true).await.map_err(failed)
        }
        None => {
            let known = store.schedule(OF_SETTINGS).await.map_err(failed)?;
            if known.is_some_and(|known| known.from_settings) {
                store.remove_schedule(OF_SETTINGS).await.map_err(failed)?;
            }
            Ok(())
        }
    }
}
