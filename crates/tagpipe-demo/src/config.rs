//! How a demo site is set up, and what can be changed while it runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chance::{Chance, Purpose};
use crate::faults::Faults;
use crate::world::WorldConditions;

/// Who builds the page: the site or a script in the visitor's browser. The markup is the same in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rendering {
    /// Complete HTML; the pager is a link to `?page=2`.
    #[default]
    Server,
    /// An empty root element that a script fills, late and in more than one paint; the pager is a button.
    Script,
}

/// How long answers take. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Before half of the data answers of the script rendering.
    pub median_ms: u64,
    /// Before the slow ones among them.
    pub tail_ms: u64,
    /// Share of slow data answers, 0 to 1.
    pub tail_share: f64,
    /// Between the first and the last paint.
    pub repaint_ms: u64,
    /// Before every document, in both renderings.
    pub document_ms: u64,
    /// Between two requests of the background polling.
    pub poll_ms: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            median_ms: 30,
            tail_ms: 120,
            tail_share: 0.05,
            repaint_ms: 25,
            document_ms: 0,
            poll_ms: 1000,
        }
    }
}

impl Latency {
    /// The delay before one data answer: half to one and a half of the median, or the tail's.
    pub(crate) fn of_data(&self, draw: Chance) -> Duration {
        let typical = if draw.unit() < self.tail_share {
            self.tail_ms
        } else {
            self.median_ms
        };
        Duration::from_millis(typical).mul_f64(0.5 + draw.of(1).unit())
    }

    /// The draw for a data answer's delay.
    pub(crate) fn draw(seed: u64, page: u64, attempt: u32) -> Chance {
        Chance::new(seed, Purpose::Latency)
            .of(page)
            .of(u64::from(attempt))
    }
}

/// A level of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The tiles.
    Categories,
    /// The years of a category.
    Years,
    /// The sets of a year.
    Sets,
    /// The cards of a set.
    Cards,
    /// The leaderboard of a card.
    GradeRows,
}

/// A change of the site's layout, for readers that must notice it. It strikes the last column of the level's
/// table, and at the level of categories the heading of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Layout {
    /// As the guide describes it.
    #[default]
    Normal,
    /// The header reads otherwise.
    RenamedHeader {
        /// Level that is struck.
        level: Level,
    },
    /// Header and cells are gone.
    MissingHeader {
        /// Level that is struck.
        level: Level,
    },
    /// Header and cells stand there twice.
    DoubledHeader {
        /// Level that is struck.
        level: Level,
    },
}

/// Everything that makes one demo site differ from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoConfig {
    /// What the content is drawn from.
    pub seed: u64,
    /// Number of pages of all levels, met within 15 %; from 50 to 200,000.
    pub pages: u64,
    /// Who builds the pages.
    pub rendering: Rendering,
    /// How often the site misbehaves.
    pub faults: Faults,
    /// How long answers take.
    pub latency: Latency,
    /// Whether sets and cards tables end in a TOTALS row.
    pub totals: bool,
    /// Whether there is a category full of dangerous names.
    pub hostile: bool,
    /// A change of layout.
    pub layout: Layout,
    /// Text of `/robots.txt` in place of the usual one.
    pub robots_txt: Option<String>,
    /// Whether requests are recorded; switch off for benchmarks.
    pub record_requests: bool,
    /// Weeks since the site opened. Each moves the population of some cards.
    pub epoch: u32,
    /// Share of the cards whose population moves in a week, 0 to 1.
    pub churn: f64,
    /// Share of the sets, cards and certificates that a week treats otherwise, 0 to 1: sets and cards that are not listed,
    /// cards under another name, certificates that are not shown or stand on the next card.
    pub upheaval: f64,
    /// Whether some cards move more often than others: a tenth of them six times as often as `churn` says, six tenths a
    /// sixth of it. On average the share is the same, as long as six times `churn` is no more than 1.
    pub uneven_churn: bool,
    /// Every page answers 429.
    pub refuse_all: bool,
    /// Every page is a captcha.
    pub captcha: bool,
    /// Whether pages are compressed for clients that accept gzip.
    pub compress: bool,
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            pages: 600,
            rendering: Rendering::default(),
            faults: Faults::default(),
            latency: Latency::default(),
            totals: true,
            hostile: false,
            layout: Layout::default(),
            robots_txt: None,
            record_requests: true,
            epoch: 0,
            churn: 0.02,
            upheaval: 0.0,
            uneven_churn: false,
            refuse_all: false,
            captcha: false,
            compress: false,
        }
    }
}

impl DemoConfig {
    pub(crate) fn world_conditions(&self) -> WorldConditions {
        WorldConditions {
            seed: self.seed,
            pages: self.pages,
            hostile: self.hostile,
            epoch: self.epoch,
            churn: self.churn,
            upheaval: self.upheaval,
            uneven_churn: self.uneven_churn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_json_and_refuse_unknown_keys() {
        let config = DemoConfig {
            layout: Layout::MissingHeader { level: Level::Sets },
            ..DemoConfig::default()
        };
        let json = serde_json::to_string(&config).expect("settings are JSON");
        assert_eq!(
            serde_json::from_str::<DemoConfig>(&json).expect("own output is read"),
            config
        );
        assert!(serde_json::from_str::<DemoConfig>(r#"{"sed": 4}"#).is_err());
        assert!(serde_json::from_str::<DemoConfig>(r#"{"faults": {"slw": 1}}"#).is_err());
    }

    #[test]
    fn delays_lie_around_the_median_with_a_tail() {
        let latency = Latency::default();
        let delays: Vec<u64> = (0..1000)
            .map(|page| latency.of_data(Latency::draw(1, page, 0)).as_millis() as u64)
            .collect();
        assert!(delays.iter().all(|&delay| (15..=180).contains(&delay)));
        assert!((20..90).contains(&delays.iter().filter(|&&delay| delay > 50).count()));
    }
}
