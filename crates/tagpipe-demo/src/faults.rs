//! The ways in which the site misbehaves, and when.
//!
//! Whether a request is struck depends on the fault seed, the page and how often that page was asked for before;
//! not on the order in which pages are read. At most one fault strikes a response.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::chance::{Chance, Purpose};

/// How often each fault strikes, as a share of requests from 0 to 1, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// 429.
    pub rate_limited: f64,
    /// 503.
    pub unavailable: f64,
    /// The not-found screen for a page that exists.
    pub soft_404: f64,
    /// The body ends before its announced length.
    pub cut_off: f64,
    /// The answer comes late.
    pub slow: f64,
    /// Fewer rows than the pager says.
    pub partial: f64,
    /// A table without a row and without the word that there are none.
    pub empty_table: f64,
    /// What 429 and 503 ask for in `Retry-After`, in seconds; without it, nothing.
    pub retry_after_s: Option<u32>,
    /// How late a slow answer comes, in milliseconds; 0 stands for three seconds.
    pub slow_ms: u64,
    /// What the strikes are drawn from.
    pub seed: u64,
}

/// A fault that struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429.
    RateLimited,
    /// 503.
    Unavailable,
    /// The not-found screen with status 200.
    #[serde(rename = "soft_404")]
    SoftNotFound,
    /// The body ended early.
    CutOff,
    /// The answer came late.
    Slow,
    /// Rows were missing.
    Partial,
    /// All rows were missing.
    EmptyTable,
}

/// Which kind of answer is about to be given: not every fault fits every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A document with its content.
    Page,
    /// A document whose content a script will fetch.
    Shell,
    /// That content.
    Data,
}

impl Faults {
    /// Whether any fault can strike.
    pub(crate) fn any(&self) -> bool {
        self.rates().iter().any(|(_, rate)| *rate > 0.0)
    }

    /// The fault that strikes the `attempt`-th answer for `page`, counted from 0.
    pub(crate) fn strike(&self, answer: Answer, page: u64, attempt: u32) -> Option<Fault> {
        let purpose = if answer == Answer::Data {
            Purpose::DataFault
        } else {
            Purpose::DocumentFault
        };
        let mut left = Chance::new(self.seed, purpose)
            .of(page)
            .of(u64::from(attempt))
            .unit();
        for (fault, rate) in self.rates() {
            if !fault.strikes(answer) {
                continue;
            }
            if left < rate {
                return Some(fault);
            }
            left -= rate;
        }
        None
    }

    pub(crate) fn slow_ms(&self) -> u64 {
        if self.slow_ms == 0 { 3000 } else { self.slow_ms }
    }

    fn rates(&self) -> [(Fault, f64); 7] {
        [
            (Fault::RateLimited, self.rate_limited),
            (Fault::Unavailable, self.unavailable),
            (Fault::SoftNotFound, self.soft_404),
            (Fault::CutOff, self.cut_off),
            (Fault::Slow, self.slow),
            (Fault::Partial, self.partial),
            (Fault::EmptyTable, self.empty_table),
        ]
    }
}

impl Fault {
    /// What ails the transport strikes documents; what ails the content strikes where the content is.
    fn strikes(self, answer: Answer) -> bool {
        let ails_content = matches!(self, Self::SoftNotFound | Self::Partial | Self::EmptyTable);
        match answer {
            Answer::Page => true,
            Answer::Shell => !ails_content,
            Answer::Data => ails_content,
        }
    }
}

/// Counts how often each page was asked for.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<(u64, bool), u32>>);

impl Attempts {
    /// Number of earlier requests of `page`; this one is counted.
    pub(crate) fn next(&self, answer: Answer, page: u64) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((page, answer == Answer::Data)).or_insert(0);
        *count += 1;
        *count - 1
    }

    /// Begins to count anew.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_fault_a_tenth() -> Faults {
        Faults {
            rate_limited: 0.1,
            unavailable: 0.1,
            soft_404: 0.1,
            cut_off: 0.1,
            slow: 0.1,
            partial: 0.1,
            empty_table: 0.1,
            seed: 11,
            ..Faults::default()
        }
    }

    #[test]
    fn each_fault_strikes_at_its_rate() {
        let faults = every_fault_a_tenth();
        let mut struck: HashMap<Option<Fault>, u32> = HashMap::new();
        for page in 0..10_000 {
            *struck.entry(faults.strike(Answer::Page, page, 0)).or_default() += 1;
        }
        for (fault, _) in faults.rates() {
            assert!(
                (880..1120).contains(&struck[&Some(fault)]),
                "{fault:?}: {struck:?}"
            );
        }
        assert!((2800..3200).contains(&struck[&None]));
    }

    #[test]
    fn attempts_are_struck_independently_of_each_other() {
        let faults = Faults {
            soft_404: 0.5,
            ..Faults::default()
        };
        let both = (0..10_000)
            .filter(|&page| (0..2).all(|attempt| faults.strike(Answer::Page, page, attempt).is_some()))
            .count();
        assert!((2300..2700).contains(&both), "{both}");
    }

    #[test]
    fn content_faults_strike_the_content_of_a_script_page() {
        let faults = every_fault_a_tenth();
        for page in 0..1000 {
            let shell = faults.strike(Answer::Shell, page, 0);
            let data = faults.strike(Answer::Data, page, 0);
            assert!(!matches!(
                shell,
                Some(Fault::SoftNotFound | Fault::Partial | Fault::EmptyTable)
            ));
            assert!(!matches!(
                data,
                Some(Fault::RateLimited | Fault::Unavailable | Fault::CutOff | Fault::Slow)
            ));
        }
    }

    #[test]
    fn a_rate_of_one_always_strikes_and_zero_never() {
        let always = Faults {
            cut_off: 1.0,
            ..Faults::default()
        };
        assert!((0..500).all(|page| always.strike(Answer::Page, page, 0) == Some(Fault::CutOff)));
        assert!((0..500).all(|page| Faults::default().strike(Answer::Page, page, 0).is_none()));
        assert!(always.any() && !Faults::default().any());
    }

    #[test]
    fn attempts_count_per_page_and_kind_of_answer() {
        let attempts = Attempts::default();
        assert_eq!(
            [attempts.next(Answer::Page, 7), attempts.next(Answer::Page, 7)],
            [0, 1]
        );
        assert_eq!(attempts.next(Answer::Page, 8), 0);
        assert_eq!(attempts.next(Answer::Data, 7), 0);
        attempts.forget();
        assert_eq!(attempts.next(Answer::Page, 7), 0);
    }
}
