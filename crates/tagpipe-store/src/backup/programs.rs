//! PostgreSQL's own programs: `pg_dump`, `pg_restore`, `psql`.
//!
//! They get the address by the environment, where only this user can read it, and never by their command lines.

use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr as _;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::error::StoreError;

/// How to install them.
const REMEDY: &str = "install PostgreSQL's client programs (Debian: `apt-get install postgresql-client`), or put their folder on PATH";

/// The program, ready to speak to the database at `url`, if it is no older than the server.
///
/// `server` is the server's number, as `server_version_num` tells it: 150004 for 15.4.
pub(super) fn program(name: &str, url: &url::Url, server: i32) -> Result<Command, StoreError> {
    check(name, server)?;
    let mut command = with_clean_environment(name);
    speak_to(&mut command, url)?;
    command
        .arg("--no-password")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// The program for work without a database.
pub(super) fn offline(name: &str) -> Command {
    let mut command = with_clean_environment(name);
    command
        .env_remove("PGPASSWORD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The program with what it needs of our environment, and nothing else: that has the keys of other doors, of clouds, of the service and
/// of backups.
fn with_clean_environment(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_needed)));
    command
}

/// Whether the programs, or the libraries that they connect with, heed the environment variable.
fn is_needed(name: &str) -> bool {
    const NEEDED: [&str; 14] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "TZ",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "KRB5_CONFIG",
        "KRB5CCNAME",
        "KRB5_CLIENT_KTNAME",
    ];
    // `PGP_…` are keys of another kind.
    let is_of_postgres = name.starts_with("PG") && !name.starts_with("PGP_");
    is_of_postgres || name.starts_with("LC_") || NEEDED.contains(&name)
}

/// A program that is missing or older than the server would fail with words that nobody understands, or worse, lose
/// something.
fn check(name: &str, server: i32) -> Result<(), StoreError> {
    let said = offline(name).arg("--version").stderr(Stdio::null()).output();
    let said = match said {
        Ok(said) if said.status.success() => String::from_utf8_lossy(&said.stdout).into_owned(),
        Ok(said) => {
            return Err(StoreError::Refused(format!(
                "`{name} --version` failed ({}); {REMEDY}",
                said.status
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Refused(format!(
                "there is no `{name}` on the search path, which PostgreSQL needs for this; {REMEDY}"
            )));
        }
        Err(error) => {
            return Err(StoreError::Refused(format!(
                "`{name}` cannot be started ({error}); {REMEDY}"
            )));
        }
    };
    let theirs = server / 10_000;
    match major_version(&said) {
        Some(ours) if ours >= theirs => Ok(()),
        Some(ours) => Err(StoreError::Refused(format!(
            "`{name}` on the search path is of PostgreSQL {ours}, the server of {theirs}; an older one cannot read a newer \
             server: put `{name}` of {theirs} or newer on PATH"
        ))),
        None => Err(StoreError::Refused(format!(
            "`{name} --version` says `{}`, which tells no version; {REMEDY}",
            said.trim()
        ))),
    }
}

/// The first number of `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; a development version reads `17devel`.
fn major_version(said: &str) -> Option<i32> {
    let (_, version) = said.split_once("(PostgreSQL)")?;
    let digits: String = version
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// Gives the program the address that our own connections have, by libpq's variables. What the address does not say is as
/// in the environment, for both.
fn speak_to(command: &mut Command, url: &url::Url) -> Result<(), StoreError> {
    let options = PgConnectOptions::from_str(url.as_str())
        .map_err(|error| StoreError::Refused(format!("the database's address is wrong: {error}")))?;
    let host = options.get_socket().map_or_else(
        || options.get_host().to_owned(),
        |folder| folder.display().to_string(),
    );
    command
        .env("PGHOST", host)
        .env_remove("PGHOSTADDR")
        .env_remove("PGSERVICE")
        .env("PGPORT", options.get_port().to_string())
        .env("PGUSER", options.get_username())
        .env("PGSSLMODE", ssl_mode(options.get_ssl_mode()))
        .env("PGAPPNAME", super::postgres::APPLICATION)
        .env("PGCONNECT_TIMEOUT", "10");
    command.env(
        "PGDATABASE",
        options.get_database().unwrap_or(options.get_username()),
    );
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", decoded(password));
    }
    if let Some(settings) = options.get_options() {
        command.env("PGOPTIONS", settings);
    }
    for (key, value) in url.query_pairs() {
        let variable = match &*key {
            "password" => "PGPASSWORD",
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
            "sslcert" | "ssl-cert" => "PGSSLCERT",
            "sslkey" | "ssl-key" => "PGSSLKEY",
            _ => continue,
        };
        command.env(variable, &*value);
    }
    let is_verified = matches!(
        options.get_ssl_mode(),
        PgSslMode::VerifyCa | PgSslMode::VerifyFull
    );
    if is_verified && !names_authority(url) {
        trust_system(command);
    }
    Ok(())
}

/// Whether somebody has said whose certificates count.
fn names_authority(url: &url::Url) -> bool {
    let in_address = url
        .query_pairs()
        .any(|(key, _)| matches!(&*key, "sslrootcert" | "ssl-root-cert" | "ssl-ca"));
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".postgresql/root.crt"));
    in_address || std::env::var_os("PGSSLROOTCERT").is_some() || own.is_some_and(|file| file.exists())
}

/// Our own connections trust the public authorities where nobody has said whom to trust; libpq would trust nobody.
fn trust_system(command: &mut Command) {
    const BUNDLES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    ];
    if let Some(bundle) = BUNDLES.iter().find(|file| Path::new(file).exists()) {
        command.env("PGSSLROOTCERT", bundle);
    }
}

fn ssl_mode(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

/// A part of a URL as it is meant.
fn decoded(part: &str) -> String {
    // A form's text is decoded alike, but for `+`, which means itself here.
    let pair = format!("x={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_version_is_read() {
        for (said, version) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("psql (PostgreSQL) 17devel\n", Some(17)),
            ("pg_dump (EnterpriseDB) 15\n", None),
        ] {
            assert_eq!(major_version(said), version, "{said}");
        }
    }

    #[test]
    fn keys_of_other_doors_stay_where_they_are() {
        for name in [
            "PATH",
            "PGPASSFILE",
            "PGSSLCRL",
            "LC_MESSAGES",
            "TZ",
            "SSL_CERT_DIR",
        ] {
            assert!(is_needed(name), "{name}");
        }
        for name in [
            "PIPELINE_BACKUP_PASSPHRASE",
            "TAGPIPE_API_TOKEN",
            "POSTGRES_PASSWORD",
            "DATABASE_URL",
            "AWS_SECRET_ACCESS_KEY",
            "PGP_PASSPHRASE",
        ] {
            assert!(!is_needed(name), "{name}");
        }
    }

    #[test]
    fn the_password_is_in_the_environment_and_in_no_argument() {
        let url = "postgres://tag:p%40+%25ss@db.example.com:6432/cards?sslmode=verify-full&sslrootcert=/ca.pem&options[search_path]=own";
        let mut command = Command::new("pg_dump");
        speak_to(&mut command, &url.parse().unwrap()).unwrap();
        let variable = |name: &str| {
            command
                .get_envs()
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| Some(value?.to_str()?.to_owned()))
        };
        for (name, expected) in [
            ("PGPASSWORD", "p@+%ss"),
            ("PGHOST", "db.example.com"),
            ("PGPORT", "6432"),
            ("PGUSER", "tag"),
            ("PGDATABASE", "cards"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/ca.pem"),
            ("PGOPTIONS", "-c search_path=own"),
        ] {
            assert_eq!(variable(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(command.get_args().count(), 0);
    }
}
