//! Arguments of the service, its schedules and its tokens.

use clap::{Args, Subcommand, ValueEnum};

use crate::settings::Given;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tagpipe serve                                  http://127.0.0.1:8080/, for this machine alone
  tagpipe serve --base-url http://127.0.0.1:8770 of the demo site
  tagpipe token add grafana --scope read
  tagpipe serve --listen 0.0.0.0:8080            for others, with a token
  tagpipe serve --listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem

Stopped by SIGTERM or Ctrl-C, it lets its runs finish the pages in hand; they go on when it is started next. The API is
described at /api, figures for Prometheus are at /metrics.")]
pub(crate) struct ServeArguments {
    /// Address and port to listen on; on another address than this machine's own a token is needed [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Certificate chain in PEM, for HTTPS
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// Private key in PEM, for HTTPS
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Origin of the site that its runs read [default: the profile's]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Site profile of its runs [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<String>,
    /// Runners of a run, if it asks for no other number [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) num_runners: Option<String>,
}

impl ServeArguments {
    pub(crate) fn given(&self) -> Vec<Given<'_>> {
        vec![
            ("listen", "--listen", self.listen.as_deref()),
            ("tls_cert", "--tls-cert", self.tls_cert.as_deref()),
            ("tls_key", "--tls-key", self.tls_key.as_deref()),
            ("base_url", "--base-url", self.base_url.as_deref()),
            ("profile", "--profile", self.profile.as_deref()),
            ("num_runners", "--num-runners", self.num_runners.as_deref()),
        ]
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules and their next times
    #[command(after_help = "Examples:
  tagpipe schedule list
  tagpipe schedule list --json")]
    List,
    /// Add a schedule; a running `tagpipe serve` sees it at once
    #[command(after_help = "Examples:
  tagpipe schedule add weekly '0 3 * * SUN' --time-zone Europe/Berlin
  tagpipe schedule add hockey '30 2 * * *' --set categories=Hockey --set max_pages=500 --jitter 10m
  tagpipe schedule add hourly '0 * * * *' --when-busy queue --catch-up 6h

What a run may be told is what `tagpipe run` takes, by its key in tagpipe.toml: `tagpipe config show` lists them.")]
    Add(Box<ScheduleArguments>),
    /// Remove a schedule, and what it has ordered that was not begun
    #[command(after_help = "Examples:
  tagpipe schedule remove weekly")]
    Remove {
        /// Its name
        name: String,
    },
    /// Let the times of a schedule count
    #[command(after_help = "Examples:
  tagpipe schedule enable weekly")]
    Enable {
        /// Its name
        name: String,
    },
    /// Let the times of a schedule pass
    #[command(after_help = "Examples:
  tagpipe schedule disable weekly")]
    Disable {
        /// Its name
        name: String,
    },
    /// Show what a cron pattern means: the next five times, on the zone's clocks and in UTC
    #[command(after_help = "Examples:
  tagpipe schedule preview '0 3 * * SUN' --time-zone America/New_York")]
    Preview {
        /// Five fields, or six with seconds
        cron: String,
        /// IANA name of the time zone [default: PIPELINE_TIMEZONE, or UTC]
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleArguments {
    /// Its name
    pub(crate) name: String,
    /// When: a cron pattern of five fields, or six with seconds
    pub(crate) cron: String,
    /// IANA name of the time zone [default: PIPELINE_TIMEZONE, or UTC]
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// A setting of its runs, such as categories=Hockey; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) options: Vec<String>,
    /// Longest random delay of a beginning, e.g. 10m [default: none]
    #[arg(long, value_name = "TIME")]
    pub(crate) jitter: Option<String>,
    /// What to do while a run is under way
    #[arg(long, value_enum, value_name = "WHAT", default_value = "skip")]
    pub(crate) when_busy: WhenBusy,
    /// How long after a time that was missed it is still made up for, e.g. 6h [default: not at all]
    #[arg(long, value_name = "TIME")]
    pub(crate) catch_up: Option<String>,
    /// Write it without letting its times count
    #[arg(long)]
    pub(crate) disabled: bool,
}

/// What to do while a run is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenBusy {
    /// Leave this time out
    Skip,
    /// Begin when the other run has ended
    Queue,
    /// Stop the other run, and begin
    Stop,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and show its secret, once
    #[command(after_help = "Examples:
  tagpipe token add me --scope control
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/api/v1/status")]
    Add {
        /// Its name
        name: String,
        /// What it allows
        #[arg(long, value_enum, value_name = "SCOPE", default_value = "read")]
        scope: TokenScope,
    },
    /// List the tokens, without their secrets
    #[command(after_help = "Examples:
  tagpipe token list
  tagpipe token list --json")]
    List,
    /// End a token
    #[command(after_help = "Examples:
  tagpipe token revoke grafana")]
    Revoke {
        /// Its name
        name: String,
    },
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenScope {
    /// To look
    Read,
    /// To start, steer and schedule, too
    Control,
}
