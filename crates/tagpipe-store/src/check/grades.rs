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
