//! `tagpipe completions` and `tagpipe man`: from the one definition of the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output::print;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tagpipe", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes a man page for each command into `folder`, or prints the main one.
pub(crate) fn man(folder: Option<&Path>) -> Result<Exit, Failure> {
    let command = Cli::command().disable_help_subcommand(true);
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::could_not_run(error.to_string()))?;
        print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| {
            Failure::could_not_run(format!(
                "cannot write man pages to `{}`: {error}",
                folder.display()
            ))
        })?;
    Ok(Exit::Done)
}
