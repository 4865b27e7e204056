//! Whether a database holds together: everything that can be proved about it without a request.
//!
//! One check is one query, in the file of what it is about; [`CHECKS`] is the one place that lists them. A query
//! returns a row for each finding: `place`, the name of what it is about, and `what`, what is wrong with it. Nothing is
//! written, and all checks see the database at one moment, so that a run under way cannot mislead them.

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, IsolationLevel, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use serde::Serialize;

use crate::connect::Store;
use crate::dialect::Dialect;
use crate::error::StoreError;

mod certificates;
mod documents;
mod grades;
mod history;
mod integrity;
mod json;
mod orphans;
mod place;
mod promised;
mod ranks;
mod runs;
mod sums;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, by name: a card, a certificate, a run.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its name, e.g. `card_sums`.
    pub check: &'static str,
    /// What must hold.
    pub holds: &'static str,
    /// What to do where it does not.
    pub advice: &'static str,
    /// Findings, all of them.
    pub found: u64,
    /// The first ones, by name.
    pub examples: Vec<Finding>,
}

/// A check. `sql` makes its query; empty where an engine needs none.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) holds: &'static str,
    pub(crate) advice: &'static str,
    pub(crate) sql: fn(Dialect) -> String,
}

/// All checks, in the order in which they are told: from the file up to what it says.
const CHECKS: &[&[Check]] = &[
    integrity::CHECKS,
    json::CHECKS,
    orphans::CHECKS,
    runs::CHECKS,
    sums::CHECKS,
    certificates::CHECKS,
    grades::CHECKS,
    ranks::CHECKS,
    history::CHECKS,
    documents::CHECKS,
    promised::CHECKS,
];

impl Store {
    /// Checks everything, and names at most `limit` findings of each check.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn check(&self, limit: u32) -> Result<Vec<Checked>, StoreError> {
        let snapshot = self.moment().await?;
        let mut all = Vec::new();
        for check in CHECKS.iter().copied().flatten() {
            all.push(self.checked(&snapshot, check, limit).await?);
        }
        let summaries = runs::summaries(&snapshot, self.dialect).await?;
        all.push(runs::checked_summaries(&summaries, limit));
        snapshot.rollback().await?;
        Ok(all)
    }

    /// One moment of the database, to be read. Both engines fix it with the first query.
    pub(crate) async fn moment(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = match self.dialect {
            Dialect::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..TransactionOptions::default()
            },
            Dialect::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        };
        Ok(self.reader.begin_with_options(options).await?)
    }

    async fn checked(
        &self,
        snapshot: &DatabaseTransaction,
        check: &Check,
        limit: u32,
    ) -> Result<Checked, StoreError> {
        let mut checked = Checked {
            check: check.name,
            holds: check.holds,
            advice: check.advice,
            found: 0,
            examples: Vec::new(),
        };
        let query = (check.sql)(self.dialect);
        if query.is_empty() {
            return Ok(checked);
        }
        let sql = format!(
            "SELECT place, what, count(*) OVER () AS findings FROM ({query}) AS finding ORDER BY place, what LIMIT $1"
        );
        let statement = self.dialect.statement(sql, [i64::from(limit.max(1)).into()]);
        for row in snapshot.query_all_raw(statement).await? {
            let findings: i64 = row.try_get("", "findings")?;
            checked.found = findings.unsigned_abs();
            checked.examples.push(Finding {
                place: row.try_get("", "place")?,
                what: row.try_get("", "what")?,
            });
        }
        checked.examples.truncate(limit as usize);
        Ok(checked)
    }
}
