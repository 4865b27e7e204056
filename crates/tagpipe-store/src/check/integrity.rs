//! The file itself. SQLite can tell; PostgreSQL keeps its own foreign keys, and `pg_amcheck` looks after its files.

use super::Check;
use crate::dialect::Dialect;

const RESTORE: &str =
    "the file is damaged: restore a backup; `sqlite3 tagpipe.db .recover` saves what can be read";

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "integrity",
        holds: "the database file is whole (SQLite)",
        advice: RESTORE,
        sql: |dialect| match dialect {
            Dialect::Sqlite => "SELECT 'the file' AS place, integrity_check AS what \
                                FROM pragma_integrity_check WHERE integrity_check <> 'ok'"
                .to_owned(),
            Dialect::Postgres => String::new(),
        },
    },
    Check {
        name: "foreign_keys",
        holds: "no foreign key leads nowhere (SQLite)",
        advice: RESTORE,
        sql: |dialect| match dialect {
            Dialect::Sqlite => "SELECT \"table\" || ' row ' || CAST(rowid AS text) AS place, \
                                    'refers to a row of ' || parent || ' that is not there' AS what \
                                FROM pragma_foreign_key_check"
                .to_owned(),
            Dialect::Postgres => String::new(),
        },
    },
];
