//! What the profile promises of every row is there.

use super::Check;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[Check {
    name: "empty_values",
    holds: "no value is missing that every row has",
    advice: "has a column moved? `tagpipe probe` shows what the profile recognises",
    sql: empty_values,
}];

/// A table, the name of its rows, and what none may lack, as a condition and in words.
type Promised = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const PROMISED: &[Promised] = &[
    (
        "categories",
        "'category ' || CAST(id AS text) || ' ' || name",
        &[("name = ''", "no name")],
    ),
    (
        "years",
        "'year ' || CAST(id AS text) || ' ' || year",
        &[("year = ''", "no year")],
    ),
    (
        "sets",
        "'set ' || CAST(id AS text) || ' ' || brand || ' ' || name",
        &[
            ("brand = ''", "no brand"),
            ("url = ''", "no address"),
            ("total < 0", "a total below zero"),
        ],
    ),
    (
        "cards",
        "'card ' || CAST(id AS text) || ' #' || number || ' ' || name",
        &[
            ("name = ''", "no name"),
            ("url = ''", "no address"),
            ("total < 0", "a total below zero"),
        ],
    ),
    (
        "grade_rows",
        "'certificate ' || cert_number",
        &[
            ("cert_number = ''", "no number"),
            ("grade_text = ''", "no grade"),
            ("report_url = ''", "no address of its report"),
        ],
    ),
];

fn empty_values(_: Dialect) -> String {
    let lacking = PROMISED.iter().map(|(table, name, promises)| {
        let any: Vec<_> = promises.iter().map(|(condition, _)| *condition).collect();
        let words: Vec<_> = promises
            .iter()
            .map(|(condition, words)| format!("WHEN {condition} THEN '{words}'"))
            .collect();
        format!(
            "SELECT {name} AS place, CASE {words} END AS what FROM {table} WHERE ({any}) AND vanished_at IS NULL",
            words = words.join(" "),
            any = any.join(" OR ")
        )
    });
    lacking.collect::<Vec<_>>().join(" UNION ALL ")
}
