//! What is stored is the last that was observed, and what has left the site took along what was below it.

use super::Check;
use super::json::is_population_of;
use super::place::Subject;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "population_history",
        holds: "the last observed population of a set or a card is the one that its row has",
        advice: "rows were changed by hand: `tagpipe reparse` writes them as they were read",
        sql: last_observed,
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
             WHERE row_.vanished_at IS NULL AND (last.total IS NULL OR last.total <> row_.total \
                 OR CASE WHEN {is_known} AND {was_known} THEN NOT ({same}) ELSE false END)",
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
