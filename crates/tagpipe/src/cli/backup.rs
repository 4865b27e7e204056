//! Arguments of `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::settings::Given;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  tagpipe backup --to /mnt/backups
  tagpipe backup --to s3://my-bucket/tagpipe --keep daily=7,weekly=4,monthly=12
  tagpipe backup --to /mnt/backups --recipient age1… --verify --identity key.txt
  tagpipe backup --to /mnt/backups --keep daily=7 --dry-run    what would be removed
  tagpipe backup list --from s3://my-bucket/tagpipe
  tagpipe backup verify --from s3://my-bucket/tagpipe          is the newest one good?

A run may write meanwhile. Credentials of clouds come from the environment: docs/clouds.md. docs/backup.md has the rest.")]
pub(crate) struct BackupArguments {
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
    /// Folder: a path, file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix
    #[arg(long, value_name = "PATH-or-URL")]
    pub(crate) to: Option<String>,
    /// Remove older backups afterwards, all but these: daily=7,weekly=4,monthly=12,yearly=3,last=3 [default: keep all]
    #[arg(long, value_name = "RULE")]
    pub(crate) keep: Option<String>,
    /// Encrypt for this key (age1…), or for those in this file; may be given more than once
    #[arg(
        long = "recipient",
        visible_alias = "recipients-file",
        value_name = "KEY-or-FILE"
    )]
    pub(crate) recipients: Vec<String>,
    /// Restore it into a scratch database afterwards, and compare
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    /// For --verify with PostgreSQL: an empty database to try it in [default: one made for it beside the other]
    #[arg(long, value_name = "URL")]
    pub(crate) scratch_url: Option<String>,
    /// Make and remove nothing; show what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Show the backups in a folder
    #[command(after_help = "Examples:
  tagpipe backup list --from /mnt/backups
  tagpipe backup list --from s3://my-bucket/tagpipe --json | jq -r '.backups[].name'")]
    List {
        /// Folder [default: the setting backup_to]
        #[arg(long, visible_alias = "to", value_name = "PATH-or-URL")]
        from: Option<String>,
    },
    /// Fetch a backup, restore it into a scratch database, and compare
    #[command(after_help = "Examples:
  tagpipe backup verify --from /mnt/backups                    the newest
  tagpipe backup verify --from s3://my-bucket/tagpipe/tagpipe-20261130T003000Z-4f2a --identity key.txt
  tagpipe backup verify --from /mnt/backups --scratch-url postgres://me@localhost/empty

Exit codes: 0 it is good, 1 it is not")]
    Verify {
        /// Folder, or one backup in it [default: the setting backup_to]
        #[arg(long, value_name = "PATH-or-URL")]
        from: Option<String>,
        #[command(flatten)]
        keys: KeyArguments,
        /// For PostgreSQL: an empty database to try it in [default: one made for it beside the other]
        #[arg(long, value_name = "URL")]
        scratch_url: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe restore --from /mnt/backups                          the newest
  tagpipe restore --from s3://my-bucket/tagpipe/tagpipe-20261130T003000Z-4f2a --identity key.txt
  tagpipe restore --from /mnt/backups --database-url sqlite:other.db
  tagpipe restore --from /mnt/backups --force                  in place of what is there
  tagpipe run --resume                                         and go on

Everything is checked before anything is changed. Runs and services that use the database are stopped first.")]
pub(crate) struct RestoreArguments {
    /// Folder, or one backup in it [default: the setting backup_to]
    #[arg(long, value_name = "PATH-or-URL")]
    pub(crate) from: Option<String>,
    /// Replace a database that has something in it
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

/// What encrypts and opens.
#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    /// File with the secret key that opens encrypted backups, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// File with the passphrase, in place of keys; or the variable PIPELINE_BACKUP_PASSPHRASE
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Texts of these arguments that live as long as the settings are merged.
#[derive(Debug, Default)]
pub(crate) struct BackupTexts {
    recipients: Option<String>,
    identity: Option<String>,
    passphrase: Option<String>,
}

impl BackupTexts {
    /// Of these keys and recipients; a passphrase is read from its file.
    pub(crate) fn read(keys: &KeyArguments, recipients: &[String]) -> std::io::Result<BackupTexts> {
        let passphrase = keys
            .passphrase_file
            .as_ref()
            .map(std::fs::read_to_string)
            .transpose()?;
        Ok(BackupTexts {
            recipients: (!recipients.is_empty()).then(|| recipients.join(",")),
            identity: keys.identity.as_ref().map(|file| file.display().to_string()),
            passphrase: passphrase.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
        })
    }

    /// The settings that they are.
    pub(crate) fn given<'a>(&'a self, place: Option<&'a str>, flag: &'static str) -> Vec<Given<'a>> {
        vec![
            ("backup_to", flag, place),
            ("backup_recipients", "--recipient", self.recipients.as_deref()),
            ("backup_identity", "--identity", self.identity.as_deref()),
            (
                "backup_passphrase",
                "--passphrase-file",
                self.passphrase.as_deref(),
            ),
        ]
    }
}
