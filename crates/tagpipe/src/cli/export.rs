//! Arguments of `tagpipe export`.

use clap::{Args, ValueEnum};
use tagpipe_store::export::Level;

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  tagpipe export --to catalogue.csv              every listed card, with its names and its top grade
  tagpipe export --list                          what can be exported, column by column
  tagpipe export --table grade_rows --to certificates.parquet
  tagpipe export --table sets,cards,grade_rows --to report.xlsx
  tagpipe export --table sets,cards --format csv.gz --to s3://my-bucket/tagpipe/
  tagpipe export --table cards --split set --categories Hockey --format jsonl --to cards/
  tagpipe export --table cards --changed-since 'run 12' --to - --format jsonl | jq .name

Formats: csv, jsonl, json, parquet, xlsx (Excel), sqlite, arrow (IPC file). csv, jsonl, json and
sqlite may end in .gz or .zst. xlsx and sqlite take several tables in one file; of the others, each
table is a file in a folder.

Rows that the site lists no more are exported with the time in vanished_at, unless --current leaves
them out; the views catalogue, card_population and set_population have listed rows only. All tables
of an export are of one moment. Two exports of one state are the same, byte for byte. Beside the
file, or in the folder, a schema file tells columns, units, rows, checksums, how the newest run
ended and when the data was read.

A file is seen when it is whole, and then takes the place of one of the same name. docs/export.md
says the rest, such as what a spreadsheet may make of a CSV text that begins with =.

Which filters apply to which tables:
  --categories            all but grade_scale, discrepancies, runs, runners and the audit trail
  --year-filter           these, but categories and catalogue_history
  --set-filter            these, but years
  --changed-since         all but grade_scale
  --current               categories, years, sets, cards, grade_rows, and the three views
  --split LEVEL           as the filter of that level
A filter that does not apply to one of the tables is an error.

Exit codes: 0 exported, 1 could not be written, 2 wrong usage, 7 the database went away, 130 and 143 interrupted")]
pub(crate) struct ExportArguments {
    /// Tables and views, as a comma list [default: catalogue]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) table: Vec<String>,
    /// The format [default: what the name of the file ends in]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// File or folder: a path, or a URL with file, s3, gs or az; for csv, jsonl and json also - for standard output
    #[arg(long, value_name = "PATH|URL", required_unless_present = "list")]
    pub(crate) to: Option<String>,
    /// Only rows of these categories, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) categories: Option<String>,
    /// Only rows of these years and ranges, e.g. 1986-1989,1996
    #[arg(long, value_name = "LIST")]
    pub(crate) year_filter: Option<String>,
    /// Only rows of these brands or sets, as a comma list with *
    #[arg(long, value_name = "LIST")]
    pub(crate) set_filter: Option<String>,
    /// Only rows that are new, other or gone since then: 30m, 8h, 7d ago, a day or time such as 2026-11-24T08:00 (UTC), or
    /// the end of a run, such as 'run 12'
    #[arg(long, value_name = "TIME|RUN")]
    pub(crate) changed_since: Option<String>,
    /// Only rows that the site lists now
    #[arg(long)]
    pub(crate) current: bool,
    /// A file for each category, year or set, in folders named after them; those without rows have none
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) split: Option<SplitLevel>,
    /// Show what can be exported: tables, columns, units, meanings
    #[arg(long, conflicts_with_all = ["to", "format", "split", "current", "changed_since", "categories", "year_filter", "set_filter"])]
    pub(crate) list: bool,
}

/// By what rows are spread over files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitLevel {
    Category,
    Year,
    Set,
}

impl From<SplitLevel> for Level {
    fn from(level: SplitLevel) -> Level {
        match level {
            SplitLevel::Category => Level::Category,
            SplitLevel::Year => Level::Year,
            SplitLevel::Set => Level::Set,
        }
    }
}
