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
    /// Address of the data of the chart of throughput.
    pub throughput: String,
    /// Pages read within the span.
    pub pages: Count,
    /// Requests made within the span.
    pub requests: Count,
    /// Requests that need not be made because nothing had changed.
    pub saved: Count,
    /// The saved ones as a part of all that would have been made.
    pub saved_share: Share,
    /// Reads that failed within the span.
    pub errors: Count,
    /// The failed ones as a part of all reads.
    pub error_share: Share,
    /// How long reading a page takes, by level.
    pub latencies: Vec<LatencyRow>,
    /// Failures by cause, the most frequent first.
    pub causes: Vec<CauseRow>,
    /// How much of each category is stored, and how fresh it is.
    pub coverage: Vec<CoverageRow>,
    /// Failures by day and hour.
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

/// How long reading the pages of a level takes.
#[derive(Debug, Clone)]
pub struct LatencyRow {
    /// The level.
    pub level: &'static str,
    /// Pages measured.
    pub pages: Count,
    /// Half of them took no longer.
    pub p50: Lasting,
    /// Nine of ten took no longer.
    pub p90: Lasting,
    /// 99 of 100 took no longer.
    pub p99: Lasting,
    /// The slowest.
    pub max: Lasting,
}

/// Failures of one cause.
#[derive(Debug, Clone)]
pub struct CauseRow {
    /// The cause.
    pub cause: String,
    /// How many.
    pub count: Count,
    /// That as a part of the most frequent one's.
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
    /// Its cards.
    pub cards: Count,
    /// When its card that waits longest was last read.
    pub oldest_at: Option<When>,
    /// Half of its cards were read after this.
    pub median_at: Option<When>,
}

/// Failures by day and hour, both in UTC.
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
    /// Failures of the whole day.
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
    /// Failures.
    pub count: Count,
    /// How strongly it is coloured, such as `0.35`.
    pub opacity: String,
}

impl HeatMap {
    /// A map of `days`: each with its name and the failures of its 24 hours.
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

    /// Whether there was no failure at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.most.0 == 0
    }
}

impl HeatHour {
    fn new(hour: u64, count: u64, most: u64) -> Self {
        // By the root, so that one failure can be seen beside an hour with hundreds.
        let strength = (count as f64 / most.max(1) as f64).sqrt();
        Self {
            hour,
            x: 84 + hour * 29,
            count: Count(count),
            opacity: format!("{:.2}", 0.2 + 0.8 * strength),
        }
    }
}
