//! `tagpipe show`: where and when a certificate was read, and its history.

use std::io::Write;

use serde_json::Value;
use tagpipe_engine::unpack;
use tagpipe_store::{CertificateEvent, CertificateOrigin, Lineage};

use super::looking;
use crate::cli::{GlobalArguments, ShowArguments};
use crate::exit::{Exit, Failure};
use crate::output::{cut, harmless, print, print_json, width};
use crate::report::grouped;

/// Shows a certificate, or writes the document that it was read from.
pub(crate) async fn show(global: &GlobalArguments, arguments: &ShowArguments) -> Result<Exit, Failure> {
    if arguments.document && global.json {
        return Err(Failure::usage(
            "--document writes the page itself; leave --json out",
        ));
    }
    let store = looking::open(global).await?;
    let failed = |error| Failure::reading(&error);
    let cert = arguments.cert.trim();
    let Some(found) = store.certificate(cert).await.map_err(failed)? else {
        let near = store.nearest_certificates(cert, 3).await.map_err(failed)?;
        return Err(Failure::could_not_run(unknown(cert, &near)));
    };
    if arguments.document {
        let Some(lineage) = &found.lineage else {
            return Err(Failure::could_not_run(not_kept(&found)));
        };
        let document = store.document(lineage.document_id).await.map_err(failed)?;
        store.close().await;
        let document = document.ok_or_else(|| Failure::could_not_run(not_kept(&found)))?;
        let html = unpack(&document).map_err(|error| Failure::could_not_run(error.to_string()))?;
        return write_out(&html);
    }
    store.close().await;
    if global.json {
        print_json(&found)?;
    } else {
        print(&in_words(&found))?;
    }
    Ok(Exit::Done)
}

/// The document to its last byte: no colour is taken out of it.
fn write_out(html: &str) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(html.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::could_not_run(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(Exit::Done),
    }
}

fn unknown(cert: &str, near: &[String]) -> String {
    let cert = harmless(cert);
    match near {
        [] => format!("no certificate is stored yet, so none is `{cert}`; `tagpipe run` reads them"),
        near => {
            let near: Vec<_> = near.iter().map(|one| format!("`{}`", harmless(one))).collect();
            format!(
                "no certificate `{cert}` is stored; near it are {}",
                near.join(", ")
            )
        }
    }
}

fn not_kept(found: &CertificateOrigin) -> String {
    format!(
        "the document that `{}` was read from is not kept; `--keep-documents last` keeps it at the next reading",
        harmless(&found.cert_number)
    )
}

fn in_words(found: &CertificateOrigin) -> String {
    let mut lines = vec![
        format!("certificate {}", found.cert_number),
        format!("  card        {}", found.place.join(" · ")),
    ];
    let row = match &found.row {
        Value::Object(row) => row.clone(),
        _ => serde_json::Map::new(),
    };
    for (column, value) in row {
        let shown = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        lines.push(format!("  {:<11} {shown}", column.replace('_', " ")));
    }
    match &found.lineage {
        Some(lineage) => lines.extend(read_from(lineage)),
        None => lines.push("  document    not kept".to_owned()),
    }
    for event in &found.history {
        lines.push(format!("  {}  {}", event.at, what_happened(event)));
    }
    let width = width();
    lines
        .iter()
        .map(|line| cut(&harmless(line), width) + "\n")
        .collect()
}

fn what_happened(event: &CertificateEvent) -> String {
    let what = event.what.replace('_', " ");
    match (event.what.as_str(), &event.before, &event.after) {
        ("moved" | "regraded", Some(before), Some(after)) => format!("{what}: {before} → {after}"),
        _ => what,
    }
}

fn read_from(lineage: &Lineage) -> [String; 3] {
    [
        format!("  page        {}", lineage.url),
        format!(
            "  read        {} by run {}, profile {}",
            lineage.fetched_at, lineage.run_id, lineage.profile
        ),
        format!(
            "  document    {} bytes, SHA-256 {}",
            grouped(lineage.bytes),
            lineage.hash
        ),
    ]
}
