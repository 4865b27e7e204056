//! Reads the rows of a query, a bounded number at a time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, StreamTrait};
use tagpipe_core::tabular::{Column, Date, Kind, Row, Timestamp, Value};

use super::{Exportable, Part, Selection, Snapshot};
use crate::dialect::Dialect;
use crate::error::StoreError;

/// Cursors that this process has opened.
static CURSORS: AtomicU64 = AtomicU64::new(0);

/// Most rows that are held together.
const BATCH_ROWS: usize = 1_000;

/// Rows that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The category, year or set that they all belong to, where they are told apart.
    pub part: Option<i64>,
    /// The rows, at least one.
    pub rows: Vec<Row>,
}

/// Reads the rows of one table, in order.
pub struct RowReader<'a> {
    source: Source<'a>,
    columns: &'static [Column],
    is_split: bool,
    /// A row of the next part.
    next: Option<(Option<i64>, Row)>,
}

impl std::fmt::Debug for RowReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowReader")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Reads the rows of `table` that `selection` wants. `admitted` are the parts that its filters admit, from
    /// [`Snapshot::parts`] at [`Selection::filtered_level`]; of no use without filters.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn read(
        &mut self,
        table: Exportable,
        selection: &Selection,
        admitted: &[Part],
    ) -> Result<RowReader<'_>, StoreError> {
        let statement = selection.query(table.0, admitted, self.dialect);
        let source = match self.dialect {
            Dialect::Sqlite => Source::Stream(Box::pin(self.transaction.stream_raw(statement).await?)),
            Dialect::Postgres => {
                // A cursor rather than a stream: PostgreSQL closes a connection whose other side takes nothing for half a
                // minute, as an upload may. Its name is new each time, because a connection, which goes back to the pool,
                // remembers the columns of each `FETCH`.
                let cursor = format!("export_{}", CURSORS.fetch_add(1, Ordering::Relaxed));
                let mut declare = statement;
                declare.sql = format!("DECLARE {cursor} NO SCROLL CURSOR FOR {}", declare.sql);
                self.transaction.execute_raw(declare).await?;
                Source::Cursor(Cursor {
                    transaction: &self.transaction,
                    name: cursor,
                    waiting: VecDeque::new(),
                    is_spent: false,
                })
            }
        };
        Ok(RowReader {
            source,
            columns: table.table().columns,
            is_split: selection.split.is_some(),
            next: None,
        })
    }
}

impl RowReader<'_> {
    /// The next rows, all of one part; `None` when there are no more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn next(&mut self) -> Result<Option<Batch>, StoreError> {
        let first = match self.next.take() {
            Some(first) => Some(first),
            None => self.next_row().await?,
        };
        let Some((part, row)) = first else {
            return Ok(None);
        };
        let mut rows = vec![row];
        while rows.len() < BATCH_ROWS {
            match self.next_row().await? {
                Some((of, row)) if of == part => rows.push(row),
                other => {
                    self.next = other;
                    break;
                }
            }
        }
        Ok(Some(Batch { part, rows }))
    }

    async fn next_row(&mut self) -> Result<Option<(Option<i64>, Row)>, StoreError> {
        let Some(row) = self.source.next().await? else {
            return Ok(None);
        };
        let part = if self.is_split {
            row.try_get_by_index(self.columns.len())?
        } else {
            None
        };
        Ok(Some((part, values(&row, self.columns)?)))
    }
}

enum Source<'a> {
    Stream(Pin<Box<dyn Stream<Item = Result<QueryResult, DbErr>> + Send + 'a>>),
    Cursor(Cursor<'a>),
}

struct Cursor<'a> {
    transaction: &'a DatabaseTransaction,
    name: String,
    waiting: VecDeque<QueryResult>,
    is_spent: bool,
}

impl Source<'_> {
    async fn next(&mut self) -> Result<Option<QueryResult>, StoreError> {
        match self {
            Source::Stream(stream) => Ok(stream.next().await.transpose()?),
            Source::Cursor(cursor) => cursor.next().await,
        }
    }
}

impl Cursor<'_> {
    async fn next(&mut self) -> Result<Option<QueryResult>, StoreError> {
        if self.waiting.is_empty() && !self.is_spent {
            let fetch = format!("FETCH FORWARD {BATCH_ROWS} FROM {}", self.name);
            let rows = self
                .transaction
                .query_all_raw(Dialect::Postgres.statement(fetch, []))
                .await?;
            self.is_spent = rows.len() < BATCH_ROWS;
            self.waiting = rows.into();
        }
        Ok(self.waiting.pop_front())
    }
}

fn values(row: &QueryResult, columns: &[Column]) -> Result<Row, StoreError> {
    columns
        .iter()
        .enumerate()
        .map(|(place, column)| value(row, place, column))
        .collect()
}

fn value(row: &QueryResult, place: usize, column: &Column) -> Result<Value, StoreError> {
    let value = match column.kind {
        Kind::Text => row.try_get_by_index::<Option<String>>(place)?.map(Value::Text),
        Kind::Json => row
            .try_get_by_index::<Option<String>>(place)?
            .map(|text| Value::Json(canonical(text))),
        Kind::Integer => row.try_get_by_index::<Option<i64>>(place)?.map(Value::Integer),
        Kind::Real => row.try_get_by_index::<Option<f64>>(place)?.map(Value::Real),
        Kind::Timestamp => row
            .try_get_by_index::<Option<i64>>(place)?
            .map(|us| Value::Timestamp(Timestamp(us))),
        Kind::Date => row
            .try_get_by_index::<Option<i32>>(place)?
            .map(|days| Value::Date(Date(days))),
    };
    match value {
        None if !column.nullable => Err(StoreError::Bug(format!(
            "a row has no readable `{}`, which every row must have",
            column.name
        ))),
        value => Ok(value.unwrap_or(Value::Null)),
    }
}

/// A JSON document in one form, whichever engine has kept it: without spaces, keys in the order of their bytes. What others
/// have written into a text column of SQLite need not be JSON: it becomes a JSON string.
fn canonical(text: String) -> String {
    let mut document: serde_json::Value = match serde_json::from_str(&text) {
        Ok(document) => document,
        Err(_) => serde_json::Value::String(text),
    };
    document.sort_all_objects();
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_one_form() {
        for (stored, expected) in [
            ("{\"9\": 2, \"10\": 1}", "{\"10\":1,\"9\":2}"),
            (
                "{\"b\":{\"d\":1,\"c\":[]},\"a\":null}",
                "{\"a\":null,\"b\":{\"c\":[],\"d\":1}}",
            ),
            ("not json", "\"not json\""),
        ] {
            assert_eq!(canonical(stored.to_owned()), expected);
        }
    }
}
