//! Arguments of the commands that look into the database.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe status
  tagpipe status --watch                         again and again, until Ctrl-C
  tagpipe status --json")]
pub(crate) struct StatusArguments {
    /// Show it again every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) watch: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe runs
  tagpipe runs --limit 5 --before 100            five runs older than run 100
  tagpipe run show 12                            one of them, with everything that is known")]
pub(crate) struct RunsArguments {
    /// Most runs shown
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Only runs older than this one
    #[arg(long, value_name = "RUN")]
    pub(crate) before: Option<i64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe check
  tagpipe check --limit 100                      name more of what is wrong
  tagpipe check --json | jq '.checks[] | select(.found > 0)'

Nothing is written and nothing is asked of the site. Exit codes: 0 it holds together, 4 it does not")]
pub(crate) struct CheckArguments {
    /// Most findings named of each check; all are counted
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe audit --since 1h
  tagpipe audit --run 12 --level WARNING
  tagpipe errors --runner runner_1 --json
  tagpipe audit --page 'cards/hockey/1989/*'     all pages whose keys begin so
  tagpipe errors --follow                        new entries as they come, until Ctrl-C

An entry's number, shown in front, is what --before takes to go on to older ones.")]
pub(crate) struct AuditArguments {
    /// This level and above: DEBUG, INFO, WARNING, ERROR or CRITICAL [default: all; for `errors` ERROR]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Only this kind: operation, error or result
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only by the runner of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) runner: Option<String>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<i64>,
    /// Only about the page with this key, or about those whose keys begin as what stands before a `*`
    #[arg(long, value_name = "KEY")]
    pub(crate) page: Option<String>,
    /// Only since then: 30m, 8h, 7d ago, or a time such as 2026-11-24T08:00 (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Most entries shown
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// Only entries older than the one of this number
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<i64>,
    /// Show new entries as they come
    #[arg(long, short, conflicts_with = "before")]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe show A1234567
  tagpipe show A1234567 --json
  tagpipe show A1234567 --document > page.html   the page that it was read from")]
pub(crate) struct ShowArguments {
    /// Number of the certificate
    #[arg(value_name = "CERT")]
    pub(crate) cert: String,
    /// Write the kept document to standard output
    #[arg(long)]
    pub(crate) document: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe retry                                  all failed pages of the newest run
  tagpipe retry --run 12 --level card --cause timeout,network
  tagpipe retry --since 2h && tagpipe run --resume

Causes: incomplete, empty, not_found, soft_404, rate_limited, busy, timeout, network, layout_changed")]
pub(crate) struct RetryArguments {
    /// The run [default: the newest]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<i64>,
    /// Only pages of these levels: category, year, set, card, graderows
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) level: Vec<String>,
    /// Only pages that failed for these causes
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) cause: Vec<String>,
    /// Only pages that failed since then: 30m, 8h, 7d ago, or a time such as 2026-11-24T08:00 (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe diff                                   what the newest run found changed
  tagpipe diff --since 7d
  tagpipe diff --since 2026-11-01 --categories Hockey --year-filter 1986-1989
  tagpipe diff 12 15                             between the ends of run 12 and run 15
  tagpipe diff --since 7d --format csv > changes.csv
  tagpipe diff --since 7d --json | jq '.counts'

A row tells the state at the one time against the state at the other, however often it changed in between.")]
pub(crate) struct DiffArguments {
    /// Compare with the end of this run [default: the run before the newest]
    #[arg(value_name = "FROM", conflicts_with = "since")]
    pub(crate) from: Option<i64>,
    /// Compare the end of this run with it [default: now]
    #[arg(value_name = "TO")]
    pub(crate) to: Option<i64>,
    /// The same as FROM
    #[arg(long = "from", value_name = "RUN", conflicts_with_all = ["from", "since"])]
    pub(crate) from_run: Option<i64>,
    /// The same as TO
    #[arg(long = "to", value_name = "RUN", conflicts_with = "to")]
    pub(crate) to_run: Option<i64>,
    /// Compare with that time: 30m, 8h, 7d ago, or a day or time such as 2026-11-24T08:00 (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// How it is written: table, json or csv [default: table]
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    pub(crate) format: Option<DiffFormat>,
    /// The same as --format csv
    #[arg(long, conflicts_with_all = ["json", "format"])]
    pub(crate) csv: bool,
    /// Most rows of a table; JSON and CSV have all [default: 50 on a terminal, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Only these categories, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) categories: Option<String>,
    /// Only these years and ranges, e.g. 1986-1989,1996
    #[arg(long, value_name = "LIST")]
    pub(crate) year_filter: Option<String>,
    /// Only these brands or sets, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) set_filter: Option<String>,
    /// Only these card names or numbers, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) card_filter: Option<String>,
}

/// How differences are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DiffFormat {
    Table,
    Json,
    Csv,
}
