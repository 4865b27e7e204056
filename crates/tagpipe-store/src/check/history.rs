//! What is stored is the last that was observed, and what has left the site took along what was below it.

use super::Check;
use super::json::is_population_of;
use super::place::Subject;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "population_history",
        holds: "the last observed population of a set or a card is the one that its row has; one that has vanished has some",
        advice: "rows were changed by hand: `tagpipe reparse` writes them as they were read",
        sql: last_observed,
    },
    Check {
        name: "presence",
        holds: "what has vanished did so last by its history, and what is listed did not",
        advice: "rows were changed by hand: `tagpipe run --full`, limited by filters, reads the pages again",
        sql: |_| presence(),
    },
    Check {
        name: "vanished",
        holds: "nothing is listed below a set or a card that has left the site",
        advice: "rows were changed by hand: `tagpipe run --full`, limited by filters, reads the pages again",
        sql: |_| left_behind(),
    },
];

fn last_observed(dialect: Dialect) -> String {
    // The same counts may be spelled with and without spaces.
    let same = match dialect {
        Dialect::Sqlite => "json(last.counts) = json(row_.counts)",
        Dialect::Postgres => "last.counts = row_.counts",
    };
    let of = |subject: Subject, table: &str| {
        let findings = format!(
            "SELECT row_.id AS subject_id, row_.total, last.total AS observed FROM {table} AS row_ LEFT JOIN \
                 (SELECT subject_id, counts, total, row_number() OVER \
                      (PARTITION BY subject_id ORDER BY observed_at DESC, id DESC) AS place \
                  FROM population_history WHERE subject = '{name}') AS last \
                 ON last.subject_id = row_.id AND last.place = 1 \
             WHERE last.total IS NULL OR (row_.vanished_at IS NULL AND (last.total <> row_.total \
                 OR CASE WHEN {is_known} AND {was_known} THEN NOT ({same}) ELSE false END))",
            is_known = is_population_of(dialect, "row_.counts"),
            was_known = is_population_of(dialect, "last.counts"),
            name = subject.name(),
        );
        subject.named(
            &findings,
            "'its row says ' || CAST(found.total AS text) || ' copies, ' || \
             CASE WHEN found.observed IS NULL THEN 'its history nothing' \
                  WHEN found.observed = found.total THEN 'its history has them at other grades' \
                  ELSE 'its history ' || CAST(found.observed AS text) END",
        )
    };
    format!(
        "{} UNION ALL {}",
        of(Subject::Set, "sets"),
        of(Subject::Card, "cards")
    )
}

/// Rows whose presence is not that of their last event. By id: events are written in their order, while a correction may
/// date one back.
fn presence() -> String {
    let differs = |table: &str| {
        format!(
            "CASE WHEN {table}.vanished_at IS NULL THEN last.event = 'vanished' \
             ELSE coalesce(last.event, '') <> 'vanished' END"
        )
    };
    let words = |name: &str| {
        format!(
            "'{name}' || CASE WHEN found.is_listed = 1 THEN 'is listed, and has vanished by its history' \
             ELSE 'has vanished, and its history does not say so' END"
        )
    };
    let is_listed =
        |table: &str| format!("CASE WHEN {table}.vanished_at IS NULL THEN 1 ELSE 0 END AS is_listed");
    let catalogue = |table: &str, subject: &str, id: &str| {
        format!(
            "SELECT {id} {is_listed} FROM {table} LEFT JOIN (SELECT subject_id, event FROM catalogue_history \
                 WHERE id IN (SELECT max(id) FROM catalogue_history WHERE subject = '{subject}' \
                     AND event <> 'renamed' GROUP BY subject_id)) AS last ON last.subject_id = {table}.id \
             WHERE {differs}",
            is_listed = is_listed(table),
            differs = differs(table),
        )
    };
    let categories = format!(
        "SELECT found.name AS place, {} AS what FROM ({}) AS found",
        words(""),
        catalogue("categories", "category", "categories.name,"),
    );
    let below = [Subject::Year, Subject::Set, Subject::Card].map(|subject| {
        let table = format!("{}s", subject.name());
        let findings = catalogue(&table, subject.name(), &format!("{table}.id AS subject_id,"));
        subject.named(&findings, &words(""))
    });
    let certificates = Subject::Card.named(
        &format!(
            "SELECT grade_rows.card_id AS subject_id, grade_rows.cert_number, {is_listed} \
             FROM grade_rows LEFT JOIN (SELECT grade_row_id, event FROM certificate_history \
                 WHERE id IN (SELECT max(id) FROM certificate_history GROUP BY grade_row_id)) AS last \
                 ON last.grade_row_id = grade_rows.id WHERE {differs}",
            is_listed = is_listed("grade_rows"),
            differs = differs("grade_rows"),
        ),
        &words("certificate ' || found.cert_number || ' "),
    );
    format!(
        "{categories} UNION ALL {} UNION ALL {certificates}",
        below.join(" UNION ALL ")
    )
}

fn left_behind() -> String {
    let cards = Subject::Set.named(
        "SELECT sets.id AS subject_id, count(*) AS listed FROM sets JOIN cards ON cards.set_id = sets.id \
         WHERE sets.vanished_at IS NOT NULL AND cards.vanished_at IS NULL GROUP BY sets.id",
        "'has vanished, and ' || CAST(found.listed AS text) || ' of its cards have not'",
    );
    let certificates = Subject::Card.named(
        "SELECT cards.id AS subject_id, count(*) AS listed FROM cards JOIN grade_rows ON grade_rows.card_id = cards.id \
         WHERE cards.vanished_at IS NOT NULL AND grade_rows.vanished_at IS NULL GROUP BY cards.id",
        "'has vanished, and ' || CAST(found.listed AS text) || ' of its certificates have not'",
    );
    format!("{cards} UNION ALL {certificates}")
}
