//! Making a backup: one moment of the database, stored as one object, then its manifest.

use std::fs::File;
use std::sync::Arc;

use jiff::Timestamp;
use tagpipe_sinks::backup::{BackupName, Engine, Manifest, Recipients, Sealed, Stop, seal};
use tagpipe_sinks::destination::Destination;
use tagpipe_store::backup::{Contents, Dump, PostgresSnapshot, copy_sqlite, count_sqlite, sqlite_version};
use tagpipe_store::{DatabaseUrl, StoreError};

use super::scratch_beside;
use crate::exit::Failure;

/// Stores a backup of the database at `url` in `folder`.
pub(super) async fn take(
    url: &DatabaseUrl,
    folder: &Destination,
    recipients: Option<Arc<Recipients>>,
    stop: &Stop,
) -> Result<Manifest, Failure> {
    // One moment: a name of the second before would count as taken before another backup of that second.
    let started_at = Timestamp::now();
    let begun = Begun {
        name: BackupName::new(started_at, fastrand::u16(..)),
        started_at,
        is_encrypted: recipients.is_some(),
    };
    match url {
        DatabaseUrl::Sqlite(path) => {
            if !path.exists() {
                return Err(nothing_at(url));
            }
            let scratch = scratch_beside(url)?;
            let copy = scratch.file("copy.sqlite");
            copy_sqlite(path, &copy).await.map_err(|error| of_store(&error))?;
            let contents = count_sqlite(&copy).await.map_err(|error| of_store(&error))?;
            refuse_if_not_ours(url, &contents)?;
            let place = begun.place(folder, Engine::Sqlite)?;
            let file = File::open(&copy).map_err(|error| {
                Failure::could_not_run(format!("cannot read `{}`: {error}", copy.display()))
            })?;
            let (sealing, _) = seal(file, &place, recipients, stop.clone())
                .await
                .map_err(Failure::from)?;
            let sealed = sealing.finish().await.map_err(Failure::from)?;
            let source = Source {
                engine: Engine::Sqlite,
                engine_version: sqlite_version(&copy).await.map_err(|error| of_store(&error))?,
                namespace: None,
                contents,
            };
            begun.finish(folder, source, sealed).await
        }
        DatabaseUrl::Postgres(postgres) => {
            let snapshot = PostgresSnapshot::take(postgres)
                .await
                .map_err(|error| of_store(&error))?;
            let stored = of_snapshot(url, &snapshot, folder, &begun, recipients, stop).await;
            let source = Source {
                engine: Engine::Postgresql,
                engine_version: snapshot.server_version(),
                namespace: Some(snapshot.namespace().to_owned()),
                contents: snapshot.contents().clone(),
            };
            snapshot.end().await;
            begun.finish(folder, source, stored?).await
        }
        DatabaseUrl::Memory => Err(Failure::usage(
            "a database in memory is gone with its process; there is nothing to back up",
        )),
    }
}

async fn of_snapshot(
    url: &DatabaseUrl,
    snapshot: &PostgresSnapshot,
    folder: &Destination,
    begun: &Begun,
    recipients: Option<Arc<Recipients>>,
    stop: &Stop,
) -> Result<Sealed, Failure> {
    refuse_if_not_ours(url, snapshot.contents())?;
    let place = begun.place(folder, Engine::Postgresql)?;
    let dump = snapshot.dump().map_err(|error| of_store(&error))?;
    let (sealing, dump) = seal(dump, &place, recipients, stop.clone())
        .await
        .map_err(Failure::from)?;
    if let Err(error) = whole(dump).await {
        sealing.abort().await;
        return Err(of_store(&error));
    }
    sealing.finish().await.map_err(Failure::from)
}

/// Whether `pg_dump` wrote all that there is.
async fn whole(mut dump: Dump) -> Result<(), StoreError> {
    tokio::task::spawn_blocking(move || dump.check())
        .await
        .unwrap_or_else(|error| Err(StoreError::Bug(error.to_string())))
}

/// A backup that is being made.
struct Begun {
    name: BackupName,
    started_at: Timestamp,
    is_encrypted: bool,
}

/// Whose data it is.
struct Source {
    engine: Engine,
    engine_version: String,
    namespace: Option<String>,
    contents: Contents,
}

impl Begun {
    fn place(&self, folder: &Destination, engine: Engine) -> Result<Destination, Failure> {
        folder
            .join(&self.name.object(engine, self.is_encrypted))
            .map_err(|error| Failure::could_not_run(error.to_string()))
    }

    /// Writes the manifest, which makes it complete. Without one, what was stored is removed.
    async fn finish(
        &self,
        folder: &Destination,
        source: Source,
        sealed: Sealed,
    ) -> Result<Manifest, Failure> {
        let (format, version) = Manifest::layout();
        let manifest = Manifest {
            format,
            version,
            name: self.name.to_string(),
            object: self.name.object(source.engine, self.is_encrypted),
            stored: sealed.stored,
            content: sealed.content,
            compression: "zstd".to_owned(),
            encryption: self.is_encrypted.then(|| "age".to_owned()),
            engine: source.engine,
            engine_version: source.engine_version,
            namespace: source.namespace,
            tagpipe: env!("CARGO_PKG_VERSION").to_owned(),
            migrations: source.contents.migrations,
            tables: source.contents.tables,
            started_at: self.started_at,
            finished_at: Timestamp::now(),
        };
        if let Err(failure) = self.write_manifest(folder, &manifest).await {
            let object = self.place(folder, manifest.engine)?;
            // What cannot be removed now has no manifest, and counts as abandoned.
            let _ = object.delete().await;
            return Err(failure);
        }
        Ok(manifest)
    }

    async fn write_manifest(&self, folder: &Destination, manifest: &Manifest) -> Result<(), Failure> {
        let told = |error: &dyn std::fmt::Display| Failure::could_not_run(error.to_string());
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| told(&error))?;
        let place = folder.join(&self.name.manifest()).map_err(|error| told(&error))?;
        let mut upload = place.create_private().await.map_err(|error| told(&error))?;
        if let Err(error) = upload.write(text.into()).await {
            upload.abort().await;
            return Err(told(&error));
        }
        upload.finish().await.map_err(|error| told(&error))?;
        Ok(())
    }
}

fn refuse_if_not_ours(url: &DatabaseUrl, contents: &Contents) -> Result<(), Failure> {
    if contents.migrations.is_empty() {
        return Err(nothing_at(url));
    }
    Ok(())
}

fn nothing_at(url: &DatabaseUrl) -> Failure {
    Failure::could_not_run(format!(
        "there is no data of tagpipe at {url} to back up; `tagpipe config show` tells where the address is set"
    ))
}

fn of_store(error: &StoreError) -> Failure {
    Failure::opening(error)
}
