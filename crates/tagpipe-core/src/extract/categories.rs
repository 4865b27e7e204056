//! Level 0: the tiles of the categories.

use std::borrow::Cow;

use super::collect::PageRow;
use super::row::{Lost, RowReader};
use crate::model::{CategoryRow, PageRows, fold_name};

impl PageRow for CategoryRow {
    fn read(row: &mut RowReader<'_>) -> Result<Self, Lost> {
        Ok(CategoryRow {
            name: row.part("name")?,
        })
    }

    fn key(&self) -> [Cow<'_, str>; 3] {
        [
            Cow::Owned(fold_name(&self.name)),
            Cow::Borrowed(""),
            Cow::Borrowed(""),
        ]
    }

    /// `Pokémon` and `Pokemon` load one page: one category, with the first spelling.
    fn is_same(&self, _: &Self) -> bool {
        true
    }

    fn pack(rows: Vec<Self>) -> PageRows {
        PageRows::Categories(rows)
    }
}
