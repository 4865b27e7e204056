//! A certificate is one, on one card.

use super::Check;
use super::place::Subject;
use crate::dialect::Dialect;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "certificates_spelled_alike",
        holds: "no two certificates differ by spaces, hyphens, case or leading zeros alone",
        advice: "one of them is a misreading; `tagpipe run --full` for both cards marks the wrong one as vanished",
        sql: spelled_alike,
    },
    Check {
        name: "certificates_on_two_cards",
        holds: "no certificate is listed by two cards",
        advice: "look at both pages on the site; the one that stays is the site's own mistake",
        sql: on_two_cards,
    },
];

/// A certificate's number without what a reader may spell otherwise: the letter, then its digits as a number.
fn plain(column: &str) -> String {
    let letters = format!("upper(replace(replace({column}, ' ', ''), '-', ''))");
    format!("ltrim(substr({letters}, 1, 1), '0') || ltrim(substr({letters}, 2), '0')")
}

fn spelled_alike(dialect: Dialect) -> String {
    let plain = plain("cert_number");
    let code = dialect.by_bytes("cert_number");
    format!(
        "SELECT 'certificate ' || min({code}) AS place, \
             CAST(count(*) AS text) || ' spellings, up to ' || max({code}) AS what \
         FROM grade_rows WHERE vanished_at IS NULL GROUP BY {plain} HAVING count(*) > 1"
    )
}

/// Those of which the other card's page was not read since: had it been, and listed the certificate no more, there
/// would be nothing to tell.
fn on_two_cards(_: Dialect) -> String {
    let findings = "SELECT shared.card_id AS subject_id, shared.cert_number, shared.other_card_id \
         FROM shared_certificates AS shared \
         JOIN grade_rows ON grade_rows.cert_number = shared.cert_number AND grade_rows.card_id = shared.card_id \
             AND grade_rows.vanished_at IS NULL \
         WHERE NOT EXISTS (SELECT 1 FROM runs CROSS JOIN frontier AS page WHERE page.run_id = runs.id \
             AND page.level = 4 AND page.subject_id = shared.other_card_id AND page.state = 'completed' \
             AND page.finished_at > shared.seen_at) \
         GROUP BY shared.card_id, shared.cert_number, shared.other_card_id";
    Subject::Card.named(
        findings,
        "'certificate ' || found.cert_number || ' is on ' || \
         (SELECT other.name || ' #' || other.number FROM cards AS other WHERE other.id = found.other_card_id) || ', too'",
    )
}
