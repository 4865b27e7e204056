//! Places on a leaderboard are 1, 2, 3 and so on: a hole is a certificate that was lost.

use super::Check;
use super::place::Subject;

const ADVICE: &str = "a row of the card's page was lost or read twice: `tagpipe run --full`, limited by filters, reads it again";

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "ranks",
        holds: "the ranks of a card's certificates have no holes and no doubles",
        advice: ADVICE,
        sql: |_| places("rank", "", ""),
    },
    Check {
        name: "ranks_by_grade",
        holds: "the ranks within a grade have no holes and no doubles",
        advice: ADVICE,
        sql: |_| {
            places(
                "rank_by_grade",
                ", grade_code",
                " || ' at grade ' || found.grade_code",
            )
        },
    },
    Check {
        name: "chronology",
        holds: "the order of completion has no holes and no doubles",
        advice: ADVICE,
        sql: |_| places("chronology", "", ""),
    },
];

/// Holes and doubles of the places in `column`, which are counted from 1 within each card and `group`. The certificate
/// behind a hole or beside a double is named, so that the place can be found on the page.
fn places(column: &str, group: &str, of_group: &str) -> String {
    let same_group = match group {
        "" => "",
        _ => "AND row_.grade_code = found.grade_code",
    };
    let findings = format!(
        "SELECT card_id AS subject_id{group}, count({column}) AS places, count(DISTINCT {column}) AS different, \
             max({column}) AS last, min({column}) AS first \
         FROM grade_rows WHERE vanished_at IS NULL AND {column} IS NOT NULL GROUP BY card_id{group} \
         HAVING max({column}) <> count({column}) OR count(DISTINCT {column}) <> count({column}) OR min({column}) <> 1"
    );
    let near = format!(
        "(SELECT min(row_.cert_number) FROM grade_rows AS row_ WHERE row_.card_id = found.subject_id {same_group} \
             AND row_.vanished_at IS NULL AND row_.{column} > 0 AND ((row_.{column} > 1 AND NOT EXISTS (SELECT 1 FROM \
             grade_rows AS before WHERE before.card_id = row_.card_id AND before.vanished_at IS NULL \
             {before_group} AND before.{column} = row_.{column} - 1)) OR EXISTS (SELECT 1 FROM grade_rows AS same WHERE \
             same.card_id = row_.card_id AND same.vanished_at IS NULL {same_as_group} AND same.id <> row_.id \
             AND same.{column} = row_.{column})))",
        before_group = match group {
            "" => "",
            _ => "AND before.grade_code = row_.grade_code",
        },
        same_as_group = match group {
            "" => "",
            _ => "AND same.grade_code = row_.grade_code",
        },
    );
    let what = format!(
        "CAST(found.different AS text) || ' different places of ' || CAST(found.places AS text) || ', the last is ' || \
         CAST(found.last AS text){of_group} || coalesce('; at certificate ' || {near}, '')"
    );
    Subject::Card.named(&findings, &what)
}
