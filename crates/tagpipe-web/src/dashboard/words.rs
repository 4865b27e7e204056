//! What pages say in words about runs, their settings and their pace, and how they write and read addresses and lengths of time.

use std::time::Duration;

use serde_json::Value as Json;
use tagpipe_core::model::PageKind;
use tagpipe_engine::{LevelSummary, RunOptions, RunStatus};
use tagpipe_store::Steering;
use tagpipe_store::browse::analytics::PagesByState;
use tagpipe_store::contract::Brake;
use tagpipe_store::monitor::RunOverview;
use url::Url;

use super::show::{Bar, Count, Lasting, Share, When};
use super::views::{LevelRow, RunRow};

/// A moment of the store; the beginning of time if it cannot be read, which no stored one is.
pub(crate) fn when(text: &str) -> When {
    When::parse(text).unwrap_or(When(jiff::Timestamp::UNIX_EPOCH))
}

/// A moment of the store that may be missing.
pub(crate) fn maybe_when(text: Option<&String>) -> Option<When> {
    text.and_then(|text| When::parse(text))
}

/// Seconds as a duration; nothing for what is no length of time.
pub(crate) fn lasting(seconds: f64) -> Lasting {
    Lasting(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A level's name as people say it.
pub(crate) fn level(kind: PageKind) -> &'static str {
    match kind {
        PageKind::GradeRows => "grade rows",
        other => other.as_str(),
    }
}

/// The state of a run, with what people want of it.
pub(crate) fn run_state(run: &RunOverview) -> &'static str {
    match (run.state.as_str(), run.steering) {
        ("running", Steering::Pause) => "paused",
        ("running", Steering::Stop) => "stopping",
        ("running", Steering::Go) => "running",
        ("interrupted", _) => "interrupted",
        ("reconciled", _) => "reconciled",
        _ => "disputed",
    }
}

/// What a run was to read.
pub(crate) fn what_of_run(config: &Json) -> String {
    if config["work"] == "reparse" {
        return "kept documents, read again".into();
    }
    let filters = &config["filters"];
    let listed = ["categories", "years", "sets", "cards"].map(|key| text_of(&filters[key]));
    let full = config["freshness"]["full"].as_bool().unwrap_or(false);
    let budget = config["max_pages"].as_u64();
    what(listed, full, budget.map(|pages| Count(pages).to_string()))
}

/// What the runs of a schedule or an order are to read.
pub(crate) fn what_of_options(options: &Json) -> String {
    let options = RunOptions::from_json(options).unwrap_or_default();
    let said = |key: &str| options.get(key).unwrap_or_default().to_owned();
    let listed = ["categories", "year_filter", "set_filter", "card_filter"].map(said);
    let budget = options.get("max_pages").map(ToOwned::to_owned);
    what(listed, options.get("full") == Some("true"), budget)
}

fn what([categories, years, sets, cards]: [String; 4], full: bool, budget: Option<String>) -> String {
    let mut parts = vec![if categories.is_empty() || categories == "discover" {
        "all categories".to_owned()
    } else {
        categories.replace(',', ", ").replace(",  ", ", ")
    }];
    parts.extend([years, sets, cards].into_iter().filter(|part| !part.is_empty()));
    if full {
        parts.push("every page".into());
    }
    parts.extend(budget.map(|pages| format!("at most {pages} pages")));
    parts.join("; ")
}

/// A filter as it is stored: a list of texts.
fn text_of(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

/// A run in a list.
pub(crate) fn run_row(run: &RunOverview) -> RunRow {
    RunRow {
        id: run.id,
        state: run_state(run),
        started_at: when(&run.started_at),
        took: lasting(run.elapsed_s),
        what: what_of_run(&run.config),
        pages: Count(run.pages_completed),
        failed: Count(run.pages_failed),
        requests: Count(run.requests),
        changes: Count(run.rows_new + run.rows_changed),
    }
}

/// The levels of a run.
pub(crate) fn level_rows(levels: &[LevelSummary]) -> Vec<LevelRow> {
    levels.iter().map(level_row).collect()
}

fn level_row(summary: &LevelSummary) -> LevelRow {
    let name = level(summary.level);
    let done = summary.pages.saturating_sub(summary.open);
    let left_out = summary.unchanged + summary.skipped + summary.cancelled;
    let label = format!("{name}: {} of {} pages done", Count(done), Count(summary.pages));
    let counts = [
        ("done", summary.completed),
        ("same", left_out),
        ("fail", summary.failed),
    ];
    LevelRow {
        name,
        bar: Bar::new(summary.pages, &counts, label),
        pages: Count(summary.pages),
        completed: Count(summary.completed),
        unchanged: Count(summary.unchanged),
        open: Count(summary.open),
        failed: Count(summary.failed),
        share: Share {
            part: done,
            whole: summary.pages,
        },
    }
}

/// Pages done and pages known, over all levels.
pub(crate) fn done_and_known(levels: &[LevelSummary]) -> (u64, u64) {
    let known = levels.iter().map(|level| level.pages).sum();
    let open: u64 = levels.iter().map(|level| level.open).sum();
    (u64::saturating_sub(known, open), known)
}

/// Pages by state as a bar, with how many are done and how many there are.
pub(crate) fn progress(name: &str, pages: &PagesByState) -> (Bar, u64, u64) {
    let left_out = pages.unchanged + pages.skipped + pages.cancelled;
    let done = pages.completed + left_out + pages.failed;
    let all = done + pages.available + pages.leased + pages.retryable;
    let counts = [
        ("done", pages.completed),
        ("same", left_out),
        ("fail", pages.failed),
        ("hand", pages.leased),
    ];
    let label = format!("{name}: {} of {} pages done", Count(done), Count(all));
    (Bar::new(all, &counts, label), done, all)
}

/// How fast pages are read.
pub(crate) fn pages_per_second(status: &RunStatus) -> String {
    let rate = if status.run.state == "running" {
        status.pages_per_s
    } else {
        status.run.pages_completed as f64 / status.run.elapsed_s.max(1.0)
    };
    if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        Count(rate as u64).to_string()
    }
}

/// The pace without the brake.
pub(crate) fn pace(interval_s: f64) -> String {
    if interval_s > 0.0 {
        format!("a request each {} s", shortest(interval_s))
    } else {
        "no pause between requests".into()
    }
}

/// What the brake does; none while it is open.
pub(crate) fn brake(brake: &Brake) -> Option<String> {
    if brake.is_open() {
        return None;
    }
    let held = if brake.blocked_for.is_zero() {
        format!("{} s more between requests", shortest(brake.extra.as_secs_f64()))
    } else {
        format!("no request for {}", Lasting(brake.blocked_for))
    };
    Some(if brake.reason.is_empty() {
        held
    } else {
        format!("{held}: {}", brake.reason)
    })
}

fn shortest(seconds: f64) -> String {
    let text = format!("{seconds:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The address on the site that was read, if it is there: a stored text can choose neither scheme nor host.
pub(crate) fn on_site(site: Option<&Url>, address: &str) -> Option<String> {
    let site = site?;
    let url = site.join(address).ok()?;
    let is_web = matches!(url.scheme(), "https" | "http");
    (is_web && url.origin() == site.origin() && !address.is_empty()).then(|| url.to_string())
}

/// `text` as a part of an address.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// `path` with those of these names and values that have one.
pub(crate) fn address_with(path: &str, parts: &[(&str, &str)]) -> String {
    let said = parts.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = said
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", query.join("&")),
    }
}

/// `24h`, `30m`, `7d`, `90` or `90s` as seconds; what is wrong with it, as a sentence.
pub(crate) fn seconds(text: &str) -> Result<Option<u32>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("“{text}” is no length of time: write 30m, 24h or 7d.");
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let number: u32 = number.trim().parse().map_err(|_| wrong())?;
    let length = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 1,
    };
    number.checked_mul(length).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_says_what_it_reads() {
        for (options, said) in [
            (json!({}), "all categories"),
            (
                json!({"categories": ["Hockey", "Baseball"], "year_filter": "1989-1991"}),
                "Hockey, Baseball; 1989-1991",
            ),
            (
                json!({"full": true, "max_pages": 500}),
                "all categories; every page; at most 500 pages",
            ),
        ] {
            assert_eq!(what_of_options(&options), said);
        }
    }

    #[test]
    fn an_address_stays_on_the_site() {
        let site = Url::parse("https://site.example").expect("an address");
        for (address, link) in [
            (
                "/pop-report/Hockey",
                Some("https://site.example/pop-report/Hockey"),
            ),
            ("https://site.example/a", Some("https://site.example/a")),
            ("", None),
            ("https://other.example/a", None),
            ("//other.example/a", None),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
        ] {
            assert_eq!(on_site(Some(&site), address).as_deref(), link, "{address}");
        }
        assert_eq!(on_site(None, "/a"), None);
    }

    #[test]
    fn numbers_have_no_idle_digits() {
        for (seconds, shown) in [(1.0, "1"), (0.25, "0.25"), (2.5, "2.5")] {
            assert_eq!(shortest(seconds), shown);
        }
    }

    #[test]
    fn lengths_of_time_have_a_unit() {
        for (text, read) in [
            ("", None),
            ("90", Some(90)),
            ("30m", Some(1_800)),
            ("24h", Some(86_400)),
            ("7d", Some(604_800)),
        ] {
            assert_eq!(seconds(text), Ok(read));
        }
        for text in ["h", "yesterday", "-1d", "99999999d", "1 é"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
