//! Level 2: the sets of a year.

use std::borrow::Cow;

use super::collect::PageRow;
use super::row::{Lost, RowReader};
use crate::model::{PageRows, SetRow};

impl PageRow for SetRow {
    fn read(row: &mut RowReader<'_>) -> Result<Self, Lost> {
        Ok(SetRow {
            brand: row.part("brand")?,
            name: row.part("name")?,
            counts: row.counts()?,
            total: row.total()?,
        })
    }

    fn key(&self) -> [Cow<'_, str>; 3] {
        [
            Cow::Borrowed(&self.brand),
            Cow::Borrowed(&self.name),
            Cow::Borrowed(""),
        ]
    }

    fn pack(rows: Vec<Self>) -> PageRows {
        PageRows::Sets(rows)
    }
}
