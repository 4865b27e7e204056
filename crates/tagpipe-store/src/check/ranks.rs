//! Places on a leaderboard are 1, 2, 3 and so on: a hole is a certificate that was lost.

use super::Check;
use super::place::Subject;

const ADVICE: &str = "a row of the card's page was lost or read twice: `tagpipe run --full`, limited by filters, reads it again";

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "ranks",
        holds: "the ranks of a card's certificates have no holes and no doubles",
        advice: ADVICE,
        sql: |_| places("rank", "count(rank)", &OF_CARD),
    },
    Check {
        name: "rank_order",
        holds: "no certificate is ranked above one of a better grade",
        advice: "grades or ranks of two certificates were exchanged: `tagpipe reparse` writes them as they were read",
        sql: |_| order(),
    },
    Check {
        name: "ranks_by_grade",
        holds: "the ranks within a grade have no holes and no doubles",
        advice: ADVICE,
        sql: |_| places("rank_by_grade", "count(rank_by_grade)", &OF_GRADE),
    },
    Check {
        name: "chronology",
        holds: "the order of completion has no holes and no doubles",
        advice: ADVICE,
        sql: |_| places("chronology", "count(chronology)", &OF_CARD),
    },
    Check {
        name: "chronology_by_grade",
        holds: "the order of completion within a grade has no holes and no doubles",
        advice: ADVICE,
        // The site withholds some; they have their places all the same.
        sql: |_| places("chron_by_grade", "count(*)", &OF_GRADE),
    },
];

/// Ranks follow the grade, then the score; scores are not shown by all, so that only grades can be compared. A certificate
/// without a grade of the scale, or without a rank, is passed over.
fn order() -> String {
    Subject::Card.named(
        "SELECT * FROM (SELECT card_id AS subject_id, cert_number, rank, grade_code, scale.position, \
             lag(rank) OVER by_rank AS rank_above, lag(grade_code) OVER by_rank AS grade_above, \
             lag(scale.position) OVER by_rank AS position_above \
         FROM grade_rows JOIN grade_scale AS scale ON scale.code = grade_rows.grade_code \
         WHERE vanished_at IS NULL AND rank IS NOT NULL \
         WINDOW by_rank AS (PARTITION BY card_id ORDER BY rank, grade_rows.id)) AS ranked \
         WHERE rank_above < rank AND position_above < position",
        "'certificate ' || found.cert_number || ' has grade ' || found.grade_code || ' on rank ' || \
         CAST(found.rank AS text) || ', below grade ' || found.grade_above",
    )
}

/// What places are counted within: columns beside the card, how two rows are seen to share them, and what a finding adds.
struct Group {
    columns: &'static str,
    shared: fn(&str, &str) -> String,
    words: &'static str,
}

const OF_CARD: Group = Group {
    columns: "",
    shared: |_, _| String::new(),
    words: "",
};

const OF_GRADE: Group = Group {
    columns: ", grade_code",
    shared: |one, other| format!("AND {one}.grade_code = {other}.grade_code"),
    words: " || ' at grade ' || found.grade_code",
};

/// Holes and doubles of the places in `column`, which are counted from 1 to `last` within each card and `group`. The
/// certificate behind a hole or beside a double is named, so that the place can be found on the page.
fn places(column: &str, last: &str, group: &Group) -> String {
    let Group {
        columns,
        shared,
        words,
    } = group;
    let findings = format!(
        "SELECT card_id AS subject_id{columns}, count({column}) AS places, count(DISTINCT {column}) AS different, \
             max({column}) AS last, min({column}) AS first \
         FROM grade_rows WHERE vanished_at IS NULL GROUP BY card_id{columns} \
         HAVING max({column}) > {last} OR count(DISTINCT {column}) <> count({column}) OR min({column}) < 1"
    );
    let near = format!(
        "(SELECT min(row_.cert_number) FROM grade_rows AS row_ WHERE row_.card_id = found.subject_id {of_found} \
             AND row_.vanished_at IS NULL AND row_.{column} > 0 AND ((row_.{column} > 1 AND NOT EXISTS (SELECT 1 FROM \
             grade_rows AS before WHERE before.card_id = row_.card_id AND before.vanished_at IS NULL \
             {of_before} AND before.{column} = row_.{column} - 1)) OR EXISTS (SELECT 1 FROM grade_rows AS same WHERE \
             same.card_id = row_.card_id AND same.vanished_at IS NULL {of_same} AND same.id <> row_.id \
             AND same.{column} = row_.{column})))",
        of_found = shared("row_", "found"),
        of_before = shared("before", "row_"),
        of_same = shared("same", "row_"),
    );
    let what = format!(
        "CAST(found.different AS text) || ' different places of ' || CAST(found.places AS text) || ', the last is ' || \
         CAST(found.last AS text){words} || coalesce('; at certificate ' || {near}, '')"
    );
    Subject::Card.named(&findings, &what)
}
