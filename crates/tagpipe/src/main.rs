//! tagpipe reads the TAG population report: command line and wiring.
//!
//! `main` is a switchboard: it parses, sets up logging, calls one command and maps its result to an exit code.

mod cli;
mod commands;
mod exit;
mod logging;
mod notifying;
mod output;
mod report;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use tagpipe_store::audit::AuditLevel;

use crate::cli::{Cli, Command, ConfigCommand, DbCommand, ProfileCommand, RunCommand};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.apply();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return report_failure(&Failure::could_not_run(format!("cannot start threads: {error}")));
        }
    };
    let ended = runtime.block_on(dispatch(cli));
    // Nothing that is worth waiting for is left: a page is committed whole or not at all.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => report_failure(&failure),
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let Cli { command, global, .. } = cli;
    match command {
        Command::Run(arguments) => match arguments.command {
            Some(RunCommand::Show { run }) => commands::runs::show(&global, run).await,
            None => commands::run::run(&global, &arguments).await,
        },
        Command::Orchestrate(arguments) => commands::orchestrate::orchestrate(&global, &arguments).await,
        Command::Demo(arguments) => commands::demo::demo(&global, &arguments).await,
        Command::DemoSite(arguments) => commands::demo_site::demo_site(&global, &arguments).await,
        Command::Serve(arguments) => commands::serve::serve(&global, &arguments).await,
        Command::Schedule(command) => commands::schedule::schedule(&global, &command).await,
        Command::Token(command) => commands::token::token(&global, &command).await,
        Command::Notify(command) => commands::notify::notify(&global, &command).await,
        Command::Status(arguments) => commands::status::status(&global, &arguments).await,
        Command::Plan(arguments) => commands::plan::plan(&global, &arguments).await,
        Command::Runs(arguments) => commands::runs::runs(&global, &arguments).await,
        Command::Diff(arguments) => commands::diff::diff(&global, &arguments).await,
        Command::Check(arguments) => commands::check::check(&global, &arguments).await,
        Command::Audit(arguments) => commands::audit::audit(&global, &arguments, None).await,
        Command::Errors(arguments) => {
            commands::audit::audit(&global, &arguments, Some(AuditLevel::Error)).await
        }
        Command::Retry(arguments) => commands::retry::retry(&global, &arguments).await,
        Command::Export(arguments) => commands::export::export(&global, &arguments).await,
        Command::Reparse(arguments) => commands::reparse::reparse(&global, &arguments).await,
        Command::Show(arguments) => commands::show::show(&global, &arguments).await,
        Command::Backup(arguments) => commands::backup::backup(&global, &arguments).await,
        Command::Restore(arguments) => commands::restore::restore(&global, &arguments).await,
        Command::Probe(arguments) => commands::probe::probe(&global, &arguments).await,
        Command::Doctor(arguments) => commands::doctor::doctor(&global, &arguments).await,
        Command::Config(ConfigCommand::Show { changed }) => commands::config::show(&global, changed),
        Command::Profile(ProfileCommand::Show) => commands::profile::show(),
        Command::Profile(ProfileCommand::Check { file }) => commands::profile::check(&file),
        Command::Profile(ProfileCommand::Try {
            file,
            page,
            level,
            url,
        }) => commands::profile::try_page(&file, &page, level.as_deref(), url.as_deref(), global.json),
        Command::Db(DbCommand::Migrate) => commands::db::migrate(&global).await,
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { reference: true, .. } => commands::manual::reference(),
        Command::Man { to, .. } => commands::manual::man(to.as_deref()),
    }
}

fn report_failure(failure: &Failure) -> ExitCode {
    anstream::eprintln!("{failure}");
    failure.exit.into()
}
