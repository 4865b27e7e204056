//! `tagpipe backup`: safe copies of the database, and a look at those there are.
//!
//! A scheduler starts this command as a process: its exit code and its `--json` tell all that there is to tell.

mod scratch;
mod taking;
pub(super) mod verifying;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tagpipe_sinks::backup::{Manifest, Recipients, Removal, Shelf, Stop};
use tagpipe_sinks::destination::Destination;
use tagpipe_sinks::scratch::sweep;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::{DatabaseUrl, Store};

use super::signals::wait_for_signal;
use crate::cli::{BackupArguments, BackupCommand, BackupTexts, GlobalArguments, KeyArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, harmless, print, print_json, width};
use crate::report::grouped;
use crate::settings::{
    BackupSettings, Merged, backup_recipients, backup_settings, database_url, log_format, log_level,
};

pub(super) use scratch::scratch_beside;
use verifying::Proving;

/// Who does it, in the audit trail.
const ACTOR: &str = "tagpipe backup";

/// Makes a backup, or looks after those there are.
pub(crate) async fn backup(global: &GlobalArguments, arguments: &BackupArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        None => take(global, arguments).await,
        Some(BackupCommand::List { from }) => list(global, from.as_deref()).await,
        Some(BackupCommand::Verify {
            from,
            keys,
            scratch_url,
        }) => verify(global, from.as_deref(), keys, scratch_url.as_deref()).await,
    }
}

async fn take(global: &GlobalArguments, arguments: &BackupArguments) -> Result<Exit, Failure> {
    let texts = texts(&arguments.keys, &arguments.recipients)?;
    let mut given = global.given();
    given.extend(texts.given(arguments.to.as_deref(), "--to"));
    given.push(("backup_keep", "--keep", arguments.keep.as_deref()));
    let (merged, settings) = load(global, &given)?;
    let recipients = backup_recipients(&merged)?;
    let url = database_url(&merged)?;
    let folder = settings.to.clone().ok_or_else(|| {
        Failure::usage("where should the backup go? name a folder with --to, or set backup_to")
    })?;
    if arguments.dry_run {
        return rehearse(global, &settings, &folder).await;
    }
    let scratch_url = scratch(arguments.scratch_url.as_deref())?;
    if arguments.verify && recipients.is_some() && settings.identities.is_empty() {
        return Err(Failure::usage(
            "--verify opens the backup again, which is encrypted; give its secret key with --identity FILE",
        ));
    }
    let stop = Stop::default();
    let order = Order {
        settings,
        recipients: recipients.map(Arc::new),
        trial: arguments.verify.then(|| scratch_url.or_else(|| beside(&url))),
    };
    // A killed trial's. What is beside the database is removed when the copy is made.
    sweep(&std::env::temp_dir());
    let work = make(&url, &folder, order, &stop);
    let Some(made) = until_signal(work, &stop).await? else {
        return Ok(stopped());
    };
    note(&url, &folder, &made.manifest).await;
    if global.json {
        print_json(&told(&folder, &made))?;
    } else if !global.quiet {
        print(&sentence(&folder, &made))?;
    }
    Ok(Exit::Done)
}

/// What came of it.
struct Made {
    manifest: Manifest,
    removal: Removal,
    is_verified: bool,
}

/// How it is made.
struct Order {
    settings: BackupSettings,
    recipients: Option<Arc<Recipients>>,
    /// Whether it is tried afterwards, and where.
    trial: Option<Option<Proving>>,
}

async fn make(url: &DatabaseUrl, folder: &Destination, order: Order, stop: &Stop) -> Result<Made, Failure> {
    let Order {
        settings,
        recipients,
        trial,
    } = order;
    let is_verified = trial.is_some();
    let manifest = taking::take(url, folder, recipients, stop).await?;
    if let Some(proving) = trial {
        verifying::verify(folder, &manifest, settings.identities, proving, stop)
            .await
            .map_err(|failure| Failure {
                message: format!(
                    "the backup `{}` is stored, and could not be verified: {}",
                    manifest.name, failure.message
                ),
                ..failure
            })?;
    }
    let mut removal = Removal::default();
    if let Some(rule) = settings.keep {
        let not_removed = |error| {
            Failure::could_not_run(format!(
                "the backup `{}` is made, but older ones cannot be removed: {error}",
                manifest.name
            ))
        };
        let shelf = Shelf::look(folder, Timestamp::now()).await.map_err(not_removed)?;
        removal = shelf.removal(&rule);
        // Another machine's clock may run ahead of this one's: what was made just now is new all the same.
        removal.backups.retain(|one| one.name != manifest.name);
        shelf.remove(&removal).await.map_err(not_removed)?;
    }
    Ok(Made {
        manifest,
        removal,
        is_verified,
    })
}

/// Shows what the rule would remove after a backup that is taken now.
async fn rehearse(
    global: &GlobalArguments,
    settings: &BackupSettings,
    folder: &Destination,
) -> Result<Exit, Failure> {
    let shelf = Shelf::look(folder, Timestamp::now())
        .await
        .map_err(Failure::from)?;
    let removal = settings.keep.map_or_else(Removal::default, |rule| {
        shelf.removal_after_one_more(&rule, Timestamp::now())
    });
    if global.json {
        return print_json(&json!({
            "dry_run": true, "to": folder.to_string(), "removed": names(&removal), "abandoned": abandoned(&removal),
        }))
        .map(|()| Exit::Done);
    }
    let mut text = format!("a backup would be made at {folder}\n");
    if settings.keep.is_none() {
        text.push_str("no backup would be removed: --keep says which ones to keep\n");
    }
    for name in names(&removal).iter().chain(&abandoned(&removal)) {
        text.push_str(&format!("would be removed: {name}\n"));
    }
    print(&text)?;
    Ok(Exit::Done)
}

async fn list(global: &GlobalArguments, from: Option<&str>) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.push(("backup_to", "--from", from));
    let (_, settings) = load(global, &given)?;
    let folder = place(&settings)?;
    let shelf = Shelf::look(&folder, Timestamp::now())
        .await
        .map_err(Failure::from)?;
    if global.json {
        let incomplete: Vec<Value> = shelf
            .incomplete
            .iter()
            .map(|one| json!({ "name": one.name.to_string(), "files": one.files, "why": one.why, "abandoned": one.is_abandoned }))
            .collect();
        print_json(
            &json!({ "from": folder.to_string(), "backups": shelf.complete, "incomplete": incomplete }),
        )?;
        return Ok(Exit::Done);
    }
    if shelf.complete.is_empty() && shelf.incomplete.is_empty() {
        print(&format!(
            "no backups at {folder}; `tagpipe backup --to {folder}` makes one\n"
        ))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("backup", Align::Left),
        ("engine", Align::Left),
        ("rows", Align::Right),
        ("stored bytes", Align::Right),
        ("encrypted", Align::Left),
        ("schema", Align::Left),
    ]);
    for manifest in &shelf.complete {
        table.row(&[
            manifest.name.clone(),
            manifest.engine.to_string(),
            grouped(manifest.tables.values().sum()),
            grouped(manifest.stored.bytes),
            manifest.encryption.clone().unwrap_or_else(|| "no".to_owned()),
            harmless(manifest.schema()),
        ]);
    }
    let mut text = table.render(width());
    for one in &shelf.incomplete {
        text.push_str(&format!("not complete: {}\n", harmless(&one.why)));
    }
    print(&text)?;
    Ok(Exit::Done)
}

async fn verify(
    global: &GlobalArguments,
    from: Option<&str>,
    keys: &KeyArguments,
    scratch_url: Option<&str>,
) -> Result<Exit, Failure> {
    let texts = texts(keys, &[])?;
    let mut given = global.given();
    given.extend(texts.given(from, "--from"));
    let (merged, settings) = load(global, &given)?;
    let proving = match scratch(scratch_url)? {
        Some(named) => Some(named),
        None => beside(&database_url(&merged)?),
    };
    let place = place(&settings)?;
    let stop = Stop::default();
    let work = async {
        let (folder, manifest) = Shelf::find(&place).await.map_err(Failure::from)?;
        verifying::verify(&folder, &manifest, settings.identities, proving, &stop).await?;
        Ok((folder, manifest))
    };
    let Some((folder, manifest)) = until_signal(work, &stop).await? else {
        return Ok(stopped());
    };
    if global.json {
        print_json(&json!({ "from": folder.to_string(), "verified": true, "backup": manifest }))?;
    } else if !global.quiet {
        print(&format!(
            "{}: good: {} rows in {} tables, checksums and counts agree\n",
            manifest.name,
            grouped(manifest.tables.values().sum()),
            manifest.tables.len()
        ))?;
    }
    Ok(Exit::Done)
}

/// The settings with these flags. Only what deserves a look is logged.
pub(super) fn load(
    global: &GlobalArguments,
    given: &[crate::settings::Given<'_>],
) -> Result<(Merged, BackupSettings), Failure> {
    let merged = Merged::load(global.config.as_deref(), given)?;
    let settings = backup_settings(&merged)?;
    crate::logging::start_plain(log_level(&merged)?, log_format(&merged)?);
    Ok((merged, settings))
}

/// What keys and recipients were given on the command line.
pub(super) fn texts(keys: &KeyArguments, recipients: &[String]) -> Result<BackupTexts, Failure> {
    BackupTexts::read(keys, recipients).map_err(|error| {
        let file = keys.passphrase_file.as_deref().unwrap_or("".as_ref());
        Failure::usage(format!(
            "cannot read `{}` (set by --passphrase-file): {error}",
            file.display()
        ))
    })
}

/// Where backups are.
pub(super) fn place(settings: &BackupSettings) -> Result<Destination, Failure> {
    settings.to.clone().ok_or_else(|| {
        Failure::usage("where are the backups? name their folder with --from, or set backup_to")
    })
}

/// Does the work, and has it stop and clean up on a signal. `None` if one came.
pub(super) async fn until_signal<T>(
    work: impl Future<Output = Result<T, Failure>>,
    stop: &Stop,
) -> Result<Option<T>, Failure> {
    tokio::pin!(work);
    let exit = tokio::select! {
        done = &mut work => return done.map(Some),
        exit = wait_for_signal() => exit,
    };
    stop.request();
    super::signals::note(exit);
    match tokio::time::timeout(CLEANING_MAX, work).await {
        // It was past the point where it could be stopped.
        Ok(Ok(done)) => Ok(Some(done)),
        // What it did not come to in time is removed by the next one.
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

/// How long one who was asked to stop may clean up.
const CLEANING_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// The exit code of a command that was asked to stop, after a word about it.
pub(super) fn stopped() -> Exit {
    anstream::eprintln!("interrupted; nothing was changed");
    if super::signals::was_terminated() {
        Exit::Terminated
    } else {
        Exit::Interrupted
    }
}

fn scratch(url: Option<&str>) -> Result<Option<Proving>, Failure> {
    match url.map(str::parse::<DatabaseUrl>) {
        None => Ok(None),
        Some(Ok(DatabaseUrl::Postgres(url))) => Ok(Some(Proving::In(url))),
        Some(_) => Err(Failure::usage(
            "--scratch-url takes postgres://user:password@host/name, an empty database; backups of SQLite need none",
        )),
    }
}

fn beside(url: &DatabaseUrl) -> Option<Proving> {
    match url {
        DatabaseUrl::Postgres(url) => Some(Proving::Beside(url.clone())),
        _ => None,
    }
}

/// Enters the backup in the audit trail of the database that it is of.
async fn note(url: &DatabaseUrl, folder: &Destination, manifest: &Manifest) {
    let entry = AuditEntry {
        level: AuditLevel::Info,
        kind: AuditKind::Operation,
        page_key: None,
        operation: "backup".to_owned(),
        message: format!("the backup {} was stored at {folder}", manifest.name),
        context: json!({
            "backup": manifest.name, "folder": folder.to_string(), "stored_bytes": manifest.stored.bytes,
            "rows": manifest.tables.values().sum::<u64>(), "sha256": manifest.stored.sha256,
        }),
    };
    let origin = AuditOrigin {
        run: None,
        runner_id: ACTOR,
    };
    let noted = async {
        let store = Store::open(url, false).await?;
        let noted = store.audit(origin, &[entry]).await;
        store.close().await;
        noted
    };
    if let Err(error) = noted.await {
        // The backup is what matters, and it is there.
        tracing::warn!(
            backup = manifest.name,
            "the backup is not in the audit trail: {error}"
        );
    }
}

fn told(folder: &Destination, made: &Made) -> Value {
    json!({
        "dry_run": false, "to": folder.to_string(), "verified": made.is_verified, "backup": made.manifest,
        "removed": names(&made.removal), "abandoned": abandoned(&made.removal),
    })
}

fn sentence(folder: &Destination, made: &Made) -> String {
    let manifest = &made.manifest;
    let mut text = format!(
        "{} at {folder}: {} rows, {} bytes, {} stored{}{}\n",
        manifest.name,
        grouped(manifest.tables.values().sum()),
        grouped(manifest.content.bytes),
        grouped(manifest.stored.bytes),
        if manifest.encryption.is_some() {
            ", encrypted"
        } else {
            ""
        },
        if made.is_verified { ", verified" } else { "" },
    );
    for name in names(&made.removal).iter().chain(&abandoned(&made.removal)) {
        text.push_str(&format!("removed: {name}\n"));
    }
    text
}

fn names(removal: &Removal) -> Vec<String> {
    removal.backups.iter().map(|one| one.name.clone()).collect()
}

fn abandoned(removal: &Removal) -> Vec<String> {
    removal.abandoned.iter().map(|one| one.name.to_string()).collect()
}
