//! Grades stand on the scale of the profile that read them.

use super::Check;
use super::json::populations;
use super::place::Subject;
use crate::dialect::Dialect;

const ADVICE: &str = "has the site a new grade, or has a column moved? `tagpipe probe` shows a page, `tagpipe profile check` the scale";

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "grades_of_certificates",
        holds: "a certificate's grade is on the scale, with the number that the scale gives it",
        advice: ADVICE,
        sql: certificates,
    },
    Check {
        name: "grade_texts",
        holds: "a certificate's grade is worded as its scale has it: number, label and score",
        advice: ADVICE,
        sql: |_| texts(),
    },
    Check {
        name: "scores",
        holds: "a score lies between 0 and 1000",
        advice: ADVICE,
        sql: |_| scores(),
    },
    Check {
        name: "completion_dates",
        holds: "a certificate was completed on a day, since 2000, and not years after it was seen",
        advice: "has a column moved, or the format of days? `tagpipe probe` shows a page",
        sql: completion_dates,
    },
    Check {
        name: "grades_of_populations",
        holds: "a population is counted by grades of the scale",
        advice: ADVICE,
        sql: of_populations,
    },
];

fn certificates(_: Dialect) -> String {
    let findings = "SELECT grade_rows.card_id AS subject_id, grade_rows.cert_number, grade_rows.grade_text, \
             CASE WHEN scale.code IS NULL THEN 'is not on the scale' ELSE 'has another number on the scale' END AS how \
         FROM grade_rows LEFT JOIN grade_scale AS scale ON scale.code = grade_rows.grade_code \
         WHERE grade_rows.vanished_at IS NULL \
             AND (scale.code IS NULL OR scale.grade IS DISTINCT FROM grade_rows.grade)";
    Subject::Card.named(
        findings,
        "'certificate ' || found.cert_number || ': ' || found.grade_text || ' ' || found.how",
    )
}

/// A text shows its score, its label and its number, and no label of another grade of the same number. How a number is
/// written is the site's own: where no certificate of a grade shows it as a word, none has to.
fn texts() -> String {
    let words = "' ' || replace(replace(grade_text, '(', ' '), ')', ' ') || ' '";
    let number = "CASE WHEN scale.grade = CAST(scale.grade AS bigint) THEN CAST(CAST(scale.grade AS bigint) AS text) \
                  ELSE CAST(scale.grade AS text) END";
    let has_word = |word: &str| format!("replace({words}, ' ' || {word} || ' ', '') <> {words}");
    let has_number = format!(
        "({} OR {})",
        has_word(number),
        has_word(&format!("{number} || '.0'"))
    );
    let has_score = has_word("CAST(score AS text)");
    let findings = format!(
        "SELECT * FROM (SELECT card_id AS subject_id, cert_number, grade_text, CASE \
             WHEN score IS NOT NULL AND NOT ({has_score}) THEN 'does not show the score ' || CAST(score AS text) \
             WHEN grade_label <> '' AND grade_label <> scale.label AND replace(grade_text, grade_label, '') = grade_text \
                 THEN 'does not show the label ' || grade_label \
             WHEN scale.grade IS NULL AND replace(lower(grade_text), lower(scale.code), '') = lower(grade_text) \
                 THEN 'does not show the grade ' || scale.code \
             WHEN scale.grade IS NOT NULL AND (EXISTS (SELECT 1 FROM grade_scale AS other WHERE other.code <> scale.code \
                     AND other.grade = scale.grade AND scale.label = '' AND {other_label}) \
                 OR (scale.label <> '' AND NOT ({own_label}))) \
                 THEN 'has not the label of grade ' || scale.code \
             WHEN scale.grade IS NOT NULL AND NOT {has_number} AND scale.code IN (SELECT scale.code FROM grade_rows \
                 JOIN grade_scale AS scale ON scale.code = grade_rows.grade_code WHERE {has_number}) \
                 THEN 'does not show the grade ' || scale.code END AS how \
         FROM grade_rows JOIN grade_scale AS scale ON scale.code = grade_rows.grade_code \
         WHERE grade_rows.vanished_at IS NULL) AS texts WHERE how IS NOT NULL",
        other_label = begins_with("other.label"),
        own_label = begins_with("scale.label"),
    );
    Subject::Card.named(
        &findings,
        "'certificate ' || found.cert_number || ': ' || found.grade_text || ' ' || found.how",
    )
}

/// That a certificate's label begins with this one of the scale, as the profile tells grades of one number apart.
fn begins_with(label: &str) -> String {
    format!("({label} <> '' AND lower(substr(grade_label, 1, length({label}))) = lower({label}))")
}

fn scores() -> String {
    Subject::Card.named(
        "SELECT card_id AS subject_id, cert_number, score FROM grade_rows \
         WHERE vanished_at IS NULL AND (score < 0 OR score > 1000)",
        "'certificate ' || found.cert_number || ': ' || CAST(found.score AS text)",
    )
}

/// Years after it was seen, because a stand-in for the site may live ahead of the clock.
fn completion_dates(dialect: Dialect) -> String {
    let wrong = match dialect {
        // A column of texts: what is no date, or one that no calendar has, comes back otherwise or not at all.
        Dialect::Sqlite => {
            "date(completed_on) IS NOT completed_on OR completed_on > date(last_seen_at, '+5 years')"
        }
        Dialect::Postgres => "NOT isfinite(completed_on) OR completed_on > last_seen_at + interval '5 years'",
    };
    let findings = format!(
        "SELECT card_id AS subject_id, cert_number, CAST(completed_on AS text) AS completed_on FROM grade_rows \
         WHERE vanished_at IS NULL AND completed_on IS NOT NULL AND (completed_on < '2000-01-01' OR {wrong})"
    );
    Subject::Card.named(
        &findings,
        "'certificate ' || found.cert_number || ': completed on ' || found.completed_on",
    )
}

fn of_populations(dialect: Dialect) -> String {
    let of = |subject: Subject| {
        let findings = format!(
            "SELECT * FROM ({}) AS population WHERE grade_code NOT IN (SELECT code FROM grade_scale)",
            populations(dialect, subject)
        );
        subject.named(
            &findings,
            "CAST(found.copies AS text) || ' copies at grade ' || found.grade_code",
        )
    };
    format!("{} UNION ALL {}", of(Subject::Set), of(Subject::Card))
}
