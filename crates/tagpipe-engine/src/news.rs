//! What people may want to be told of a run: of its end, from its summary, and of what goes wrong while it is under way.

use std::time::Duration;

use tagpipe_core::news::{News, NewsKind, NewsLevel};
use tagpipe_store::contract::RunId;
use tagpipe_store::{ClosedBrake, ReadCounts};

use crate::settings::NewsLimits;
use crate::summary::{RunEnd, Summary};

/// Reads that a rate is taken of at least: of fewer, a few unlucky ones would be many.
const READS_MIN: u64 = 50;

/// What is told of the end of a run; `failure` is why its process could not go on, if that is so.
pub(crate) fn news_of_end(summary: &Summary, failure: Option<&str>) -> Vec<News> {
    let run = summary.run_id;
    if let Some(why) = failure {
        let failed = News::new(
            NewsKind::RunFailed,
            NewsLevel::Error,
            &format!("Run {run}: {why}"),
        );
        return vec![with_figures(failed, summary)];
    }
    let (kind, level) = match &summary.end {
        RunEnd::Reconciled | RunEnd::BudgetSpent(_) => (NewsKind::RunFinished, NewsLevel::Info),
        RunEnd::PagesFailed | RunEnd::Disputed => (NewsKind::RunFinished, NewsLevel::Warning),
        RunEnd::KeptRefusing(_) | RunEnd::LayoutChanged(_) | RunEnd::RunnersLost(_) => {
            (NewsKind::RunFailed, NewsLevel::Error)
        }
        RunEnd::Interrupted => (NewsKind::RunInterrupted, NewsLevel::Warning),
    };
    let mut news = vec![with_figures(
        News::new(kind, level, &format!("Run {run}: {}", summary.end)),
        summary,
    )];
    if let RunEnd::LayoutChanged(reason) = &summary.end {
        let title = format!("The layout of {} does not fit the profile any more", summary.site);
        let text = format!(
            "{reason}\n`tagpipe probe` shows what the profile recognises; run {run} goes on with `tagpipe run --resume {run}`."
        );
        news.push(
            News::new(NewsKind::LayoutChanged, NewsLevel::Critical, &title)
                .with_text(&text)
                .about_run(run),
        );
    }
    if summary.discrepancies > 0 && summary.end.is_final() {
        let title = format!("Run {run}: {} sums do not agree", summary.discrepancies);
        news.push(
            News::new(NewsKind::Discrepancies, NewsLevel::Warning, &title)
                .with_text(&summary.disagreements.join("\n"))
                .with_fact("Discrepancies", &summary.discrepancies.to_string())
                .with_fact("Not verified", &summary.unverified.to_string())
                .about_run(run),
        );
    }
    news
}

fn with_figures(news: News, summary: &Summary) -> News {
    let sum = |of: fn(&crate::summary::LevelSummary) -> u64| summary.levels.iter().map(of).sum::<u64>();
    let failed = sum(|level| level.failed);
    let lines: Vec<String> = summary
        .failed
        .iter()
        .map(|page| format!("{}: {}", page.page_key, page.reason))
        .collect();
    let mut news = news
        .with_text(&lines.join("\n"))
        .with_fact("Site", &summary.site)
        .with_fact("Pages read", &sum(|level| level.completed).to_string())
        .with_fact("Pages unchanged", &sum(|level| level.unchanged).to_string());
    if failed > 0 {
        news = news.with_fact("Pages failed", &failed.to_string());
    }
    let open = sum(|level| level.open);
    if open > 0 {
        news = news.with_fact("Pages left", &open.to_string());
    }
    news.with_fact("Rows new", &summary.rows.new.to_string())
        .with_fact("Rows changed", &summary.rows.changed.to_string())
        .with_fact("Requests", &summary.requests.to_string())
        .about_run(summary.run_id)
}

/// Whether the reads between two looks are enough to judge by, and if so, whether too many of them came to nothing.
pub(crate) fn error_rate(
    run: RunId,
    before: ReadCounts,
    now: ReadCounts,
    limits: &NewsLimits,
) -> Judged<Option<News>> {
    let completed = now.completed.saturating_sub(before.completed);
    let failed = now.failed.saturating_sub(before.failed);
    let reads = completed + failed;
    if reads < READS_MIN {
        return Judged::TooFew;
    }
    let rate = failed as f64 / reads as f64;
    if rate <= limits.error_rate {
        return Judged::Judged(None);
    }
    let title = format!("Run {run}: {:.0} % of the reads come to nothing", rate * 100.0);
    let news = News::new(NewsKind::ErrorRate, NewsLevel::Error, &title)
        .with_text(&format!("`tagpipe errors --run {run}` says why."))
        .with_fact("Reads looked at", &reads.to_string())
        .with_fact("Came to nothing", &failed.to_string())
        .with_fact("Limit", &format!("{:.0} %", limits.error_rate * 100.0))
        .about_run(run)
        .once(&format!("error_rate/{run}"));
    Judged::Judged(Some(news))
}

/// What a look at the reads says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged<T> {
    /// Nothing yet.
    TooFew,
    /// This, and the next look begins anew.
    Judged(T),
}

/// What is told of a brake that has been closed for longer than it should, once until it opens.
pub(crate) fn brake_closed(run: RunId, site: &str, brake: &ClosedBrake, limits: &NewsLimits) -> Option<News> {
    if brake.closed_for < limits.brake_closed {
        return None;
    }
    let title = format!("{site} has been refusing for {}", in_words(brake.closed_for));
    Some(
        News::new(NewsKind::BrakeClosed, NewsLevel::Warning, &title)
            .with_text(&brake.reason)
            .with_fact("Added to each interval", &in_words(brake.extra))
            .about_run(run)
            .once(&format!("brake_closed/{site}/{}", brake.since_us)),
    )
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(completed: u64, failed: u64) -> ReadCounts {
        ReadCounts { completed, failed }
    }

    fn limits() -> NewsLimits {
        NewsLimits {
            error_rate: 0.2,
            brake_closed: Duration::from_secs(900),
        }
    }

    #[test]
    fn the_rate_is_that_of_the_reads_since_the_last_look() {
        let judge = |before, now| match error_rate(7, before, now, &limits()) {
            Judged::TooFew => None,
            Judged::Judged(news) => Some(news.is_some()),
        };
        assert_eq!(judge(counts(0, 0), counts(39, 10)), None);
        assert_eq!(judge(counts(0, 0), counts(40, 10)), Some(false));
        assert_eq!(judge(counts(0, 0), counts(40, 11)), Some(true));
        // A good past does not hide a bad present.
        assert_eq!(judge(counts(100_000, 0), counts(100_010, 40)), Some(true));
        assert_eq!(judge(counts(0, 40), counts(100, 40)), Some(false));
    }

    #[test]
    fn a_brake_is_told_of_once_while_it_is_closed() {
        let brake = |seconds| ClosedBrake {
            since_us: 5,
            closed_for: Duration::from_secs(seconds),
            extra: Duration::from_secs(30),
            reason: "HTTP status 429".to_owned(),
        };
        let told = |seconds| brake_closed(7, "https://x", &brake(seconds), &limits());
        assert_eq!(told(899), None);
        let (first, later) = (told(900).expect("long"), told(4000).expect("longer"));
        assert!(first.unique_key.is_some());
        assert_eq!(first.unique_key, later.unique_key);
    }
}
