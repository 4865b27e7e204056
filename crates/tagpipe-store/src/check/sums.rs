//! The sums of the whole stored catalogue, level by level, whichever run has read it.

use super::Check;
use super::json::{is_population_of, populations};
use super::place::Subject;
use crate::dialect::Dialect;

const READ_AGAIN: &str =
    "read them again: `tagpipe run --full`, limited by filters; what stays is the site's own";

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "year_sums",
        holds: "a year has the sets, cards and graded copies that its category promises",
        advice: READ_AGAIN,
        sql: year_sums,
    },
    Check {
        name: "set_sums",
        holds: "the cards of a set have the copies that its year promises, in all and by grade",
        advice: READ_AGAIN,
        sql: set_sums,
    },
    Check {
        name: "card_sums",
        holds: "a card has the certificates that its set promises, in all and by grade",
        advice: READ_AGAIN,
        sql: card_sums,
    },
    Check {
        name: "row_sums",
        holds: "the total of a set or card is the sum of its grades",
        advice: "look at the page: `tagpipe probe`; has a column moved, or has the scale another grade?",
        sql: row_sums,
    },
    Check {
        name: "discrepancies",
        holds: "no sum is left that a run could not reconcile",
        advice: "`tagpipe run --full` with filters reads the page again; a reading that agrees resolves it",
        sql: discrepancies,
    },
];

/// Which rows below a row are there now: those that its newest reading, at `read_at`, has shown. The one place that says
/// so; certificates have `vanished_at` alone.
fn living(table: &str, read_at: &str) -> String {
    format!("{table}.vanished_at IS NULL AND {table}.last_seen_at >= {read_at}")
}

/// The newest readings of the pages of a level: `subject_id`, `read_at`, and the newest run that read them, `run_id`.
fn readings(level: u8) -> String {
    format!(
        "SELECT page.subject_id, max(page.finished_at) AS read_at, max(page.run_id) AS run_id \
         FROM runs CROSS JOIN frontier AS page WHERE page.run_id = runs.id AND page.state = 'completed' AND page.level = {level} GROUP BY page.subject_id"
    )
}

/// That the cards of a set, read at `below.read_at`, may be others than those that its year counts: the set's page was not
/// read yet, the set has changed since, or the year has, and no run has looked at the set again. A filter or a budget
/// leaves such sets behind. They are due, and say nothing of the year.
fn is_behind_its_year() -> &'static str {
    "(sets.read_at IS NULL OR below.read_at IS NULL OR below.read_at < sets.changed_at \
      OR (below.read_at < years.changed_at AND NOT EXISTS (SELECT 1 FROM runs CROSS JOIN frontier AS looked \
          WHERE looked.run_id = runs.id AND looked.level = 3 AND looked.subject_id = sets.id \
              AND looked.state IN ('completed', 'unchanged') AND looked.finished_at >= years.changed_at)))"
}

/// Of `compared` (`subject_id`, `changed_at`, `what`, `expected`, `found`) what is wrong, by name.
///
/// A row that has changed since the page below it was read is due, not wrong. More than promised is what a population
/// leaves that grew between the two readings: wrong only when a run has ended since, and has not seen it move.
fn wrong(subject: Subject, compared: &str) -> String {
    let findings = format!(
        "SELECT * FROM ({compared}) AS compared WHERE expected <> found AND coalesce((SELECT CASE \
             WHEN page.finished_at < compared.changed_at THEN 0 WHEN compared.found < compared.expected THEN 1 \
             WHEN runs.state NOT IN ('reconciled', 'disputed') THEN 0 \
             WHEN EXISTS (SELECT 1 FROM discrepancies WHERE subject = '{name}' AND discrepancies.subject_id = \
                 compared.subject_id AND resolved_at IS NULL AND verdict = 'moved') THEN 0 ELSE 1 END \
             FROM runs CROSS JOIN frontier AS page WHERE page.run_id = runs.id AND page.level = {level} \
                 AND page.subject_id = compared.subject_id AND page.state = 'completed' \
             ORDER BY page.finished_at DESC LIMIT 1), 0) = 1 \
             AND NOT EXISTS (SELECT 1 FROM {name}s AS gone WHERE gone.id = compared.subject_id \
                 AND gone.vanished_at IS NOT NULL)",
        name = subject.name(),
        level = subject.level(),
    );
    let what = "found.what || ': ' || CAST(found.expected AS text) || ' promised, ' || CAST(found.found AS text) || ' stored'";
    subject.named(&findings, what)
}

fn year_sums(dialect: Dialect) -> String {
    let compared = format!(
        "SELECT years.id AS subject_id, years.changed_at, 'sets' AS what, years.sets_count AS expected, \
             (SELECT count(*) FROM sets WHERE sets.year_id = years.id AND {living_sets}) AS found \
         FROM years JOIN ({readings}) AS page ON page.subject_id = years.id \
         UNION ALL SELECT years.id, years.changed_at, 'graded copies', years.graded_count, \
             (SELECT {copies} FROM sets WHERE sets.year_id = years.id AND {living_sets}) \
         FROM years JOIN ({readings}) AS page ON page.subject_id = years.id \
         UNION ALL SELECT years.id, years.changed_at, 'cards', years.items_count, \
             (SELECT count(*) FROM sets JOIN ({set_readings}) AS below ON below.subject_id = sets.id \
              JOIN cards ON cards.set_id = sets.id AND {living_cards} \
              WHERE sets.year_id = years.id AND {living_sets}) \
         FROM years JOIN ({readings}) AS page ON page.subject_id = years.id \
         WHERE NOT EXISTS (SELECT 1 FROM sets LEFT JOIN ({set_readings}) AS below ON below.subject_id = sets.id \
             WHERE sets.year_id = years.id AND {living_sets} AND {is_behind})",
        living_sets = living("sets", "page.read_at"),
        living_cards = living("cards", "below.read_at"),
        readings = readings(2),
        set_readings = readings(3),
        is_behind = is_behind_its_year(),
        copies = dialect.sum("sets.total"),
    );
    wrong(Subject::Year, &compared)
}

fn set_sums(dialect: Dialect) -> String {
    let compared = format!(
        "SELECT sets.id AS subject_id, sets.changed_at, 'copies' AS what, sets.total AS expected, \
             (SELECT {copies} FROM cards WHERE cards.set_id = sets.id AND {living}) AS found \
         FROM sets JOIN ({readings}) AS page ON page.subject_id = sets.id \
         UNION ALL SELECT sets.id, sets.changed_at, 'copies at grade ' || counted.grade_code, counted.expected, \
             counted.found \
         FROM sets JOIN (SELECT set_id, grade_code, {expected} AS expected, {found} AS found FROM ( \
             SELECT promised.subject_id AS set_id, grade_code, copies AS expected, 0 AS found FROM ({of_sets}) AS promised \
             UNION ALL SELECT cards.set_id, grade_code, 0, copies FROM ({of_cards}) AS stored \
                 JOIN cards ON cards.id = stored.subject_id \
                 JOIN ({readings}) AS page ON page.subject_id = cards.set_id AND {living} \
         ) AS counts GROUP BY set_id, grade_code) AS counted ON counted.set_id = sets.id \
         WHERE counted.expected <> counted.found AND {is_known} AND NOT EXISTS (SELECT 1 FROM cards \
             WHERE cards.set_id = sets.id AND cards.vanished_at IS NULL AND NOT ({is_known_of_card}))",
        of_sets = populations(dialect, Subject::Set),
        of_cards = populations(dialect, Subject::Card),
        is_known = is_population_of(dialect, "sets.counts"),
        is_known_of_card = is_population_of(dialect, "cards.counts"),
        living = living("cards", "page.read_at"),
        readings = readings(3),
        copies = dialect.sum("cards.total"),
        expected = dialect.sum("expected"),
        found = dialect.sum("found"),
    );
    wrong(Subject::Set, &compared)
}

fn card_sums(dialect: Dialect) -> String {
    let compared = format!(
        "SELECT cards.id AS subject_id, cards.changed_at, 'certificates' AS what, cards.total AS expected, \
             count(grade_rows.id) AS found \
         FROM cards LEFT JOIN grade_rows ON grade_rows.card_id = cards.id AND grade_rows.vanished_at IS NULL \
         GROUP BY cards.id HAVING cards.total <> count(grade_rows.id) \
         UNION ALL SELECT cards.id, cards.changed_at, 'certificates at grade ' || counted.grade_code, \
             counted.expected, counted.found \
         FROM cards JOIN (SELECT card_id, grade_code, {expected} AS expected, {found} AS found FROM ( \
             SELECT promised.subject_id AS card_id, grade_code, copies AS expected, 0 AS found \
                 FROM ({of_cards}) AS promised \
             UNION ALL SELECT card_id, grade_code, 0, 1 FROM grade_rows WHERE vanished_at IS NULL \
         ) AS counts GROUP BY card_id, grade_code HAVING {expected} <> {found}) AS counted \
             ON counted.card_id = cards.id WHERE {is_known}",
        of_cards = populations(dialect, Subject::Card),
        is_known = is_population_of(dialect, "cards.counts"),
        expected = dialect.sum("expected"),
        found = dialect.sum("found"),
    );
    wrong(Subject::Card, &compared)
}

fn row_sums(dialect: Dialect) -> String {
    let of = |subject: Subject, table: &str| {
        let findings = format!(
            "SELECT {table}.id AS subject_id, {table}.total, {sum} AS of_grades \
             FROM {table} LEFT JOIN ({populations}) AS population ON population.subject_id = {table}.id \
             WHERE {table}.vanished_at IS NULL AND {is_known} GROUP BY {table}.id HAVING {table}.total <> {sum}",
            populations = populations(dialect, subject),
            is_known = is_population_of(dialect, &format!("{table}.counts")),
            sum = dialect.sum("population.copies"),
        );
        subject.named(
            &findings,
            "'the total is ' || CAST(found.total AS text) || ', its grades sum up to ' || CAST(found.of_grades AS text)",
        )
    };
    format!(
        "{} UNION ALL {}",
        of(Subject::Set, "sets"),
        of(Subject::Card, "cards")
    )
}

fn discrepancies(_: Dialect) -> String {
    "SELECT page_key AS place, discrepancies.what || ': ' || expected_by || ' says ' || expected || ', read ' || found \
         || CASE verdict WHEN 'unverified' THEN ' (not verified)' ELSE '' END \
         || ' in run ' || CAST(max(run_id) AS text) AS what \
     FROM discrepancies WHERE resolved_at IS NULL AND verdict <> 'moved' \
     GROUP BY page_key, discrepancies.what, expected, expected_by, found, verdict"
        .to_owned()
}
