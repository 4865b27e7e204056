//! `tagpipe db …`: looking after the database.

use tagpipe_store::Store;

use crate::cli::GlobalArguments;
use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::settings::{Merged, database_url};

/// Brings the schema up to date and says what was done.
pub(crate) async fn migrate(global: &GlobalArguments) -> Result<Exit, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    let url = database_url(&merged)?;
    let (_, pending) = Store::migrations(&url)
        .await
        .map_err(|error| Failure::opening(&error))?;
    let store = Store::open(&url, true)
        .await
        .map_err(|error| Failure::opening(&error))?;
    store.close().await;
    if global.json {
        say!(
            "{}",
            serde_json::json!({ "database": url.to_string(), "applied": pending })
        );
    } else if pending.is_empty() {
        say!("{url}: the schema is up to date");
    } else {
        say!("{url}: applied {}", pending.join(", "));
    }
    Ok(Exit::Done)
}
