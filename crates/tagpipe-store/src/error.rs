//! What can go wrong with the database, by what the caller can do.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, is locked, is full or restarts: the same call may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The address, the credentials or the rights are wrong: trying again will not help.
    #[error("{0}")]
    Refused(String),
    /// The database is not where it was: what is written from now on would be lost.
    #[error("{0}")]
    Gone(String),
    /// The schema is not this build's.
    #[error("{0}")]
    Schema(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A statement failed that should not: a fault in tagpipe or a damaged database.
    #[error("the database refused a statement: {0}")]
    Bug(String),
}

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Wait and try again.
    Retry,
    /// Tell the user.
    Permanent,
    /// Report a fault.
    Bug,
}

impl StoreError {
    /// What the caller can do.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            StoreError::Unavailable(_) => ErrorClass::Retry,
            StoreError::Refused(_)
            | StoreError::Gone(_)
            | StoreError::Schema(_)
            | StoreError::NotFound(_) => ErrorClass::Permanent,
            StoreError::Bug(_) => ErrorClass::Bug,
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let (text, class) = match &error {
            DbErr::ConnectionAcquire(cause) => (cause.to_string(), Some(ErrorClass::Retry)),
            DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause) => match cause {
                RuntimeErr::SqlxError(cause) => (in_words(cause), classify(cause)),
                other => (other.to_string(), None),
            },
            other => (other.to_string(), None),
        };
        match class {
            Some(ErrorClass::Retry) => StoreError::Unavailable(text),
            Some(ErrorClass::Permanent) => StoreError::Refused(text),
            _ => StoreError::Bug(text),
        }
    }
}

/// What a person needs to know of an error of the driver, and what to do where that is clear.
fn in_words(error: &SqlxError) -> String {
    let SqlxError::Database(cause) = error else {
        let said = error.to_string();
        let remedy = encryption_remedy(&said).unwrap_or_default();
        return format!("{said}{remedy}");
    };
    let code = cause.code().unwrap_or_default();
    let remedy = match &*code {
        "28P01" | "28000" => "; check user and password",
        "3D000" => "; create it, or name another one",
        "42501" => "; grant the user the right, or use the owner of the tables",
        "14" => "; is its folder there, and may both be read and written?",
        "11" | "267" | "523" | "779" => {
            "; the file is damaged: bring a backup back with `tagpipe restore --force`, which moves it aside, or save what can still be \
             read with `sqlite3 FILE .recover`"
        }
        "8" | "1544" => "; make the file and its folder writable",
        _ => "",
    };
    format!("{}{remedy}", cause.message())
}

/// What to do where the two sides do not agree about encryption: `None` where the error is about something else. The driver has
/// the reason as a text alone.
fn encryption_remedy(said: &str) -> Option<&'static str> {
    if said.contains("server does not support TLS") {
        return Some("; have the server offer it, or set sslmode (POSTGRES_SSLMODE) to prefer");
    }
    if said.contains("CertificateRequired") {
        return Some("; the server wants a client certificate: set sslcert and sslkey");
    }
    let (_, reason) = said.split_once("invalid peer certificate: ")?;
    Some(
        if reason.starts_with("UnknownIssuer") || reason.starts_with("BadSignature") {
            "; the server's certificate is not of an authority that is trusted: name the right one's file with sslrootcert \
         (POSTGRES_SSLROOTCERT)"
        } else if reason.contains("not valid for name") || reason.starts_with("NotValidForName") {
            "; the certificate is another host's: connect by the name that it was made for, or set sslmode to verify-ca"
        } else if reason.contains("expired") || reason.starts_with("Expired") {
            "; the server needs a new certificate, or one of the two clocks is wrong"
        } else {
            "; the server's certificate is not accepted"
        },
    )
}

/// Sorts an error of the driver. PostgreSQL's codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>;
/// SQLite's: <https://www.sqlite.org/rescode.html>.
fn classify(error: &SqlxError) -> Option<ErrorClass> {
    match error {
        SqlxError::Io(_) | SqlxError::Tls(_) if encryption_remedy(&error.to_string()).is_some() => {
            Some(ErrorClass::Permanent)
        }
        SqlxError::Io(_)
        | SqlxError::Tls(_)
        | SqlxError::Protocol(_)
        | SqlxError::PoolTimedOut
        | SqlxError::PoolClosed
        | SqlxError::WorkerCrashed => Some(ErrorClass::Retry),
        SqlxError::Configuration(_) => Some(ErrorClass::Permanent),
        SqlxError::Database(cause) => {
            let code = cause.code()?;
            classify_postgres(&code).or_else(|| classify_sqlite(&code))
        }
        _ => None,
    }
}

fn classify_postgres(code: &str) -> Option<ErrorClass> {
    if code.len() != 5 {
        return None;
    }
    match &code[..2] {
        // Connection lost; transaction rolled back (serialization, deadlock); insufficient resources (disk full,
        // too many connections); operator intervention (shutdown, restart, starting up); system error (I/O).
        "08" | "40" | "53" | "57" | "58" => Some(ErrorClass::Retry),
        // Lock not available; read-only transaction (a standby after a fail-over).
        "55" | "25" => Some(ErrorClass::Retry),
        // Wrong password or role; no such database; no right.
        "28" | "3D" => Some(ErrorClass::Permanent),
        _ if code == "42501" => Some(ErrorClass::Permanent),
        _ => None,
    }
}

fn classify_sqlite(code: &str) -> Option<ErrorClass> {
    let primary = code.parse::<u32>().ok()? & 0xff;
    match primary {
        // BUSY, LOCKED, IOERR, FULL, PROTOCOL.
        5 | 6 | 10 | 13 | 15 => Some(ErrorClass::Retry),
        // PERM, READONLY, CORRUPT, CANTOPEN, AUTH, NOTADB.
        3 | 8 | 11 | 14 | 23 | 26 => Some(ErrorClass::Permanent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        for (code, class) in [
            ("57P01", Some(ErrorClass::Retry)),
            ("53100", Some(ErrorClass::Retry)),
            ("28P01", Some(ErrorClass::Permanent)),
            ("42501", Some(ErrorClass::Permanent)),
            ("42P01", None),
        ] {
            assert_eq!(classify_postgres(code), class, "{code}");
        }
        for (code, class) in [
            ("5", Some(ErrorClass::Retry)),
            ("517", Some(ErrorClass::Retry)),
            ("26", Some(ErrorClass::Permanent)),
            ("1", None),
        ] {
            assert_eq!(classify_sqlite(code), class, "{code}");
        }
    }
}
