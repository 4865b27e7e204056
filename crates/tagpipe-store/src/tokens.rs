//! Who may use the API: named tokens with a scope. A secret is stored as its hash alone; it is long and random, so that one
//! round of SHA-256 is enough and nobody has to wait for a slow hash.

use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};

use crate::connect::Store;
use crate::error::StoreError;

/// What a token allows. Who may control may also read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scope {
    /// To look.
    Read,
    /// To start, steer and schedule, too.
    Control,
}

impl Scope {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Control => "control",
        }
    }

    fn stored(name: &str) -> Result<Scope, StoreError> {
        match name {
            "read" => Ok(Scope::Read),
            "control" => Ok(Scope::Control),
            _ => Err(StoreError::Bug(format!("`{name}` is no scope"))),
        }
    }
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiToken {
    /// Its number.
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made, in UTC.
    pub created_at: String,
    /// When it was last used, in UTC, to the minute.
    pub last_used_at: Option<String>,
    /// When it was revoked, in UTC; it allows nothing since.
    pub revoked_at: Option<String>,
    /// SHA-256 of its secret, in hexadecimal.
    #[serde(skip)]
    pub secret_hash: String,
}

impl Store {
    /// Writes a token. `false`, and nothing is written, if there is one of this name that was not revoked.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn add_token(&self, name: &str, scope: Scope, secret_hash: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO api_tokens AS known (name, scope, secret_hash, created_at) VALUES ($1, $2, $3, {now}) \
             ON CONFLICT (name) DO UPDATE SET scope = excluded.scope, secret_hash = excluded.secret_hash, \
                 created_at = excluded.created_at, last_used_at = NULL, revoked_at = NULL WHERE known.revoked_at IS NOT NULL",
            now = self.dialect.now(),
        );
        let values = [self.dialect.text(name), scope.as_str().into(), secret_hash.into()];
        let is_new = self.write(self.dialect.statement(sql, values)).await? > 0;
        if is_new {
            let words = format!("token {name} is made, with the scope {}", scope.as_str());
            self.note_change("token", words).await?;
        }
        Ok(is_new)
    }

    /// Ends a token. `false` if there is none of this name that allows anything.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE api_tokens SET revoked_at = {} WHERE name = $1 AND revoked_at IS NULL",
            self.dialect.now()
        );
        let is_over = self
            .write(self.dialect.statement(sql, [self.dialect.text(name)]))
            .await?
            > 0;
        if is_over {
            self.note_change("token", format!("token {name} is revoked"))
                .await?;
        }
        Ok(is_over)
    }

    /// Notes that a token was used, at most once a minute.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn note_token_use(&self, id: i64) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE api_tokens SET last_used_at = {now} WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < {before})",
            now = self.dialect.now(),
            before = self.dialect.now_plus("-60000000"),
        );
        self.write(self.dialect.statement(sql, [id.into()])).await?;
        Ok(())
    }

    /// All tokens, also those that were revoked, by name.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT id, name, scope, secret_hash, {} AS created_at, {} AS last_used_at, {} AS revoked_at \
             FROM api_tokens ORDER BY name",
            dialect.iso("created_at"),
            dialect.iso("last_used_at"),
            dialect.iso("revoked_at"),
        );
        let rows = self.rows(dialect.statement(sql, [])).await?;
        rows.iter().map(api_token).collect()
    }
}

fn api_token(row: &QueryResult) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: row.try_get("", "id")?,
        name: row.try_get("", "name")?,
        scope: Scope::stored(&row.try_get::<String>("", "scope")?)?,
        created_at: row.try_get("", "created_at")?,
        last_used_at: row.try_get("", "last_used_at")?,
        revoked_at: row.try_get("", "revoked_at")?,
        secret_hash: row.try_get("", "secret_hash")?,
    })
}
