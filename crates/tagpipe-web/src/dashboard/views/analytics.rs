//! `/analytics`: how well reading goes.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, Lasting, Share, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "analytics.html")]
pub struct AnalyticsPage {
    /// What surrounds it.
    pub frame: Frame,
    /// The spans to choose from.
    pub spans: Vec<SpanLink>,
    /// The run whose throughput is drawn; none before the first one.
    pub run_id: Option<i64>,
    /// Pages read by the last runs.
    pub pages: Count,
    /// Pages that need not be read because nothing had changed.
    pub saved: Count,
    /// The saved ones as a part of both.
    pub saved_share: Share,
    /// Reads within the span that were to be repeated.
    pub retries: Count,
    /// Failures within the span.
    pub failures: Count,
    /// The last runs, newest first: what they read and left out, and how long a page took.
    pub runs: Vec<RunCost>,
    /// Errors within the span by cause, the most frequent first.
    pub causes: Vec<CauseRow>,
    /// How much of each category is stored, and how fresh it is.
    pub coverage: Vec<CoverageRow>,
    /// Warnings and errors by day and hour.
    pub heat: HeatMap,
}

/// A span of time to choose.
#[derive(Debug, Clone)]
pub struct SpanLink {
    /// Its name, such as `7 days`.
    pub name: &'static str,
    /// Its address.
    pub href: String,
    /// Whether it is the one shown.
    pub is_shown: bool,
}

/// What a run read and left out, and how long a page took.
#[derive(Debug, Clone)]
pub struct RunCost {
    /// Its number.
    pub id: i64,
    /// When it began.
    pub started_at: When,
    /// Pages read.
    pub read: Count,
    /// Pages left out because nothing had changed.
    pub left_out: Count,
    /// The pages left out as a part of both.
    pub saved: Share,
    /// Half of the pages took no longer.
    pub p50: Lasting,
    /// Nine of ten took no longer.
    pub p90: Lasting,
    /// 99 of 100 took no longer.
    pub p99: Lasting,
    /// The slowest.
    pub max: Lasting,
}

/// Errors of one cause.
#[derive(Debug, Clone)]
pub struct CauseRow {
    /// The cause.
    pub cause: String,
    /// Reads that were to be repeated.
    pub retries: Count,
    /// Failures.
    pub failures: Count,
    /// Both as a part of the most frequent cause's.
    pub bar: Bar,
}

/// How much of a category is stored.
#[derive(Debug, Clone)]
pub struct CoverageRow {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Cards whose page was read whole, as a bar of all its cards.
    pub bar: Bar,
    /// The same as a part.
    pub share: Share,
    /// Its cards, as the years promise.
    pub cards: Count,
    /// Cards whose sums were found to agree.
    pub verified: Count,
    /// When its card that waits longest was last read.
    pub oldest_at: Option<When>,
    /// Half of its cards were read after this.
    pub median_at: Option<When>,
}

/// Warnings and errors by day and hour, both in UTC.
#[derive(Debug, Clone, Default)]
pub struct HeatMap {
    /// From the oldest day to the newest.
    pub days: Vec<HeatDay>,
    /// The greatest count of an hour.
    pub most: Count,
    /// Height of the drawing, which depends on the number of days.
    pub height: u64,
}

/// A day of a heat map.
#[derive(Debug, Clone)]
pub struct HeatDay {
    /// Its date, such as `Mon 23 Nov`.
    pub name: String,
    /// Where its row begins, from the top.
    pub y: u64,
    /// Where its name stands, from the top.
    pub text_y: u64,
    /// Those of the whole day.
    pub total: Count,
    /// Its 24 hours.
    pub hours: Vec<HeatHour>,
}

/// An hour of a heat map.
#[derive(Debug, Clone)]
pub struct HeatHour {
    /// The hour, from 0.
    pub hour: u64,
    /// Where it stands, from the left.
    pub x: u64,
    /// How many.
    pub count: Count,
    /// How strongly it is coloured, such as `0.35`.
    pub opacity: String,
}

impl HeatMap {
    /// A map of `days`: each with its name and the entries of its 24 hours.
    #[must_use]
    pub fn new(days: &[(String, [u64; 24])]) -> Self {
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
                total: Count(hours.iter().sum()),
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
    pub fn is_empty(&self) -> bool {
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
