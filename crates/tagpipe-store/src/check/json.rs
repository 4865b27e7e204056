//! JSON that is what it should be. SQLite keeps it as text, which others may have written; PostgreSQL's type is JSON in any
//! case, though not always an object. One bad row must be a finding and not the end of all checks, so everybody else asks
//! here for populations, and passes over the rows that have none.

use super::Check;
use super::place::Subject;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[Check {
    name: "json",
    holds: "populations, settings, summaries and identities are JSON objects, and counts are whole numbers from 0 up",
    advice: "rows were changed by hand; the other checks pass over them. `tagpipe reparse` writes populations as they \
             were read; for the rest, restore a backup",
    sql: json,
}];

/// Table, column, what a row is called, and whether the column is a population.
const COLUMNS: &[(&str, &str, &str, bool)] = &[
    (
        "sets",
        "counts",
        "'set ' || CAST(id AS text) || ' ' || brand || ' ' || name",
        true,
    ),
    (
        "cards",
        "counts",
        "'card ' || CAST(id AS text) || ' #' || number || ' ' || name",
        true,
    ),
    (
        "population_history",
        "counts",
        "'history of ' || subject || ' ' || CAST(subject_id AS text) || ', entry ' || CAST(id AS text)",
        true,
    ),
    ("runs", "config", "'run ' || CAST(id AS text)", false),
    ("runs", "summary", "'run ' || CAST(id AS text)", false),
    (
        "frontier",
        "identity",
        "page_key || ' of run ' || CAST(run_id AS text)",
        false,
    ),
];

fn json(dialect: Dialect) -> String {
    let wrong = COLUMNS.iter().map(|(table, column, called, is_population)| {
        let (sound, should_be) = match is_population {
            true => (
                is_population_of(dialect, column),
                "no JSON object of whole numbers from 0 up",
            ),
            false => (is_object(dialect, column), "no JSON object"),
        };
        format!(
            "SELECT {called} AS place, '{column} is {should_be}' AS what FROM {table} \
             WHERE {column} IS NOT NULL AND NOT ({sound})"
        )
    });
    wrong.collect::<Vec<_>>().join(" UNION ALL ")
}

/// That `column` is a JSON object.
fn is_object(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => {
            format!("CASE WHEN json_valid({column}) THEN json_type({column}) = 'object' ELSE false END")
        }
        Dialect::Postgres => format!("jsonb_typeof({column}) = 'object'"),
    }
}

/// That `column` is a population: counts by grade.
pub(super) fn is_population_of(dialect: Dialect, column: &str) -> String {
    let is_object = is_object(dialect, column);
    match dialect {
        Dialect::Sqlite => format!(
            "CASE WHEN {is_object} THEN NOT EXISTS (SELECT 1 FROM json_each({column}) AS entry \
                 WHERE entry.type <> 'integer' OR typeof(entry.value) <> 'integer' OR entry.value < 0) ELSE false END"
        ),
        // The number is compared only where the text is one: a cast of anything else would end the query.
        Dialect::Postgres => format!(
            "CASE WHEN {is_object} THEN NOT EXISTS (SELECT 1 FROM jsonb_each({column}) AS entry \
                 WHERE CASE WHEN CAST(entry.value AS text) ~ '^[0-9]+$' \
                     THEN CAST(CAST(entry.value AS text) AS numeric) > 9223372036854775807 ELSE true END) ELSE false END"
        ),
    }
}

/// The populations of the listed sets or cards, one row for each grade: `subject_id`, `grade_code`, `copies`.
pub(super) fn populations(dialect: Dialect, subject: Subject) -> String {
    let table = format!("{}s", subject.name());
    let sound = is_population_of(dialect, &format!("{table}.counts"));
    let each = match dialect {
        Dialect::Sqlite => "json_each",
        Dialect::Postgres => "jsonb_each_text",
    };
    format!(
        "SELECT {table}.id AS subject_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies \
         FROM {table} CROSS JOIN {each}(CASE WHEN {sound} THEN {table}.counts ELSE '{{}}' END) AS entry \
         WHERE {table}.vanished_at IS NULL"
    )
}
