//! Trying a backup: it is fetched, opened, restored into a scratch database, and compared with its manifest.

use std::path::Path;

use tagpipe_sinks::backup::{Engine, Identities, Manifest, Stop, open_into};
use tagpipe_sinks::destination::Destination;
use tagpipe_store::backup::{
    Contents, ScratchDatabase, differences, inspect_sqlite, is_empty_postgres, newer_migration,
    try_restore_postgres,
};
use tagpipe_store::{DatabaseUrl, StoreError};

use super::scratch_beside;
use crate::exit::Failure;

/// Where a backup of PostgreSQL is tried.
#[derive(Debug, Clone)]
pub(super) enum Proving {
    /// In this database, which was named for it and must be empty.
    In(url::Url),
    /// On this database's server: in a database made for it, or in this one if it is empty.
    Beside(url::Url),
}

/// Tries it. A backup of PostgreSQL needs to know where.
pub(super) async fn verify(
    folder: &Destination,
    manifest: &Manifest,
    identities: Identities,
    proving: Option<Proving>,
    stop: &Stop,
) -> Result<(), Failure> {
    let scratch = scratch_beside(&DatabaseUrl::Memory)?;
    let opened = scratch.file("opened");
    open(folder, manifest, identities, &opened, stop).await?;
    match manifest.engine {
        Engine::Sqlite => check_sqlite(manifest, &opened).await,
        Engine::Postgresql => {
            let proving = proving.ok_or_else(|| {
                Failure::usage(
                    "a backup of PostgreSQL is tried in a PostgreSQL; name a server with --database-url, or an empty \
                     database with --scratch-url",
                )
            })?;
            check_postgres(manifest, &opened, proving).await
        }
    }
}

/// Writes the backup's content into the new file `into`, sound and whole; refuses what a newer tagpipe has made.
pub(in crate::commands) async fn open(
    folder: &Destination,
    manifest: &Manifest,
    identities: Identities,
    into: &Path,
    stop: &Stop,
) -> Result<(), Failure> {
    if let Some(newer) = newer_migration(&manifest.migrations) {
        return Err(Failure::could_not_run(format!(
            "the backup `{}` is of a newer tagpipe's database (migration `{newer}`); update tagpipe",
            manifest.name
        )));
    }
    open_into(folder, manifest, identities, into, stop.clone())
        .await
        .map_err(Failure::from)
}

/// Whether the opened copy is sound and has what its manifest tells of.
pub(in crate::commands) async fn check_sqlite(manifest: &Manifest, opened: &Path) -> Result<(), Failure> {
    let found = inspect_sqlite(opened)
        .await
        .map_err(|error| Failure::could_not_run(format!("the backup `{}`: {error}", manifest.name)))?;
    let mut wrong = differences(&manifest.tables, &found.tables);
    if found.migrations != manifest.migrations {
        wrong.push("its schema is another one".to_owned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::could_not_run(format!(
        "the backup `{}` is not what its manifest tells of: {}",
        manifest.name,
        wrong.join("; ")
    )))
}

async fn check_postgres(manifest: &Manifest, opened: &Path, proving: Proving) -> Result<(), Failure> {
    let told = |error: StoreError| Failure::could_not_run(format!("the backup `{}`: {error}", manifest.name));
    let expected = contents(manifest);
    let namespace = manifest.namespace.as_deref().unwrap_or("public");
    let server = match proving {
        Proving::In(empty) => {
            return try_restore_postgres(&empty, opened, &expected, namespace)
                .await
                .map_err(told);
        }
        Proving::Beside(server) => server,
    };
    if is_empty_postgres(&server).await.map_err(told)? {
        return try_restore_postgres(&server, opened, &expected, namespace)
            .await
            .map_err(told);
    }
    let scratch = ScratchDatabase::create(&server).await.map_err(told)?;
    let tried = try_restore_postgres(&scratch.url(), opened, &expected, namespace).await;
    let removed = scratch.remove().await;
    tried.map_err(told)?;
    removed.map_err(told)
}

/// What the manifest promises.
pub(in crate::commands) fn contents(manifest: &Manifest) -> Contents {
    Contents {
        migrations: manifest.migrations.clone(),
        tables: manifest.tables.clone(),
    }
}
