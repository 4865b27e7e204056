//! `/analytics`: how well reading goes.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, Lasting, Share, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "analytics.html")]
pub(crate) struct AnalyticsPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// The spans to choose from.
    pub(crate) spans: Vec<SpanLink>,
    /// The run whose throughput is drawn; none before the first one.
    pub(crate) run_id: Option<i64>,
    /// Pages read by the last runs.
    pub(crate) pages: Count,
    /// Pages that need not be read because nothing had changed.
    pub(crate) saved: Count,
    /// The saved ones as a part of both.
    pub(crate) saved_share: Share,
    /// Reads within the span that were to be repeated.
    pub(crate) retries: Count,
    /// Failures within the span.
    pub(crate) failures: Count,
    /// The last runs, newest first: what they read and left out, and how long a page took.
    pub(crate) runs: Vec<RunCost>,
    /// Errors within the span by cause, the most frequent first.
    pub(crate) causes: Vec<CauseRow>,
    /// How much of each category is stored, and how fresh it is.
    pub(crate) coverage: Vec<CoverageRow>,
    /// Warnings and errors by day and hour.
    pub(crate) heat: HeatMap,
}

/// A span of time to choose.
#[derive(Debug, Clone)]
pub(crate) struct SpanLink {
    /// Its name, such as `7 days`.
    pub(crate) name: &'static str,
    /// Its address.
    pub(crate) href: String,
    /// Whether it is the one shown.
    pub(crate) is_shown: bool,
}

/// What a run read and left out, and how long a page took.
#[derive(Debug, Clone)]
pub(crate) struct RunCost {
    /// Its number.
    pub(crate) id: i64,
    /// When it began.
    pub(crate) started_at: When,
    /// Pages read.
    pub(crate) read: Count,
    /// Pages left out because nothing had changed.
    pub(crate) left_out: Count,
    /// The pages left out as a part of both.
    pub(crate) saved: Share,
    /// Half of the pages took no longer.
    pub(crate) p50: Lasting,
    /// Nine of ten took no longer.
    pub(crate) p90: Lasting,
    /// 99 of 100 took no longer.
    pub(crate) p99: Lasting,
    /// The slowest.
    pub(crate) max: Lasting,
}

/// Errors of one cause.
#[derive(Debug, Clone)]
pub(crate) struct CauseRow {
    /// The cause.
    pub(crate) cause: String,
    /// Reads that were to be repeated.
    pub(crate) retries: Count,
    /// Failures.
    pub(crate) failures: Count,
    /// Both as a part of the most frequent cause's.
    pub(crate) bar: Bar,
}

/// How much of a category is stored.
#[derive(Debug, Clone)]
pub(crate) struct CoverageRow {
    /// Its number.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// Cards whose page was read whole, as a bar of all its cards.
    pub(crate) bar: Bar,
    /// The same as a part.
    pub(crate) share: Share,
    /// Its cards, as the years promise.
    pub(crate) cards: Count,
    /// Cards whose sums were found to agree.
    pub(crate) verified: Count,
    /// When its card that waits longest was last read.
    pub(crate) oldest_at: Option<When>,
    /// Half of its cards were read after this.
    pub(crate) median_at: Option<When>,
}

/// Warnings and errors by day and hour, both in UTC.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeatMap {
    /// From the oldest day to the newest.
    pub(crate) days: Vec<HeatDay>,
    /// The greatest count of an hour.
    pub(crate) most: Count,
    /// Height of the drawing, which depends on the number of days.
    pub(crate) height: u64,
}

/// A day of a heat map.
#[derive(Debug, Clone)]
pub(crate) struct HeatDay {
    /// Its date, such as `Mon 23 Nov`.
    pub(crate) name: String,
    /// Where its row begins, from the top.
    pub(crate) y: u64,
    /// Where its name stands, from the top.
    pub(crate) text_y: u64,
    /// Its 24 hours.
    pub(crate) hours: Vec<HeatHour>,
}

/// An hour of a heat map.
#[derive(Debug, Clone)]
pub(crate) struct HeatHour {
    /// The hour, from 0.
    pub(crate) hour: u64,
    /// Where it stands, from the left.
    pub(crate) x: u64,
    /// How many.
    pub(crate) count: Count,
    /// How strongly it is coloured, such as `0.35`.
    pub(crate) opacity: String,
}

impl HeatMap {
    /// A map of `days`: each with its name and the entries of its 24 hours.
    #[must_use]
    pub(crate) fn new(days: &[(String, [u64; 24])]) -> Self {
        const ROW: u64 = 22;
        const TOP: u64 = 20;
        let most = days
            .iter()
            .flat_map(|(_, hours)| hours)
            .copied()
            .max()
            .unwrap_or(0);
        let days: Vec<HeatDay> = (0..)
            .zip(days)
            .map(|(row, (name, hours))| HeatDay {
                name: name.clone(),
                y: TOP + row * ROW,
                text_y: TOP + row * ROW + 14,
                hours: (0..)
                    .zip(hours)
                    .map(|(hour, count)| HeatHour::new(hour, *count, most))
                    .collect(),
            })
            .collect();
        Self {
            height: TOP + ROW * days.len() as u64,
            most: Count(most),
            days,
        }
    }

    /// Whether there was none at all.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.most.0 == 0
    }
}

impl HeatHour {
    fn new(hour: u64, count: u64, most: u64) -> Self {
        // By the root, so that one entry can be seen beside an hour with hundreds.
        let strength = (count as f64 / most.max(1) as f64).sqrt();
        Self {
            hour,
            x: 84 + hour * 29,
            count: Count(count),
            opacity: format!("{:.2}", 0.2 + 0.8 * strength),
        }
    }
}
