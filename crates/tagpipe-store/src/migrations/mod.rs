//! The schema, as one list of migrations for both engines. Each is plain SQL, up and down; what the engines
//! call differently stands in braces and is filled in by [`Dialect::render`].

use std::collections::BTreeSet;

use sea_orm_migration::prelude::*;

use crate::dialect::Dialect;

/// Brings a database to this build's schema.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        MIGRATIONS
            .iter()
            .map(|one| Box::new(*one) as Box<dyn MigrationTrait>)
            .collect()
    }
}

/// All of them, oldest first.
const MIGRATIONS: &[SqlMigration] = &[
    SqlMigration {
        name: "m0001_initial",
        up: include_str!("m0001_initial.sql"),
        down: include_str!("m0001_initial_down.sql"),
    },
    SqlMigration {
        name: "m0002_audit_lookups",
        up: include_str!("m0002_audit_lookups.sql"),
        down: include_str!("m0002_audit_lookups_down.sql"),
    },
    SqlMigration {
        name: "m0003_many_runners",
        up: include_str!("m0003_many_runners.sql"),
        down: include_str!("m0003_many_runners_down.sql"),
    },
    SqlMigration {
        name: "m0004_reading",
        up: include_str!("m0004_reading.sql"),
        down: include_str!("m0004_reading_down.sql"),
    },
    SqlMigration {
        name: "m0005_documents",
        up: include_str!("m0005_documents.sql"),
        down: include_str!("m0005_documents_down.sql"),
    },
    SqlMigration {
        name: "m0006_history",
        up: include_str!("m0006_history.sql"),
        down: include_str!("m0006_history_down.sql"),
    },
    SqlMigration {
        name: "m0007_expected_change",
        up: include_str!("m0007_expected_change.sql"),
        down: include_str!("m0007_expected_change_down.sql"),
    },
    SqlMigration {
        name: "m0008_check",
        up: include_str!("m0008_check.sql"),
        down: include_str!("m0008_check_down.sql"),
    },
    SqlMigration {
        name: "m0009_service",
        up: include_str!("m0009_service.sql"),
        down: include_str!("m0009_service_down.sql"),
    },
    SqlMigration {
        name: "m0010_search",
        up: include_str!("m0010_search.sql"),
        down: include_str!("m0010_search_down.sql"),
    },
    SqlMigration {
        name: "m0011_outbox",
        up: include_str!("m0011_outbox.sql"),
        down: include_str!("m0011_outbox_down.sql"),
    },
    SqlMigration {
        name: "m0012_jobs",
        up: include_str!("m0012_jobs.sql"),
        down: include_str!("m0012_jobs_down.sql"),
    },
    SqlMigration {
        name: "m0013_recipients",
        up: include_str!("m0013_recipients.sql"),
        down: include_str!("m0013_recipients_down.sql"),
    },
];

/// What takes these migrations back, the last one first. Names that are not known have nothing.
pub(crate) fn down_scripts(dialect: Dialect, applied: &[String]) -> String {
    let mut scripts: Vec<&SqlMigration> = MIGRATIONS
        .iter()
        .filter(|one| applied.iter().any(|name| name == one.name))
        .collect();
    scripts.reverse();
    scripts
        .iter()
        .map(|one| dialect.render(one.down))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The tables and views that the migrations make: everything that they know how to take away.
pub(crate) fn relations(dialect: Dialect) -> BTreeSet<String> {
    let scripts = MIGRATIONS.iter().map(|one| dialect.render(one.down));
    let mut names: BTreeSet<String> = scripts
        .flat_map(|script| {
            let dropped: Vec<String> = script
                .lines()
                .filter_map(|line| {
                    line.strip_prefix("DROP TABLE ")
                        .or(line.strip_prefix("DROP VIEW "))
                })
                .map(|name| name.trim_end_matches(';').to_owned())
                .collect();
            dropped
        })
        .collect();
    names.insert("seaql_migrations".to_owned());
    names
}

#[derive(Clone, Copy)]
struct SqlMigration {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl MigrationName for SqlMigration {
    fn name(&self) -> &str {
        self.name
    }
}

impl SqlMigration {
    async fn execute(manager: &SchemaManager<'_>, script: &str) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager.get_database_backend());
        manager
            .get_connection()
            .execute_unprepared(&dialect.render(script))
            .await
            .map(|_| ())
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SqlMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Self::execute(manager, self.up).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Self::execute(manager, self.down).await
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use sea_orm::Statement;

    use super::*;
    use crate::testing::TestDatabase;
    use crate::{Dialect, Store};

    /// Every object of the schema, with its definition.
    async fn schema(store: &Store) -> Vec<String> {
        let sql = match store.dialect() {
            Dialect::Sqlite => {
                "SELECT type || ' ' || name || ' ' || coalesce(sql, '') AS object FROM sqlite_master \
                 WHERE name NOT LIKE '%seaql_migrations%' AND name <> 'sqlite_sequence' ORDER BY 1"
            }
            Dialect::Postgres => {
                "SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable AS object \
                     FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'seaql_migrations' \
                 UNION ALL SELECT indexdef FROM pg_indexes \
                     WHERE schemaname = 'public' AND tablename <> 'seaql_migrations' ORDER BY 1"
            }
        };
        let rows = store
            .rows(Statement::from_string(store.dialect().backend(), sql))
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.try_get("", "object").unwrap())
            .collect()
    }

    async fn up_down_up(database: TestDatabase) {
        let store = database.open().await;
        let first = schema(&store).await;
        assert!(first.len() > 30, "{first:?}");
        let all = Migrator::migrations().len() as u32;
        store.migrate_down(all).await.unwrap();
        assert_eq!(schema(&store).await, Vec::<String>::new());
        Migrator::up(&store.writer, None).await.unwrap();
        assert_eq!(schema(&store).await, first);
        store.start_run(&serde_json::json!({})).await.unwrap();
    }

    /// What a backup of a PostgreSQL takes along is all that the migrations have made there, and nothing of anybody else's.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_relations_are_those_that_are_there() {
        let database = TestDatabase::postgres();
        let store = database.open().await;
        let sql = "SELECT CAST(relname AS text) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
                   WHERE nspname = 'public' AND relkind IN ('r', 'v')";
        let rows = store
            .rows(Statement::from_string(store.dialect().backend(), sql))
            .await
            .unwrap();
        let found: BTreeSet<String> = rows.iter().map(|row| row.try_get("", "name").unwrap()).collect();
        assert_eq!(relations(Dialect::Postgres), found);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_goes_up_down_and_up() {
        up_down_up(TestDatabase::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_goes_up_down_and_up() {
        up_down_up(TestDatabase::postgres()).await;
    }
}
