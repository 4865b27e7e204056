//! Writes entries of a program's own into the audit trail, beside those of the runners.
//!
//! ```sh
//! cargo run --example custom_audit_entries -- example.db
//! ```

use std::error::Error;

use serde_json::json;
use tagpipe_engine::AuditLogger;
use tagpipe_store::audit::AuditLevel;
use tagpipe_store::{DatabaseUrl, Store};

/// Two entries, as `tagpipe audit --runner custom_runner` shows them.
pub async fn write_entries(database: &str) -> Result<(), Box<dyn Error>> {
    let url: DatabaseUrl = database.parse()?;
    let store = Store::open(&url, true).await?;
    let audit = AuditLogger::new(&store, "custom_runner");
    audit
        .log_operation(
            AuditLevel::Info,
            "custom",
            "custom operation started",
            json!({ "parameters": { "param1": "value1" } }),
        )
        .await?;
    audit
        .log_error(
            "custom",
            "custom operation failed",
            json!({ "error_details": "detailed error information" }),
        )
        .await?;
    store.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = std::env::args().nth(1).ok_or("give a database")?;
    write_entries(&database).await
}
