//! SQLite files: a table for each table, keyed by what its rows are ordered by.
//!
//! SQLite has no types for days and moments: they are texts that sort as they should, `2026-11-24` and
//! `2026-11-24T07:48:09.567000Z`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};
use tagpipe_core::tabular::{Kind, Row, Table, Value};
use tokio::runtime::Handle;

use super::scratch::failed;
use super::{ExportError, FileWriter, Format, Scratch};

/// Values of one statement: SQLite takes 32,766.
const VALUES_MAX: usize = 32_000;

#[derive(Debug)]
pub(super) struct Sqlite;

impl Format for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["sqlite", "sqlite3", "db"]
    }

    fn meaning(&self) -> &'static str {
        "one database file with all tables"
    }

    fn takes_many_tables(&self) -> bool {
        true
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        let folder = scratch.folder()?;
        let file = folder.join("export.sqlite");
        let runtime = Handle::current();
        let connection = runtime
            .block_on(create(&file))
            .map_err(|error| failed(folder, &error))?;
        Ok(Box::new(SqliteWriter {
            out,
            folder: folder.to_owned(),
            file,
            runtime,
            connection,
            table: None,
        }))
    }
}

struct SqliteWriter<'a> {
    out: &'a mut (dyn Write + Send),
    folder: PathBuf,
    file: PathBuf,
    runtime: Handle,
    connection: SqliteConnection,
    table: Option<&'static Table>,
}

/// A new database in which everything is one transaction. It is copied when it is whole, so a crash loses nothing and no
/// journal is needed.
async fn create(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .page_size(4096)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging()
        .connect()
        .await?;
    connection.execute("BEGIN").await?;
    Ok(connection)
}

impl FileWriter for SqliteWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        self.table = Some(table);
        let sql = AssertSqlSafe(definition(table));
        self.runtime
            .block_on(async { self.connection.execute(sql).await })
            .map_err(|error| failed(&self.folder, &error))?;
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        let Some(table) = self.table else { return Ok(()) };
        for rows in rows.chunks(VALUES_MAX / table.columns.len()) {
            let insert = insert(&mut self.connection, table, rows);
            let inserted = self.runtime.block_on(insert);
            inserted.map_err(|error| failed(&self.folder, &error))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let SqliteWriter {
            out,
            folder,
            file,
            runtime,
            mut connection,
            ..
        } = *self;
        let end = async move {
            connection.execute("COMMIT").await?;
            connection.close().await
        };
        runtime.block_on(end).map_err(|error| failed(&folder, &error))?;
        let mut whole = File::open(file).map_err(|error| failed(&folder, &error))?;
        std::io::copy(&mut whole, out)?;
        Ok(())
    }
}

/// Names come from the list of what can be exported, never from the site.
fn definition(table: &Table) -> String {
    let keyed_by_number = match table.order {
        [only] => table
            .columns
            .iter()
            .find(|one| one.name == *only && one.kind == Kind::Integer),
        _ => None,
    };
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let kind = match column.kind {
                Kind::Text | Kind::Json | Kind::Date | Kind::Timestamp => "TEXT",
                Kind::Integer => "INTEGER",
                Kind::Real => "REAL",
            };
            let constraint = match (keyed_by_number == Some(column), column.nullable) {
                (true, _) => " PRIMARY KEY",
                (false, true) => "",
                (false, false) => " NOT NULL",
            };
            format!("{} {kind}{constraint}", column.name)
        })
        .collect();
    format!("CREATE TABLE {} ({})", table.name, columns.join(", "))
}

async fn insert(connection: &mut SqliteConnection, table: &Table, rows: &[Row]) -> Result<(), sqlx::Error> {
    let places = format!("({})", vec!["?"; table.columns.len()].join(","));
    let sql = format!(
        "INSERT INTO {} VALUES {}",
        table.name,
        vec![places; rows.len()].join(",")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in rows.iter().flatten() {
        query = match value {
            Value::Null => query.bind(None::<String>),
            Value::Text(text) | Value::Json(text) => query.bind(text.as_str()),
            Value::Integer(number) => query.bind(number),
            Value::Real(number) => query.bind(number),
            Value::Date(date) => query.bind(date.to_string()),
            Value::Timestamp(moment) => query.bind(moment.to_string()),
        };
    }
    query.execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tagpipe_core::tabular::Column;

    use super::*;

    #[test]
    fn a_table_is_keyed_by_the_number_of_its_rows() {
        const ID: Column = Column {
            name: "id",
            kind: Kind::Integer,
            nullable: false,
            unit: None,
            meaning: "",
        };
        const GRADE: Column = Column {
            name: "grade",
            kind: Kind::Real,
            nullable: true,
            ..ID
        };
        const TABLE: Table = Table {
            name: "rows",
            meaning: "",
            columns: &[ID, GRADE],
            order: &["id"],
        };
        assert_eq!(
            definition(&TABLE),
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, grade REAL)"
        );
    }
}
