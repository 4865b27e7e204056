//! `tagpipe restore`: a database, back from a backup. Everything is checked before anything is changed.

use serde_json::json;
use tagpipe_sinks::backup::{BackupError, Engine, Identities, Manifest, Shelf, Stop};
use tagpipe_sinks::destination::Destination;
use tagpipe_store::DatabaseUrl;
use tagpipe_store::backup::{
    Contents, Occupant, RestoreNote, occupant, replace_sqlite, restore_postgres, sign_sqlite,
};

use super::backup::{load, place, scratch_beside, stopped, texts, until_signal, verifying};
use crate::cli::{GlobalArguments, RestoreArguments};
use crate::exit::{Exit, Failure};
use crate::output::{print, print_json};
use crate::report::grouped;
use crate::settings::database_url;

/// Restores a backup.
pub(crate) async fn restore(global: &GlobalArguments, arguments: &RestoreArguments) -> Result<Exit, Failure> {
    let texts = texts(&arguments.keys, &[])?;
    let mut given = global.given();
    given.extend(texts.given(arguments.from.as_deref(), "--from"));
    let (merged, settings) = load(global, &given)?;
    let url = database_url(&merged)?;
    let from = place(&settings)?;
    let stop = Stop::default();
    let work = bring_back(&url, &from, settings.identities, arguments.force, &stop);
    let Some(done) = until_signal(work, &stop).await? else {
        return Ok(stopped());
    };
    let manifest = &done.manifest;
    if global.json {
        print_json(&json!({
            "from": done.folder.to_string(), "database": url.to_string(), "backup": manifest,
            "moved_aside": done.moved_aside,
        }))?;
    } else if !global.quiet {
        let mut text = format!(
            "{} is restored to {url}: {} rows, as they were at {}\n",
            manifest.name,
            grouped(manifest.tables.values().sum()),
            manifest.started_at
        );
        if let Some(aside) = &done.moved_aside {
            text.push_str(&format!(
                "the database that was there held more than tagpipe's, or was damaged; it is now {aside}\n"
            ));
        }
        if manifest
            .tables
            .get("api_tokens")
            .is_some_and(|tokens| *tokens > 0)
        {
            text.push_str(
                "its tokens are those of that time: one that was revoked since is in force again (`tagpipe token list`)\n",
            );
        }
        text.push_str(&format!(
            "`tagpipe run --resume` on {url} goes on with a run that had not ended\n"
        ));
        print(&text)?;
    }
    Ok(Exit::Done)
}

/// What came of it.
struct Restored {
    folder: Destination,
    manifest: Manifest,
    moved_aside: Option<String>,
}

async fn bring_back(
    url: &DatabaseUrl,
    from: &Destination,
    identities: Identities,
    force: bool,
    stop: &Stop,
) -> Result<Restored, Failure> {
    let (folder, manifest) = Shelf::find(from).await.map_err(Failure::from)?;
    refuse_other_engine(url, &manifest)?;
    let url = &resolved(url)?;
    let is_damaged = refuse_to_overwrite(url, force).await?;
    let scratch = scratch_beside(url)?;
    let opened = scratch.file("opened");
    verifying::open(&folder, &manifest, identities, &opened, stop).await?;
    let note = RestoreNote {
        message: format!("the database was restored from the backup {}", manifest.name),
        context: json!({
            "backup": manifest.name, "folder": folder.to_string(), "sha256": manifest.stored.sha256, "forced": force,
        }),
    };
    let moved_aside = match url {
        DatabaseUrl::Sqlite(path) => {
            verifying::check_sqlite(&manifest, &opened).await?;
            sign_sqlite(&opened, &note)
                .await
                .map_err(|error| Failure::opening(&error))?;
            if stop.is_requested() {
                return Err(Failure::from(BackupError::Stopped));
            }
            replace_sqlite(&opened, path, is_damaged)
                .await
                .map_err(|error| Failure::opening(&error))?
        }
        DatabaseUrl::Postgres(server) => {
            let namespace = manifest.namespace.as_deref().unwrap_or("public");
            restore_postgres(server, &opened, &verifying::contents(&manifest), namespace, &note)
                .await
                .map_err(|error| Failure::opening(&error))?;
            None
        }
        DatabaseUrl::Memory => None,
    };
    Ok(Restored {
        folder,
        manifest,
        moved_aside: moved_aside.map(|path| path.display().to_string()),
    })
}

/// A copy of one engine is none of the other's.
fn refuse_other_engine(url: &DatabaseUrl, manifest: &Manifest) -> Result<(), Failure> {
    let fits = match url {
        DatabaseUrl::Sqlite(_) => manifest.engine == Engine::Sqlite,
        DatabaseUrl::Postgres(_) => manifest.engine == Engine::Postgresql,
        DatabaseUrl::Memory => {
            return Err(Failure::usage(
                "a database in memory is gone with its process; name a file or a PostgreSQL with --database-url",
            ));
        }
    };
    if fits {
        return Ok(());
    }
    let form = match manifest.engine {
        Engine::Sqlite => "sqlite:FILE",
        Engine::Postgresql => "postgres://user@host/name",
    };
    Err(Failure::usage(format!(
        "the backup `{}` is of {}, and {url} is not; name such a database with --database-url {form}",
        manifest.name, manifest.engine
    )))
}

/// The address of the file itself where it is that of a link: what is restored takes the file's place, not the link's.
fn resolved(url: &DatabaseUrl) -> Result<DatabaseUrl, Failure> {
    let DatabaseUrl::Sqlite(path) = url else {
        return Ok(url.clone());
    };
    match (std::fs::canonicalize(path), std::fs::read_link(path)) {
        (Ok(real), _) => Ok(DatabaseUrl::Sqlite(real)),
        (Err(_), Ok(to)) => Err(Failure::could_not_run(format!(
            "`{}` is a link to `{}`, where nothing is; is its disk mounted? Make it lead somewhere, or name the file itself",
            path.display(),
            to.display()
        ))),
        (Err(_), Err(_)) => Ok(url.clone()),
    }
}

/// Returns whether what is there is damaged.
async fn refuse_to_overwrite(url: &DatabaseUrl, force: bool) -> Result<bool, Failure> {
    match occupant(url).await.map_err(|error| Failure::opening(&error))? {
        Occupant::Nothing | Occupant::Empty(_) => Ok(false),
        Occupant::Foreign(what) => Err(Failure::could_not_run(format!(
            "{url} is not overwritten: {what}; name another database with --database-url"
        ))),
        Occupant::Tagpipe(_) if force => Ok(false),
        Occupant::Damaged(_) if force => Ok(true),
        Occupant::Tagpipe(contents) => Err(Failure::could_not_run(format!(
            "{url} has something in it ({}); --force replaces it, `tagpipe backup` keeps it",
            told(&contents)
        ))),
        Occupant::Damaged(what) => Err(Failure::could_not_run(format!(
            "{url} cannot be read ({what}); --force moves it aside and restores"
        ))),
    }
}

fn told(contents: &Contents) -> String {
    let rows = |table: &str| contents.tables.get(table).copied().unwrap_or(0);
    format!(
        "{} runs, {} cards, {} certificates",
        grouped(rows("runs")),
        grouped(rows("cards")),
        grouped(rows("grade_rows"))
    )
}
