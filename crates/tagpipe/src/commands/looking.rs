//! What the commands that look into a database share: opening it without changing it, times, levels.

use std::time::Duration;

use tagpipe_core::filter::{Filters, InvalidFilter, NameFilter, YearFilter};
use tagpipe_store::{Store, StoreError};

use crate::cli::GlobalArguments;
use crate::exit::Failure;
use crate::settings::{Merged, database_url, log_format, log_level, parse_time};

/// How far a moment may lie ahead of the database's clock: another machine's "now" is no future.
const CLOCKS_DIFFER_US: i64 = 60_000_000;

/// The database that the settings name, opened to be looked at: nothing is made or brought up to date.
pub(super) async fn open(global: &GlobalArguments) -> Result<Store, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    let url = database_url(&merged)?;
    crate::logging::start_plain(log_level(&merged)?, log_format(&merged)?);
    let failed = |error| Failure::opening(&error);
    let opened = Store::open_read_only(&url).await.map_err(failed)?;
    let opened = opened.ok_or_else(|| {
        Failure::could_not_run(format!(
            "there is no data at {url} yet; `tagpipe run` reads the report, `tagpipe demo` shows how"
        ))
    })?;
    // Where the file may be written, SQLite takes part in the locking and sees what others write meanwhile.
    match Store::open(&url, false).await {
        Ok(live) => {
            opened.close().await;
            Ok(live)
        }
        Err(_) => Ok(opened),
    }
}

/// The same, to change what is in it: what is no database of tagpipe's is not made one.
pub(super) async fn open_to_write(global: &GlobalArguments) -> Result<Store, Failure> {
    open(global).await?.close().await;
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    Store::open(&database_url(&merged)?, false)
        .await
        .map_err(|error| Failure::opening(&error))
}

/// The same, made and brought up to date first if need be: for what stands before the first run.
pub(super) async fn open_or_make(global: &GlobalArguments) -> Result<Store, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    crate::logging::start_plain(log_level(&merged)?, log_format(&merged)?);
    Store::open(&database_url(&merged)?, !global.no_migrate)
        .await
        .map_err(|error| Failure::opening(&error))
}

/// Filters as they were given.
pub(super) struct FilterTexts<'a> {
    pub(super) categories: Option<&'a str>,
    pub(super) years: Option<&'a str>,
    pub(super) sets: Option<&'a str>,
    pub(super) cards: Option<&'a str>,
}

/// The filters that `texts` mean.
pub(super) fn filters(texts: &FilterTexts<'_>) -> Result<Filters, Failure> {
    let named = |error: InvalidFilter, flag: &str| Failure::usage(format!("{error} (set by {flag})"));
    let names = |list: Option<&str>, flag: &str| {
        NameFilter::parse(list.unwrap_or_default()).map_err(|error| named(error, flag))
    };
    Ok(Filters {
        categories: names(texts.categories, "--categories")?,
        years: YearFilter::parse(texts.years.unwrap_or_default())
            .map_err(|error| named(error, "--year-filter"))?,
        sets: names(texts.sets, "--set-filter")?,
        cards: names(texts.cards, "--card-filter")?,
    })
}

/// A word on each category pattern that fits nothing that was ever seen: it is probably misspelt, which is no error in a script.
pub(super) async fn unmatched(store: &Store, filters: &Filters) -> Result<Vec<String>, StoreError> {
    let known = store.category_names().await?;
    let names: Vec<_> = known.iter().map(String::as_str).collect();
    let unmatched = filters.categories.unmatched(&names).into_iter();
    Ok(unmatched
        .map(|pattern| match names.as_slice() {
            [] => format!("no category matches `{pattern}`; none was read yet"),
            names => format!("no category matches `{pattern}`; there are {}", names.join(", ")),
        })
        .collect())
}

/// Says these words in the log.
pub(super) async fn warn_of_unmatched(store: &Store, filters: &Filters) -> Result<(), Failure> {
    let unmatched = unmatched(store, filters).await;
    for warning in unmatched.map_err(|error| Failure::reading(&error))? {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// How long before now, by the database's clock, `since` lies: `2h`, or a time in UTC. Since a moment that is still to come
/// nothing has happened.
pub(super) async fn ago(store: &Store, since: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = since else { return Ok(None) };
    let ago_us = ago_us(store, text).await?;
    Ok(Some(Duration::from_micros(u64::try_from(ago_us).unwrap_or(0))))
}

/// The same where two moments are compared, so that one which is still to come is a mistake.
pub(super) async fn past(store: &Store, since: &str) -> Result<Duration, Failure> {
    let ago_us = ago_us(store, since).await?;
    if ago_us < -CLOCKS_DIFFER_US {
        return Err(Failure::usage(format!(
            "`{since}` lies in the future (set by --since); times without an offset are UTC"
        )));
    }
    Ok(Duration::from_micros(u64::try_from(ago_us).unwrap_or(0)))
}

/// The moment that `text` names, in microseconds since 1970: `2h` before `now_us`, the database's time, or a time in UTC. One that
/// is still to come is a mistake.
pub(super) fn moment(now_us: i64, text: &str, flag: &str) -> Result<i64, Failure> {
    let at_us = match (parse_time(text), moment_us(text)) {
        (Some(ago), _) => now_us.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)),
        (None, Some(at_us)) => at_us,
        (None, None) => {
            return Err(Failure::usage(format!(
                "`{text}` is not a time (set by {flag}); it takes 30m, 8h or 7d, or a time such as 2026-11-24T08:00"
            )));
        }
    };
    if at_us > now_us + CLOCKS_DIFFER_US {
        return Err(Failure::usage(format!(
            "`{text}` lies in the future (set by {flag}); times without an offset are UTC"
        )));
    }
    Ok(at_us)
}

/// How many microseconds before now `since` lies, less than 0 if it is still to come.
async fn ago_us(store: &Store, since: &str) -> Result<i64, Failure> {
    if let Some(ago) = parse_time(since) {
        return Ok(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX));
    }
    let at_us = moment_us(since).ok_or_else(|| {
        Failure::usage(format!(
            "`{since}` is not a time (set by --since); it takes 30m, 8h or 7d, or a time such as 2026-11-24T08:00"
        ))
    })?;
    let now_us = store.now_us().await.map_err(|error| Failure::opening(&error))?;
    Ok(now_us - at_us)
}

/// A day or a moment in UTC, in microseconds since 1970.
fn moment_us(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_microsecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    let moment = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(moment.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_past_and_can_be_read() {
        let now_us = 1_796_025_600_000_000;
        let moment = |text| moment(now_us, text, "--changed-since").map_err(|failure| failure.message);
        assert_eq!(moment("2h"), Ok(now_us - 7_200_000_000));
        assert_eq!(moment("1970-01-02"), Ok(86_400_000_000));
        // Another machine's "now".
        assert!(moment("2026-11-30T08:00:30Z").is_ok());
        for (text, words) in [
            (
                "yesterday",
                "`yesterday` is not a time (set by --changed-since); it takes 30m",
            ),
            ("2026-13-01", "is not a time"),
            ("2026-11-30T08:02:00Z", "lies in the future"),
        ] {
            let why = moment(text).expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn moments_are_read_as_utc() {
        for (text, expected) in [
            ("1970-01-02", Some(86_400_000_000)),
            ("1970-01-01T00:01", Some(60_000_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("yesterday", None),
        ] {
            assert_eq!(moment_us(text), expected, "{text}");
        }
    }
}
