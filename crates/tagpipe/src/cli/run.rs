//! Arguments of the commands that read the site.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::settings::Given;

/// The codes that a run ends with, for the help of every command that makes one.
const EXIT_CODES: &str = "Exit codes:
    0  all read and the sums agree      5  a budget ended it
    1  could not run                    6  the site kept refusing
    2  wrong usage or setting           7  the database went away
    3  finished, some pages failed      8  the layout no longer fits the profile
    4  all read, but sums disagree      130, 143  interrupted
After 3 to 7, 130 and 143 the state is kept and `--resume` goes on.";

/// `examples`, then the exit codes.
pub(super) fn with_exit_codes(examples: &str) -> String {
    format!("{examples}\n\n{EXIT_CODES}")
}

#[derive(Debug, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = with_exit_codes("Examples:
  tagpipe run --categories Baseball,Hockey --delay 1.5
  tagpipe run --year-filter 1986-1989,1996 --set-filter 'Topps*'
  tagpipe run --start-from card                   read the sets that the database knows, not the levels above
  tagpipe run --max-pages 500                     stop after 500 page reads; --resume goes on
  tagpipe run --dry-run --max-pages 20            write nothing, show what would be written
  tagpipe run --join 12                           help the runners of run 12"))]
pub(crate) struct RunArguments {
    #[command(subcommand)]
    pub(crate) command: Option<RunCommand>,
    #[command(flatten)]
    pub(crate) crawl: CrawlArguments,
    /// Join the runners of a run that is under way, e.g. on another machine
    #[arg(long, value_name = "RUN", conflicts_with_all = ["resume", "dry_run", "start_from"])]
    pub(crate) join: Option<String>,
    /// Name of this runner in logs and audit trail [default: generated]
    #[arg(long, value_name = "NAME")]
    pub(crate) runner_id: Option<String>,
}

impl RunArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        let mut given = self.crawl.given();
        given.push(("runner_id", "--runner-id", self.runner_id.as_deref()));
        given
    }
}

/// How a run is made: the same for one runner and for many.
#[derive(Debug, Default, Args)]
pub(crate) struct CrawlArguments {
    #[command(flatten)]
    pub(crate) site: SiteArguments,
    /// Pages that a runner has in hand at a time [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<String>,
    /// Least time between two requests of a runner, in seconds; 0 means no pause of its own [default: 1.0]
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
    /// Level to begin with: category, year, set, card or graderows; its parents come from the database [default: category]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) start_from: Option<String>,
    /// Read everything, also what shows the same as when it was last read
    #[arg(long)]
    pub(crate) full: bool,
    /// Longest time that a page may go unread, e.g. 12h, 30d [default: any, while its row shows the same]
    #[arg(long, value_name = "TIME")]
    pub(crate) max_age: Option<String>,
    /// Documents that are kept for `tagpipe reparse` and `tagpipe show`: last (of each page's newest reading), all (in every
    /// run) or none [default: last]
    #[arg(long, value_name = "WHICH")]
    pub(crate) keep_documents: Option<String>,
    /// The order of the service that this run carries out
    #[arg(long, value_name = "ORDER", hide = true)]
    pub(crate) order: Option<i64>,
    /// Go on with a run that did not come to its end [default: the newest]
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "newest")]
    pub(crate) resume: Option<String>,
    /// Stop after this many page reads; with a budget, what has been out of date longest is read first
    #[arg(long, value_name = "N")]
    pub(crate) max_pages: Option<String>,
    /// Stop after this time, e.g. 90s, 30m, 8h
    #[arg(long, value_name = "TIME")]
    pub(crate) max_duration: Option<String>,
}

impl CrawlArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        let mut given = self.site.given();
        given.extend([
            ("concurrency", "--concurrency", self.concurrency.as_deref()),
            ("delay", "--delay", self.delay.as_deref()),
            ("max_retries", "--max-retries", self.max_retries.as_deref()),
            ("retry_backoff", "--retry-backoff", self.retry_backoff.as_deref()),
            ("start_from", "--start-from", self.start_from.as_deref()),
            ("full", "--full", self.full.then_some("true")),
            ("max_age", "--max-age", self.max_age.as_deref()),
            (
                "keep_documents",
                "--keep-documents",
                self.keep_documents.as_deref(),
            ),
            ("max_pages", "--max-pages", self.max_pages.as_deref()),
            ("max_duration", "--max-duration", self.max_duration.as_deref()),
        ]);
        given
    }
}

/// What is read, and from where: the same for every command that goes to the site.
#[derive(Debug, Default, Args)]
pub(crate) struct SiteArguments {
    /// Categories, as a comma list with * [default: discover all]
    #[arg(long, value_name = "LIST")]
    pub(crate) categories: Option<String>,
    /// Years and ranges, e.g. 1986-1989,1996
    #[arg(long, value_name = "LIST")]
    pub(crate) year_filter: Option<String>,
    /// Brands or sets, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) set_filter: Option<String>,
    /// Card names or numbers, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) card_filter: Option<String>,
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

impl SiteArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        vec![
            ("categories", "--categories", self.categories.as_deref()),
            ("year_filter", "--year-filter", self.year_filter.as_deref()),
            ("set_filter", "--set-filter", self.set_filter.as_deref()),
            ("card_filter", "--card-filter", self.card_filter.as_deref()),
            ("max_rate", "--max-rate", self.max_rate.as_deref()),
            ("fetch", "--fetch", self.fetch.as_deref()),
            ("profile", "--profile", self.profile.as_deref()),
            ("base_url", "--base-url", self.base_url.as_deref()),
        ]
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Show one run: settings, pages by level, runners, failed pages, sums that disagree
    #[command(after_help = "Examples:
  tagpipe run show                               the newest run
  tagpipe run show 12 --json")]
    Show {
        /// Its number [default: the newest]
        run: Option<i64>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe plan                                   what the next run would read, and how long that takes
  tagpipe plan --categories Hockey --max-age 30d
  tagpipe plan --full --json

It makes no request. What shows the same as when it was last read is left out.")]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) crawl: CrawlArguments,
}

impl PlanArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        self.crawl.given()
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe reparse --profile corrected.toml --dry-run    what would change, table by table
  tagpipe reparse --profile corrected.toml
  tagpipe reparse --categories Hockey --json

It makes no request: pages come from the documents that runs keep (--keep-documents). What was
seen when remains; what has no kept document is read by the next `tagpipe run`. Doing it again is
safe.
Exit codes: 0 everything fits, 1 could not run, 2 wrong usage or setting, 3 documents of some pages
do not fit the profile, 4 sums disagree, 7 the database went away, 130, 143 interrupted")]
pub(crate) struct ReparseArguments {
    /// Categories, as a comma list with * [default: all]
    #[arg(long, value_name = "LIST")]
    pub(crate) categories: Option<String>,
    /// Years and ranges, e.g. 1986-1989,1996
    #[arg(long, value_name = "LIST")]
    pub(crate) year_filter: Option<String>,
    /// Brands or sets, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) set_filter: Option<String>,
    /// Card names or numbers, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) card_filter: Option<String>,
    /// Site profile to use instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<String>,
    /// Write nothing, and show what would have been written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl ReparseArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        vec![
            ("categories", "--categories", self.categories.as_deref()),
            ("year_filter", "--year-filter", self.year_filter.as_deref()),
            ("set_filter", "--set-filter", self.set_filter.as_deref()),
            ("card_filter", "--card-filter", self.card_filter.as_deref()),
            ("profile", "--profile", self.profile.as_deref()),
        ]
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe probe                                  one page of each level, six requests at most
  tagpipe probe --categories Pokemon --save pages
  tagpipe probe --profile my.toml

It takes half a minute at the site's pace. Exit codes: 0 everything fits, 1 a page could not be read,
3 some cells could not be read, 6 the site refused, 8 the layout no longer fits the profile")]
pub(crate) struct ProbeArguments {
    #[command(flatten)]
    pub(crate) site: SiteArguments,
    /// Keep the pages in this folder, for `tagpipe profile try`
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe doctor
  tagpipe doctor --offline                       without asking the site
  tagpipe doctor --json

Exit codes: 0 nothing is wrong (warnings may be shown), 1 something must be mended, 2 a setting is wrong")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) site: SiteArguments,
    /// Do not ask the site
    #[arg(long)]
    pub(crate) offline: bool,
    /// Free disk space that is wanted, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) want_free: u64,
}
