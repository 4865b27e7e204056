//! `tagpipe completions` and `tagpipe man`: from the one definition of the command line.

use std::fmt::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output::print;
use crate::settings::KNOWN;

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

/// Columns of the help in the reference page.
const REFERENCE_WIDTH: usize = 100;

/// Prints the reference page: every command's help, then every setting.
pub(crate) fn reference() -> Result<Exit, Failure> {
    let mut text =
        "# Reference\n\nMade from the program's own definition by `scripts/reference`; do not edit.\n\n\
                    ## Commands\n"
            .to_owned();
    let mut command = Cli::command()
        .term_width(REFERENCE_WIDTH)
        .disable_help_subcommand(true);
    command.build();
    add_command(&mut text, &mut command, "tagpipe");
    text.push_str(
        "\n## Settings\n\nFlags win over the environment, that over `.env`, that over `tagpipe.toml`. A secret may also stand \
         in a file: `POSTGRES_PASSWORD_FILE` and `DATABASE_URL_FILE` name it.\n\n\
         | key in `tagpipe.toml` | variable | default | takes |\n|---|---|---|---|\n",
    );
    for known in KNOWN {
        let code = |text: Option<&str>| {
            text.filter(|text| !text.is_empty())
                .map_or_else(String::new, |text| format!("`{text}`"))
        };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            known.key,
            code(known.variable),
            code(known.default),
            known.takes
        );
    }
    text.push_str(
        "\n`POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_USER`, `POSTGRES_PASSWORD` and `POSTGRES_DB` together name a \
         PostgreSQL database where `database_url` is not set.\n",
    );
    print(&text)?;
    Ok(Exit::Done)
}

fn add_command(text: &mut String, command: &mut Command, path: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n### {path}\n\n```text\n{}\n```\n", lines.join("\n")));
    let names: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(below) = command.find_subcommand_mut(&name) {
            add_command(text, below, &format!("{path} {name}"));
        }
    }
}
