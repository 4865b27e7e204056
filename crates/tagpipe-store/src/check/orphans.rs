//! Everything that belongs to something belongs to something that is there.

use super::Check;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[Check {
    name: "orphans",
    holds: "every row belongs to one that is there",
    advice: "rows were deleted by hand: restore a backup, or read again into a new database",
    sql: orphans,
}];

/// Table, what its rows are called, and the condition under which a row has lost what it belongs to.
const LOST: &[(&str, &str, &str)] = &[
    (
        "years",
        "year",
        "NOT EXISTS (SELECT 1 FROM categories WHERE categories.id = lost.category_id)",
    ),
    (
        "sets",
        "set",
        "NOT EXISTS (SELECT 1 FROM years WHERE years.id = lost.year_id)",
    ),
    (
        "cards",
        "card",
        "NOT EXISTS (SELECT 1 FROM sets WHERE sets.id = lost.set_id)",
    ),
    (
        "grade_rows",
        "certificate",
        "NOT EXISTS (SELECT 1 FROM cards WHERE cards.id = lost.card_id)",
    ),
    (
        "runners",
        "runner",
        "NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = lost.run_id)",
    ),
    (
        "frontier",
        "page",
        "NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = lost.run_id)",
    ),
    (
        "population_history",
        "history of a set",
        "lost.subject = 'set' AND NOT EXISTS (SELECT 1 FROM sets WHERE sets.id = lost.subject_id)",
    ),
    (
        "population_history",
        "history of a card",
        "lost.subject = 'card' AND NOT EXISTS (SELECT 1 FROM cards WHERE cards.id = lost.subject_id)",
    ),
];

/// What a row of a table is called.
fn name_of(table: &str) -> &'static str {
    match table {
        "years" => "lost.year",
        "sets" => "lost.brand || ' ' || lost.name",
        "cards" => "'#' || lost.number || ' ' || lost.name",
        "grade_rows" => "lost.cert_number",
        "runners" => "lost.runner_id",
        "frontier" => "lost.page_key",
        _ => "CAST(lost.subject_id AS text)",
    }
}

fn orphans(_: Dialect) -> String {
    let lost = LOST.iter().map(|(table, called, condition)| {
        format!(
            "SELECT '{called} ' || {name} AS place, 'belongs to nothing in the database' AS what \
             FROM {table} AS lost WHERE {condition}",
            name = name_of(table)
        )
    });
    lost.collect::<Vec<_>>().join(" UNION ALL ")
}
