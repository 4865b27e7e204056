//! Level 3: the cards of a set, one row for each variation.

use std::borrow::Cow;

use super::collect::PageRow;
use super::row::{Lost, RowReader};
use crate::model::{CardRow, PageRows};

impl PageRow for CardRow {
    fn read(row: &mut RowReader<'_>) -> Result<Self, Lost> {
        Ok(CardRow {
            number: row.part("number")?,
            name: row.part("name")?,
            variation: row.part("variation")?,
            counts: row.counts()?,
            total: row.total()?,
        })
    }

    fn key(&self) -> [Cow<'_, str>; 3] {
        [
            Cow::Borrowed(&self.number),
            Cow::Borrowed(&self.name),
            Cow::Borrowed(&self.variation),
        ]
    }

    fn pack(rows: Vec<Self>) -> PageRows {
        PageRows::Cards(rows)
    }
}
