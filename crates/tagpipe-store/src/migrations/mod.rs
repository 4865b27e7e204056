//! The schema, as one list of migrations for both engines. Each is plain SQL, up and down; what the engines
//! call differently stands in braces and is filled in by [`Dialect::render`].

use sea_orm_migration::prelude::*;

use crate::dialect::Dialect;

/// Brings a database to this build's schema.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(SqlMigration {
            name: "m0001_initial",
            up: include_str!("m0001_initial.sql"),
            down: include_str!("m0001_initial_down.sql"),
        })]
    }
}

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
        manager.get_connection().execute_unprepared(&dialect.render(script)).await.map(|_| ())
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
