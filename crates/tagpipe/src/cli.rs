//! The command line, as one definition.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::settings::Given;

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
  tagpipe run --categories Hockey --year-filter 1989
  tagpipe run --resume                           go on where a run was left")]
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
    /// Database: sqlite:FILE or postgres://user:password@host/name [default: sqlite:tagpipe.db]
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
    /// Start the embedded demo site, read all of it into SQLite and show what came out
    Demo(DemoArguments),
    /// Start the demo site alone
    DemoSite(DemoSiteArguments),
    /// Look after the database
    #[command(subcommand)]
    Db(DbCommand),
    /// Show or check site profiles
    #[command(subcommand)]
    Profile(ProfileCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the schema up to date
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Print the built-in site profile, to copy and edit
    Show,
    /// Check a profile without using it
    Check {
        /// The profile
        file: PathBuf,
    },
}

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  tagpipe run --categories Baseball,Hockey --delay 1.5
  tagpipe run --year-filter 1986-1989,1996 --set-filter 'Topps*'
  tagpipe run --start-from card                   read the sets that the database knows, not the levels above
  tagpipe run --max-pages 500                     stop after 500 page reads; --resume goes on
  tagpipe run --dry-run --max-pages 20            write nothing, show what would be written

Exit codes:
    0  all read and the sums agree      5  a budget ended it
    1  could not run                    6  the site kept refusing
    2  wrong usage or setting           7  the database went away
    3  finished, some pages failed      8  the layout no longer fits the profile
    4  all read, but sums disagree      130, 143  interrupted
After 3 to 7, 130 and 143 the state is kept and `--resume` goes on.")]
pub(crate) struct RunArguments {
    /// Pages in hand at a time [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<String>,
    /// Least time between two requests of this runner, in seconds; 0 means no pause of its own [default: 1.0]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) delay: Option<String>,
    /// Further reads of a page that failed [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) max_retries: Option<String>,
    /// Growth of the pause from one failed read to the next [default: 2.0]
    #[arg(long, value_name = "FACTOR")]
    pub(crate) retry_backoff: Option<String>,
    /// Write nothing, not even a file, and show what would have been written
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Categories, as a comma list with * [default: discover all]
    #[arg(long, value_name = "LIST")]
    pub(crate) categories: Option<String>,
    /// Level to begin with: category, year, set, card or graderows; its parents come from the database [default: category]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) start_from: Option<String>,
    /// Years and ranges, e.g. 1986-1989,1996
    #[arg(long, value_name = "LIST")]
    pub(crate) year_filter: Option<String>,
    /// Brands or sets, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) set_filter: Option<String>,
    /// Card names or numbers, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) card_filter: Option<String>,
    /// Name of this runner in logs and audit trail [default: generated]
    #[arg(long, value_name = "NAME")]
    pub(crate) runner_id: Option<String>,
    /// Go on with a run that did not come to its end [default: the newest]
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "newest")]
    pub(crate) resume: Option<String>,
    /// Stop after this many page reads
    #[arg(long, value_name = "N")]
    pub(crate) max_pages: Option<String>,
    /// Stop after this time, e.g. 90s, 30m, 8h
    #[arg(long, value_name = "TIME")]
    pub(crate) max_duration: Option<String>,
    /// Requests a second over all runners, in place of the profile's interval
    #[arg(long, value_name = "RATE")]
    pub(crate) max_rate: Option<String>,
    /// How pages are fetched: auto, http or browser [default: auto, what the profile says they need]
    #[arg(long, value_name = "HOW")]
    pub(crate) fetch: Option<String>,
    /// Site profile to use instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<String>,
    /// Origin of the site, e.g. http://127.0.0.1:8000 [default: the profile's]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
}

impl RunArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        vec![
            ("concurrency", "--concurrency", self.concurrency.as_deref()),
            ("delay", "--delay", self.delay.as_deref()),
            ("max_retries", "--max-retries", self.max_retries.as_deref()),
            ("retry_backoff", "--retry-backoff", self.retry_backoff.as_deref()),
            ("categories", "--categories", self.categories.as_deref()),
            ("start_from", "--start-from", self.start_from.as_deref()),
            ("year_filter", "--year-filter", self.year_filter.as_deref()),
            ("set_filter", "--set-filter", self.set_filter.as_deref()),
            ("card_filter", "--card-filter", self.card_filter.as_deref()),
            ("runner_id", "--runner-id", self.runner_id.as_deref()),
            ("max_pages", "--max-pages", self.max_pages.as_deref()),
            ("max_duration", "--max-duration", self.max_duration.as_deref()),
            ("max_rate", "--max-rate", self.max_rate.as_deref()),
            ("fetch", "--fetch", self.fetch.as_deref()),
            ("profile", "--profile", self.profile.as_deref()),
            ("base_url", "--base-url", self.base_url.as_deref()),
        ]
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Size of the demo site, in pages
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u64).range(60..=100_000))]
    pub(crate) pages: u64,
    /// Seed of its content
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Do not show the script-rendered form through Chromium
    #[arg(long)]
    pub(crate) no_browser: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe demo-site --pages 10000
  tagpipe demo-site --rendering script --listen 127.0.0.1:8000
  tagpipe demo-site --rate-limited 0.1 --soft-404 0.05 --cut-off 0.05")]
pub(crate) struct DemoSiteArguments {
    /// Address of the site
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Address at which the site tells the truth about its content, and takes switches
    #[arg(long, default_value = "127.0.0.1:8001", value_name = "ADDRESS")]
    pub(crate) admin: SocketAddr,
    /// Size, in pages
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u64).range(60..=100_000))]
    pub(crate) pages: u64,
    /// Seed of the content
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// server: complete pages; script: an app that paints them
    #[arg(long, value_enum, default_value = "server", value_name = "HOW")]
    pub(crate) rendering: RenderingChoice,
    /// Share of answers that are 429 (0 to 1)
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) rate_limited: f64,
    /// Share of answers that are 503
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) unavailable: f64,
    /// Share of answers that pretend the page does not exist
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) soft_404: f64,
    /// Share of answers that break off
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) cut_off: f64,
    /// Share of answers that are slow
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) slow: f64,
    /// Share of answers that miss rows
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) partial: f64,
    /// Add a category with hostile names
    #[arg(long)]
    pub(crate) hostile: bool,
    /// Keep no log of requests
    #[arg(long)]
    pub(crate) no_request_log: bool,
}

/// How the demo site renders its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderingChoice {
    Server,
    Script,
}
