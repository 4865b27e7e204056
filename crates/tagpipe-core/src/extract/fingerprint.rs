//! A fingerprint of rows, to tell whether two reads of a page found the same.

use crate::model::{Counts, Grade, PageRows};

/// A fingerprint of all fields of `rows`, the same in every process and version of the program's
/// dependencies; it does not depend on memory or on the standard library's hasher.
#[must_use]
pub fn rows_hash(rows: &PageRows) -> u64 {
    let mut hash = Fnv::new();
    hash.text(rows.kind().as_str());
    match rows {
        PageRows::Categories(rows) => rows.iter().for_each(|row| hash.text(&row.name)),
        PageRows::Years(rows) => {
            for row in rows {
                hash.text(&row.year);
                [row.sets, row.items, row.graded]
                    .into_iter()
                    .for_each(|number| hash.number(number));
            }
        }
        PageRows::Sets(rows) => {
            for row in rows {
                [&row.brand, &row.name]
                    .into_iter()
                    .for_each(|text| hash.text(text));
                hash.counts(&row.counts, row.total);
            }
        }
        PageRows::Cards(rows) => {
            for row in rows {
                [&row.number, &row.name, &row.variation]
                    .into_iter()
                    .for_each(|text| hash.text(text));
                hash.counts(&row.counts, row.total);
            }
        }
        PageRows::GradeRows(rows) => {
            for row in rows {
                hash.text(row.cert_number.as_str());
                hash.grade(&row.grade);
                let places = [row.rank, row.rank_by_grade, row.chronology, row.chron_by_grade];
                places.into_iter().for_each(|place| hash.optional(place));
                hash.text(&row.completed_on.map(|day| day.to_string()).unwrap_or_default());
                hash.text(&row.report_url);
            }
        }
    }
    hash.0
}

/// FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The end is marked by a byte that stands in no UTF-8 text, so that neighbours stay apart.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn optional(&mut self, number: Option<u64>) {
        self.bytes(&[u8::from(number.is_some())]);
        self.number(number.unwrap_or_default());
    }

    fn counts(&mut self, counts: &Counts, total: u64) {
        for (code, count) in counts.iter() {
            self.text(code.as_str());
            self.number(count);
        }
        self.bytes(&[0xff]);
        self.number(total);
    }

    fn grade(&mut self, grade: &Grade) {
        [&grade.text, &grade.label]
            .into_iter()
            .for_each(|text| self.text(text));
        self.optional(grade.value.map(|value| u64::from(value.tenths())));
        self.optional(grade.score.map(u64::from));
        self.text(grade.code.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CategoryRow, YearRow};

    #[test]
    fn equal_rows_have_one_fingerprint_for_ever_and_others_another() {
        let categories = |names: &[&str]| {
            PageRows::Categories(
                names
                    .iter()
                    .map(|name| CategoryRow {
                        name: (*name).to_owned(),
                    })
                    .collect(),
            )
        };
        assert_eq!(
            rows_hash(&categories(&["Baseball", "Hockey"])),
            0x944f_799d_2d3e_5577
        );
        let year = |graded| {
            PageRows::Years(vec![YearRow {
                year: "1989".into(),
                sets: 1,
                items: 2,
                graded,
            }])
        };
        let hashes = [
            rows_hash(&categories(&[])),
            rows_hash(&categories(&["ab", "c"])),
            rows_hash(&categories(&["a", "bc"])),
            rows_hash(&PageRows::Years(Vec::new())),
            rows_hash(&year(3)),
            rows_hash(&year(4)),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash), "{index}");
        }
    }
}
