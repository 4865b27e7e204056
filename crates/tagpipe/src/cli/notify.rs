//! Arguments of what tells people what happens.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Send a test message to each channel, or to one, and show what each answers
    #[command(after_help = "Examples:
  PIPELINE_NOTIFY_NTFY_URL=https://ntfy.sh/my-topic tagpipe notify test
  tagpipe notify test ops

Channels are settings: [[notify.channels]] in tagpipe.toml, or one of each kind by variables such as
PIPELINE_NOTIFY_SLACK_URL; docs/notifications.md describes them. Exit codes: 0 all took it, 1 one did not")]
    Test {
        /// Name of the channel [default: all]
        channel: Option<String>,
    },
    /// List the newest news and what became of it on each channel
    #[command(after_help = "Examples:
  tagpipe notify list
  tagpipe notify list --limit 100 --json")]
    List {
        /// How many pieces of news
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Send what waits now; for cron, where no service runs
    #[command(after_help = "Examples:
  tagpipe notify send
  tagpipe notify send --again                    also what was given up or put off

Quiet hours are kept. Exit codes: 0 nothing is left to be sent now, 1 a channel did not take it")]
    Send {
        /// Try what was given up or put off at once
        #[arg(long)]
        again: bool,
    },
    /// Look after the cards and sets that you want to hear of
    #[command(subcommand)]
    Watch(WatchCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WatchCommand {
    /// Watch cards or sets; what a run changes of them is told at its end
    #[command(after_help = "Examples:
  tagpipe notify watch add set 'Hockey/1989/Topps'
  tagpipe notify watch add set '*Upper Deck*'
  tagpipe notify watch add card 'Hockey/1989/Topps/156 Joe Sakic'
  tagpipe notify watch add card '*Gretzky*'
  tagpipe notify watch add card 'grade_rows/hockey/1989/Topps//Joe Sakic/156/'
  tagpipe notify watch add set 'https://my.example.com/pop-report/Hockey/1989/Topps'

Names match without case and accents, with `*` for any text; a slash within a name is written %2F.")]
    Add {
        /// What it is
        #[arg(value_enum)]
        subject: WatchedChoice,
        /// Which: a name, CATEGORY/YEAR/SET, CATEGORY/YEAR/SET/CARD, the key of a page, or its address
        which: String,
    },
    /// List what is watched
    #[command(after_help = "Examples:
  tagpipe notify watch list
  tagpipe notify watch list --json")]
    List,
    /// Watch something no longer
    #[command(after_help = "Examples:
  tagpipe notify watch remove 3")]
    Remove {
        /// Its number, as `tagpipe notify watch list` shows it
        id: i64,
    },
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchedChoice {
    /// Sets, and the cards in them
    Set,
    /// Cards, and their certificates
    Card,
}
