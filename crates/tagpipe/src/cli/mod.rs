//! The command line, as one definition.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::settings::Given;

mod backup;
mod demo;
mod export;
mod inspect;
mod notify;
mod orchestrate;
mod run;
mod serve;

pub(crate) use backup::{BackupArguments, BackupCommand, BackupTexts, KeyArguments, RestoreArguments};
pub(crate) use demo::{DemoArguments, DemoSiteArguments, RenderingChoice};
pub(crate) use export::ExportArguments;
pub(crate) use inspect::{
    AuditArguments, CheckArguments, DiffArguments, DiffFormat, RetryArguments, RunsArguments, ShowArguments,
    StatusArguments,
};
pub(crate) use notify::{NotifyCommand, WatchCommand, WatchedChoice};
pub(crate) use orchestrate::OrchestrateArguments;
pub(crate) use run::{
    CrawlArguments, DoctorArguments, PlanArguments, ProbeArguments, ReparseArguments, RunArguments,
    RunCommand,
};

pub(crate) use serve::{
    ScheduleArguments, ScheduleCommand, ServeArguments, TokenCommand, TokenScope, WhenBusy,
};

/// Reads the TAG population report: how many copies of each card got which grade, and every certificate.
#[derive(Debug, Parser)]
#[command(
    name = "tagpipe",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "Examples:
  tagpipe demo                                   see it work, without the real site
  tagpipe doctor                                 is everything there that a run needs?
  tagpipe probe                                  does the site still look as expected?
  tagpipe run --categories Hockey --year-filter 1989
  tagpipe status                                 what is going on
  tagpipe run --resume                           go on where a run was left

Every setting can be given as a flag, in the environment, in .env or in tagpipe.toml; `tagpipe config show` lists them.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub(crate) color: ColorWhen,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

impl ColorWhen {
    pub(crate) fn apply(self) {
        match self {
            ColorWhen::Auto => {}
            ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
            ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Settings file [default: tagpipe.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Database: sqlite:FILE or postgres://user:password@host/name [default: sqlite:tagpipe.db]; with a password, better
    /// in the variable DATABASE_URL, as everybody on a machine may read command lines
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// What is logged and audited: DEBUG, INFO, WARNING, ERROR or CRITICAL [default: INFO]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// How logs are written: pretty or json [default: pretty]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress and no summary, only warnings and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Refuse an old database schema instead of bringing it up to date
    #[arg(long, global = true)]
    pub(crate) no_migrate: bool,
}

impl GlobalArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        vec![
            ("database_url", "--database-url", self.database_url.as_deref()),
            ("log_level", "--log-level", self.log_level.as_deref()),
            ("log_format", "--log-format", self.log_format.as_deref()),
        ]
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the report with one runner: discover and read all levels, to the end or to a budget
    Run(Box<RunArguments>),
    /// Read the report with many runners on one run: start, watch, replace, sum up
    Orchestrate(Box<OrchestrateArguments>),
    /// Start the embedded demo site, read all of it into SQLite and show what came out
    Demo(DemoArguments),
    /// Start the demo site alone
    DemoSite(DemoSiteArguments),
    /// Keep the report current by itself: scheduler, API and dashboard
    Serve(Box<ServeArguments>),
    /// Look after the schedules of the service
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Look after the tokens of API and dashboard
    #[command(subcommand)]
    Token(TokenCommand),
    /// Tell people what happens: by mail, Slack, webhook or ntfy
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Show what is going on: runs, runners, pages, pace and brake
    Status(StatusArguments),
    /// Show what a run would read and leave out, without a request
    Plan(Box<PlanArguments>),
    /// List the runs of the database
    Runs(RunsArguments),
    /// Show what changed between two times or runs: certificates, populations, sets and cards
    Diff(Box<DiffArguments>),
    /// Check that what is stored holds together: sums, certificates, grades, ranks, runs
    Check(CheckArguments),
    /// Show the audit trail, newest entries first
    Audit(AuditArguments),
    /// Show what failed: the audit trail from ERROR up
    Errors(AuditArguments),
    /// Extract everything again from the kept documents, without a request
    Reparse(Box<ReparseArguments>),
    /// Show where and when a certificate was read, and its history
    Show(ShowArguments),
    /// Make failed pages available again
    Retry(RetryArguments),
    /// Take data out: CSV, JSON, Parquet, Excel, SQLite or Arrow files, whole or filtered
    Export(Box<ExportArguments>),
    /// Make a safe copy of the database, or look after those there are
    Backup(Box<BackupArguments>),
    /// Bring a database back from a backup
    Restore(RestoreArguments),
    /// Read one page of each level and show what the profile recognises
    Probe(Box<ProbeArguments>),
    /// Check everything that a run needs, and say how to mend what is missing
    Doctor(Box<DoctorArguments>),
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show, check or try site profiles
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Look after the database
    #[command(subcommand)]
    Db(DbCommand),
    /// Print the completions for a shell
    #[command(after_help = "Examples:
  tagpipe completions bash > /etc/bash_completion.d/tagpipe
  tagpipe completions zsh > ~/.zfunc/_tagpipe
  tagpipe completions fish > ~/.config/fish/completions/tagpipe.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages
    #[command(after_help = "Examples:
  tagpipe man --to /usr/local/share/man/man1
  tagpipe man | man -l -")]
    Man {
        /// Folder for one page per command [default: print the main page]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Print docs/reference.md
        #[arg(long, hide = true, conflicts_with = "to")]
        reference: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every effective setting and where it was set; secrets are masked
    #[command(after_help = "Examples:
  tagpipe config show
  PIPELINE_DELAY=2 tagpipe config show --json
  tagpipe config show --changed                  only what differs from the defaults")]
    Show {
        /// Leave out settings that have their defaults
        #[arg(long)]
        changed: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the schema up to date
    #[command(after_help = "Examples:
  tagpipe db migrate
  tagpipe db migrate --database-url postgres://tagpipe@db.example.com/tagpipe")]
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Print the built-in site profile, to copy and edit
    #[command(after_help = "Examples:
  tagpipe profile show > my.toml")]
    Show,
    /// Check a profile without using it
    #[command(after_help = "Examples:
  tagpipe profile check my.toml")]
    Check {
        /// The profile
        file: PathBuf,
    },
    /// Read a kept page with a profile and show what it recognises
    #[command(after_help = "Examples:
  tagpipe probe --save pages                     keep one page of each level
  tagpipe profile try my.toml pages/sets.html    read one of them with an edited profile
  tagpipe profile try my.toml page.html --level cards --url '/pop-report/Hockey/1989/Topps'

Exit codes: 0 it fits, 3 some cells cannot be read, 8 the layout does not fit the profile")]
    Try {
        /// The profile
        file: PathBuf,
        /// The page, as `tagpipe probe --save` or a browser kept it
        page: PathBuf,
        /// Its level: category, year, set, card or graderows [default: told by probe.json beside it]
        #[arg(long, value_name = "LEVEL")]
        level: Option<String>,
        /// Its address, path and query [default: told by probe.json beside it]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}
