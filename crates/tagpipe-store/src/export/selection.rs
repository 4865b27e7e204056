//! Which rows of a table are wanted, and the query for them.

use sea_orm::Statement;
use serde::Serialize;
use tagpipe_core::filter::{Filters, NameFilter, YearFilter};
use tagpipe_core::tabular::{Column, Kind};

use super::tables::{Place, Source, Vanished};
use super::{Exportable, Level, Part};
use crate::dialect::{ColumnType, Columns, Dialect};

/// Which rows are wanted. The default is all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only rows of these categories, years and sets.
    pub filters: Filters,
    /// Only rows that are new, other or gone since then: microseconds since 1970 by the database's clock.
    pub changed_since_us: Option<i64>,
    /// Only rows that the site lists now.
    pub is_current: bool,
    /// Rows ordered by these levels first, and told apart by the last of them.
    pub split: Option<Level>,
}

/// A wish that a table cannot fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotApplicable {
    /// Its rows do not lie that deep in the catalogue.
    #[error("the rows of `{table}` do not belong to one {}", level.as_str())]
    Level {
        /// The table.
        table: &'static str,
        /// The level of the filter, or that it was to be split by.
        level: Level,
    },
    /// Its rows have no times.
    #[error("it is not known when the rows of `{table}` changed")]
    Dates {
        /// The table.
        table: &'static str,
    },
    /// Its rows do not vanish.
    #[error("the rows of `{table}` are no rows of the site that could vanish from it")]
    Presence {
        /// The table.
        table: &'static str,
    },
}

impl Selection {
    /// The deepest level that a filter asks about.
    #[must_use]
    pub fn filtered_level(&self) -> Option<Level> {
        if self.filters.sets != NameFilter::default() {
            Some(Level::Set)
        } else if self.filters.years != YearFilter::default() {
            Some(Level::Year)
        } else if self.filters.categories != NameFilter::default() {
            Some(Level::Category)
        } else {
            None
        }
    }

    /// Whether all that is asked for can be told of `table`'s rows.
    ///
    /// # Errors
    /// What cannot.
    pub fn check(&self, table: Exportable) -> Result<(), NotApplicable> {
        let name = table.table().name;
        let levels = [self.filtered_level(), self.split];
        for level in levels.into_iter().flatten() {
            if table.deepest_level().is_none_or(|deepest| deepest < level) {
                return Err(NotApplicable::Level { table: name, level });
            }
        }
        if self.changed_since_us.is_some() && !table.is_dated() {
            return Err(NotApplicable::Dates { table: name });
        }
        if self.is_current && !table.knows_vanished() {
            return Err(NotApplicable::Presence { table: name });
        }
        Ok(())
    }

    /// The query for the wanted rows of `source`: its columns in order, then the number of the part where rows are told
    /// apart. `admitted` are the parts that the filters admit, at [`Selection::filtered_level`].
    pub(super) fn query(&self, source: &Source, admitted: &[Part], dialect: Dialect) -> Statement {
        let mut wanted: Vec<String> = source
            .table
            .columns
            .iter()
            .map(|column| shown(column, dialect))
            .collect();
        let mut order = Vec::new();
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        if let (Some(split), Some(place)) = (self.split, &source.place) {
            let levels = [Level::Category, Level::Year, Level::Set];
            for level in levels.into_iter().filter(|level| *level <= split) {
                order.extend(place.id_of(level).map(str::to_owned));
            }
            wanted.extend(place.id_of(split).map(|id| format!("CAST({id} AS bigint)")));
        }
        order.extend(
            source
                .table
                .order
                .iter()
                .map(|name| ordered(source, name, dialect)),
        );
        if let (Some(level), Some(place)) = (self.filtered_level(), &source.place) {
            #[derive(Serialize)]
            struct Admitted {
                id: i64,
            }
            const COLUMNS: Columns = &[("id", ColumnType::Int)];
            let ids: Vec<_> = admitted.iter().map(|part| Admitted { id: part.id }).collect();
            values.push(dialect.json_rows(&ids));
            let id = place.id_of(level).unwrap_or("NULL");
            conditions.push(format!("{id} IN (SELECT r.id FROM {})", dialect.rows(COLUMNS)));
        }
        if let (Some(since_us), Some(changed)) = (self.changed_since_us, source.changed) {
            values.push(since_us.into());
            let since = dialect.time_at_us(&format!("${}", values.len()));
            conditions.push(format!("({})", changed.replace("{since}", &since)));
        }
        if let (true, Vanished::Noted(is_listed)) = (self.is_current, &source.vanished) {
            conditions.push(format!("({is_listed})"));
        }
        // Only then is it asked where a row lies.
        let is_placed = self.split.is_some() || self.filtered_level().is_some();
        let joins = source.place.as_ref().filter(|_| is_placed);
        let sql = format!(
            "SELECT {} FROM {} AS t {} {} {} ORDER BY {}",
            wanted.join(", "),
            source.table.name,
            joins.map_or("", |place: &Place| place.joins),
            if conditions.is_empty() { "" } else { "WHERE" },
            conditions.join(" AND "),
            order.join(", "),
        );
        dialect.statement(sql, values)
    }
}

/// A column as both engines give it alike.
fn shown(column: &Column, dialect: Dialect) -> String {
    let name = format!("t.{}", column.name);
    match column.kind {
        Kind::Text | Kind::Real => name,
        Kind::Integer => format!("CAST({name} AS bigint)"),
        Kind::Date => dialect.as_days(&name),
        Kind::Timestamp => dialect.as_us(&name),
        Kind::Json => dialect.as_text(&name),
    }
}

/// A column that rows are ordered by, texts by their bytes: the same everywhere.
fn ordered(source: &Source, name: &str, dialect: Dialect) -> String {
    let is_text = source
        .table
        .columns
        .iter()
        .any(|column| column.name == name && column.kind == Kind::Text);
    let name = format!("t.{name}");
    if is_text { dialect.by_bytes(&name) } else { name }
}
