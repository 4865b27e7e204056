//! Level 1: the years of a category.

use std::borrow::Cow;

use super::collect::PageRow;
use super::row::{Lost, RowReader};
use crate::model::{PageRows, YearRow};

impl PageRow for YearRow {
    fn read(row: &mut RowReader<'_>) -> Result<Self, Lost> {
        Ok(YearRow {
            year: row.part("year")?,
            sets: row.number("sets")?,
            items: row.number("items")?,
            graded: row.number("graded")?,
        })
    }

    fn key(&self) -> [Cow<'_, str>; 3] {
        [Cow::Borrowed(&self.year), Cow::Borrowed(""), Cow::Borrowed("")]
    }

    fn pack(rows: Vec<Self>) -> PageRows {
        PageRows::Years(rows)
    }
}
