//! `tagpipe reparse`: everything extracted again from the kept documents.

use tagpipe_engine::{ReparseReport, Shutdown, reparse as reparse_kept};

use super::looking;
use super::signals::{listen_for_signals, was_terminated};
use crate::cli::{GlobalArguments, ReparseArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, cut, duration, harmless, print, print_json, width};
use crate::report::grouped;
use crate::settings::{Merged, run_config};

/// Failed pages that are shown.
const SHOWN_MAX: usize = 10;

/// Reads the kept documents again and says what became of the rows.
pub(crate) async fn reparse(global: &GlobalArguments, arguments: &ReparseArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let mut config = run_config(&Merged::load(global.config.as_deref(), &given)?)?;
    config.dry_run = arguments.dry_run;
    // An older schema has no documents, so there is no need to bring it up to date.
    let store = looking::open_to_write(global).await?;
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let report = reparse_kept(&store, &config, &shutdown).await;
    signals.abort();
    store.close().await;
    let report = report.map_err(|error| {
        let mut failure = Failure::from(error);
        failure.message = failure.message.replace(
            "the same command with --resume goes on",
            "`tagpipe reparse` begins anew",
        );
        failure
    })?;
    if global.json {
        print_json(&report)?;
    } else if !global.quiet {
        print(&in_words(&report))?;
    }
    Ok(exit_of(&report))
}

fn exit_of(report: &ReparseReport) -> Exit {
    match report {
        ReparseReport { finished: false, .. } if was_terminated() => Exit::Terminated,
        ReparseReport { finished: false, .. } => Exit::Interrupted,
        ReparseReport { failed: 1.., .. } => Exit::PagesFailed,
        ReparseReport {
            discrepancies: 1.., ..
        } => Exit::SumsDisagree,
        _ => Exit::Done,
    }
}

fn in_words(report: &ReparseReport) -> String {
    let mut table = Table::new(&[
        ("table", Align::Left),
        ("pages", Align::Right),
        ("new", Align::Right),
        ("changed", Align::Right),
        ("same", Align::Right),
        ("vanished", Align::Right),
    ]);
    for one in &report.tables {
        let rows = &one.rows;
        table.row(&[
            one.table.to_owned(),
            grouped(one.pages),
            grouped(rows.new),
            grouped(rows.changed),
            grouped(rows.same),
            grouped(rows.vanished),
        ]);
    }
    let width = width();
    let mut text = table.render(width);
    for page in report.failed_pages.iter().take(SHOWN_MAX) {
        let line = format!("does not fit: {}: {}", page.page_key, page.reason);
        text.push_str(&cut(&harmless(&line), width));
        text.push('\n');
    }
    if report.failed > 0 {
        text.push_str(&format!(
            "pages whose documents do not fit profile {}: {}; nothing of theirs was touched\n",
            harmless(&report.profile),
            grouped(report.failed)
        ));
    }
    if report.superseded > 0 {
        text.push_str(&format!(
            "pages that were read anew meanwhile: {}\n",
            grouped(report.superseded)
        ));
    }
    if report.without_documents > 0 {
        text.push_str(&format!(
            "pages without a kept document: {}; another profile has `tagpipe run` ask the site for them\n",
            grouped(report.without_documents)
        ));
    }
    if report.discrepancies > 0 {
        text.push_str(&format!(
            "sums that disagree: {}\n",
            grouped(report.discrepancies)
        ));
    }
    if !report.finished {
        text.push_str("interrupted; `tagpipe reparse` does it again, from the beginning\n");
    }
    text.push_str(&match report.run_id {
        Some(run) => format!(
            "run {run}: {} pages read again in {}, without a request\n",
            grouped(report.pages),
            duration(report.elapsed_s)
        ),
        None => format!(
            "dry run: nothing was written; {} pages would be read again\n",
            grouped(report.pages)
        ),
    });
    text
}
