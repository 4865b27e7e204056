//! The documents that pages were read from are kept where they were to be. Whether one still is what was read only its hash
//! can say, for which it has to be unpacked: that is left to a reparse.

use super::Check;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[Check {
    name: "documents",
    holds: "the documents of pages that were read and kept are all there, each with a body and its hash",
    advice: "`tagpipe reparse --dry-run` unpacks each document and compares its hash; `tagpipe run --full`, limited by \
             filters, reads lost ones again",
    sql: documents,
}];

fn documents(dialect: Dialect) -> String {
    // The newest reading of a page by a run that said what it keeps; reading kept documents again says nothing of it. A
    // later run may have read the page, kept that, and failed to verify it.
    let lost = format!(
        "SELECT page.page_key AS place, 'run ' || CAST(page.run_id AS text) || ' has read it, and its document is not kept' \
             AS what \
         FROM (SELECT read_.run_id, read_.level, coalesce(read_.subject_id, 0) AS subject_id, read_.page_key, runs.keep, \
                   row_number() OVER (PARTITION BY read_.level, coalesce(read_.subject_id, 0) \
                       ORDER BY read_.finished_at DESC, read_.id DESC) AS place \
               FROM (SELECT id, {keep} AS keep FROM runs) AS runs CROSS JOIN frontier AS read_ \
               WHERE read_.run_id = runs.id AND read_.state = 'completed' AND runs.keep IS NOT NULL) AS page \
         WHERE page.place = 1 AND page.keep <> 'none' AND NOT EXISTS (SELECT 1 FROM documents \
             WHERE documents.level = page.level AND documents.subject_id = page.subject_id \
                 AND (documents.superseded_at IS NULL OR documents.run_id >= page.run_id))",
        keep = dialect.json_field("config", "keep_documents"),
    );
    format!(
        "{lost} UNION ALL SELECT page_key, 'run ' || CAST(run_id AS text) || ': ' || CASE \
             WHEN length(hash) <> 64 THEN 'no hash' WHEN bytes < 0 THEN 'a size below zero' ELSE 'no body' END \
             || ' of document ' || CAST(id AS text) \
         FROM documents WHERE length(hash) <> 64 OR bytes < 0 OR length(body) = 0 \
         UNION ALL SELECT min(page_key), 'run ' || CAST(run_id AS text) || ': ' || CAST(count(*) AS text) || \
             ' documents, the last is number ' || CAST(max(part) AS text) \
         FROM documents GROUP BY level, subject_id, run_id HAVING max(part) <> count(*) OR min(part) <> 1"
    )
}
