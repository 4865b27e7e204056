//! Arguments of the orchestrator.

use clap::Args;

use super::run::{CrawlArguments, with_exit_codes};
use crate::settings::Given;

#[derive(Debug, Default, Args)]
#[command(after_help = with_exit_codes("Examples:
  tagpipe orchestrate --num-runners 5 --concurrency 2 --delay 1
  tagpipe orchestrate --resume
  tagpipe orchestrate --database-url postgres://tagpipe@db.example.com/tagpipe --num-runners 3

A dry run is done by one process, which keeps its rows in memory:
  tagpipe orchestrate --dry-run --max-pages 50

On another machine, to help with run 12:
  tagpipe run --join 12 --database-url postgres://tagpipe@db.example.com/tagpipe"))]
// The budgets mean the whole run, however many runners there are.
#[command(mut_arg("max_pages", |option| option.help("Stop after this many page reads of all runners together; what has been out of date longest is read first")))]
pub(crate) struct OrchestrateArguments {
    #[command(flatten)]
    pub(crate) crawl: CrawlArguments,
    #[command(flatten)]
    pub(crate) runners: RunnersArguments,
}

impl OrchestrateArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        let mut given = self.crawl.given();
        given.extend(self.runners.given());
        given
    }
}

/// Which runners there are, and how they are looked after.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Runners")]
pub(crate) struct RunnersArguments {
    /// Runners that work at a time [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) num_runners: Option<String>,
    /// Time between two looks at the runners, in seconds [default: 10.0]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) check_interval: Option<String>,
    /// Folder that the runners work in [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub(crate) working_directory: Option<String>,
    /// Executable that is started as a runner; a script ends with `exec tagpipe "$@"` [default: this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) runner_path: Option<String>,
    /// Memory in MiB; a runner that uses more is replaced [default: 2048]
    #[arg(long, value_name = "MIB")]
    pub(crate) runner_memory_max: Option<String>,
}

impl RunnersArguments {
    fn given(&self) -> [Given<'_>; 5] {
        [
            ("num_runners", "--num-runners", self.num_runners.as_deref()),
            (
                "check_interval",
                "--check-interval",
                self.check_interval.as_deref(),
            ),
            (
                "working_directory",
                "--working-directory",
                self.working_directory.as_deref(),
            ),
            ("runner_path", "--runner-path", self.runner_path.as_deref()),
            (
                "runner_memory_max",
                "--runner-memory-max",
                self.runner_memory_max.as_deref(),
            ),
        ]
    }
}
