//! Whether what was read is all there: the page's own pager and TOTALS, then what its parent's row promised.
//! Pure: it takes values and returns an outcome.

use std::collections::HashSet;

use tagpipe_core::extract::{PagerState, Totals};
use tagpipe_core::model::{CardRow, Counts, PageRows, SetRow, bounded_key};
use tagpipe_core::outcome::{Outcome, Witness};

/// Everything one read of a page brought.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The rows of all documents of the page.
    pub(crate) rows: PageRows,
    /// The pager of the last document.
    pub(crate) pager: Option<PagerState>,
    /// The check sum of the last document that had one.
    pub(crate) totals: Option<Totals>,
    /// Rows that were lost because a cell could not be read.
    pub(crate) lost_rows: usize,
}

/// Judges `reading` against the page's own evidence and against what its parent `expected`.
pub(crate) fn judge(reading: &Reading, expected: Option<u64>) -> Outcome {
    let have = distinct_rows(&reading.rows) + reading.lost_rows as u64;
    if let Some(want) = reading.pager.map(|pager| pager.of).filter(|of| *of != have) {
        return Outcome::Incomplete {
            have,
            want,
            by: Witness::Page,
        };
    }
    if reading.lost_rows > 0 {
        return Outcome::Complete;
    }
    if let Some((have, want)) = reading
        .totals
        .as_ref()
        .and_then(|totals| total_mismatch(&reading.rows, totals))
    {
        return Outcome::Incomplete {
            have,
            want,
            by: Witness::Page,
        };
    }
    let have = promised_measure(&reading.rows);
    match expected {
        // More than promised means that the site moved on since the parent was read: nothing is missing.
        Some(want) if have < want => Outcome::Incomplete {
            have,
            want,
            by: Witness::Parent,
        },
        _ => Outcome::Complete,
    }
}

/// What the parent's row counts: sets of a year, copies of a set or card.
fn promised_measure(rows: &PageRows) -> u64 {
    match rows {
        PageRows::Cards(cards) => cards.iter().fold(0, |sum, card| sum.saturating_add(card.total)),
        other => other.len() as u64,
    }
}

fn distinct_rows(rows: &PageRows) -> u64 {
    let keys: HashSet<String> = match rows {
        PageRows::Categories(rows) => rows.iter().map(|row| row.name.clone()).collect(),
        PageRows::Years(rows) => rows.iter().map(|row| row.year.clone()).collect(),
        PageRows::Sets(rows) => rows
            .iter()
            .map(|row| bounded_key(&[&row.brand, &row.name]))
            .collect(),
        PageRows::Cards(rows) => rows
            .iter()
            .map(|row| bounded_key(&[&row.number, &row.name, &row.variation]))
            .collect(),
        PageRows::GradeRows(rows) => rows.iter().map(|row| row.cert_number.to_string()).collect(),
    };
    keys.len() as u64
}

/// The first sum of the TOTALS row that the rows do not give: (have, want).
fn total_mismatch(rows: &PageRows, totals: &Totals) -> Option<(u64, u64)> {
    let (counts, total) = match rows {
        PageRows::Sets(rows) => sums(rows, |row: &SetRow| (&row.counts, row.total)),
        PageRows::Cards(rows) => sums(rows, |row: &CardRow| (&row.counts, row.total)),
        _ => return None,
    };
    if total != totals.total {
        return Some((total, totals.total));
    }
    let promised = totals.counts.iter().map(|(code, want)| (counts.get(code), want));
    let unpromised = counts.iter().map(|(code, have)| (have, totals.counts.get(code)));
    promised.chain(unpromised).find(|(have, want)| have != want)
}

fn sums<T>(rows: &[T], of: fn(&T) -> (&Counts, u64)) -> (Counts, u64) {
    let mut sum = Counts::default();
    let mut sum_of_totals = 0_u64;
    for row in rows {
        let (counts, total) = of(row);
        counts.iter().for_each(|(code, count)| sum.add(code, count));
        sum_of_totals = sum_of_totals.saturating_add(total);
    }
    (sum, sum_of_totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tagpipe_core::model::GradeCode;

    fn card(number: &str, nines: u64) -> CardRow {
        let mut counts = Counts::default();
        counts.add(GradeCode::new("9").expect("short"), nines);
        CardRow {
            number: number.into(),
            name: "Gary Carter".into(),
            variation: String::new(),
            counts,
            total: nines,
        }
    }

    fn cards(rows: Vec<CardRow>) -> Reading {
        Reading {
            rows: PageRows::Cards(rows),
            pager: None,
            totals: None,
            lost_rows: 0,
        }
    }

    fn totals(nines: u64, total: u64) -> Totals {
        let mut counts = Counts::default();
        counts.add(GradeCode::new("9").expect("short"), nines);
        Totals { counts, total }
    }

    #[test]
    fn the_pager_is_believed_first() {
        let pager = Some(PagerState {
            from: 1,
            to: 2,
            of: 3,
        });
        let reading = Reading {
            pager,
            ..cards(vec![card("1", 1), card("2", 1)])
        };
        assert_eq!(
            judge(&reading, Some(2)),
            Outcome::Incomplete {
                have: 2,
                want: 3,
                by: Witness::Page
            }
        );
    }

    #[test]
    fn a_row_read_twice_counts_once() {
        let pager = Some(PagerState {
            from: 1,
            to: 2,
            of: 2,
        });
        let reading = Reading {
            pager,
            ..cards(vec![card("1", 1), card("1", 1)])
        };
        assert_eq!(
            judge(&reading, None),
            Outcome::Incomplete {
                have: 1,
                want: 2,
                by: Witness::Page
            }
        );
    }

    #[test]
    fn totals_are_a_check_sum_by_grade() {
        let with = |sum| Reading {
            totals: Some(sum),
            ..cards(vec![card("1", 2), card("2", 3)])
        };
        assert_eq!(judge(&with(totals(5, 5)), None), Outcome::Complete);
        assert_eq!(
            judge(&with(totals(6, 6)), None),
            Outcome::Incomplete {
                have: 5,
                want: 6,
                by: Witness::Page
            }
        );
        assert_eq!(
            judge(&with(totals(4, 5)), None),
            Outcome::Incomplete {
                have: 5,
                want: 4,
                by: Witness::Page
            }
        );
    }

    #[test]
    fn a_parent_promises_copies_and_only_less_is_suspicious() {
        let reading = cards(vec![card("1", 2), card("2", 3)]);
        assert_eq!(
            judge(&reading, Some(6)),
            Outcome::Incomplete {
                have: 5,
                want: 6,
                by: Witness::Parent
            }
        );
        assert_eq!(judge(&reading, Some(5)), Outcome::Complete);
        assert_eq!(judge(&reading, Some(4)), Outcome::Complete);
    }
}
