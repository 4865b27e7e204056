//! Databases to export: rows that are hard to write, the same on both engines, and rows by the million.

use sea_orm::ConnectionTrait;
use tagpipe_store::Store;

/// What a site could call things.
pub(super) const HOSTILE: [&str; 30] = [
    "plain",
    "",
    " padded ",
    "a,b;c\td",
    "say \"hello\"",
    "it's",
    "two\nlines",
    "carriage\r\nreturn",
    "\"",
    ",",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1",
    "@SUM(A1)",
    "\u{202e}right to left \u{5d0}\u{5d1}",
    "🃏👩\u{200d}👩\u{200d}👧",
    "e\u{301}\u{323}",
    "\u{1}\u{1b}[31m\u{7f}",
    "_x0041_",
    "<b>&amp;</b>]]>",
    "\\N",
    "NULL",
    "nan",
    "0012",
    "1e5",
    "2026-11-24",
    "../../etc/passwd",
    "\u{feff}mark",
    "\u{2028}line",
    "ヴァイス",
];

/// Rows of each table that was filled, by [`hostile`].
pub(super) const ROWS: u64 = HOSTILE.len() as u64;

/// A number that a double does not hold.
const LARGE: i64 = 9_007_199_254_740_993;

/// Fills every table with hostile texts, missing values, large numbers and documents. The same SQL on both engines.
pub(super) async fn hostile(store: &Store) {
    let long = "very long ".repeat(900);
    let text = |at: usize| match at % HOSTILE.len() {
        0 => quoted(&long),
        place => quoted(HOSTILE[place]),
    };
    let time = |at: usize| format!("'2026-11-24T07:48:{:02}.{:03}Z'", at % 60, at * 31 % 1000);
    let or_null = |at: usize, value: String| {
        if at.is_multiple_of(3) {
            "NULL".to_owned()
        } else {
            value
        }
    };
    let mut sql = String::new();
    let mut insert = |table: &str, columns: &str, values: &[String]| {
        sql.push_str(&format!(
            "INSERT INTO {table} ({columns}) VALUES ({});\n",
            values.join(", ")
        ));
    };
    let seen = "first_seen_at, changed_at, last_seen_at, vanished_at, seen_by_run";
    for at in 1..=HOSTILE.len() {
        let id = at.to_string();
        let seen_values = || {
            [
                time(at),
                time(at + 1),
                time(at + 2),
                or_null(at, time(at + 3)),
                or_null(at + 1, "1".to_owned()),
            ]
        };
        let document = quoted(
            &serde_json::json!({ "z": HOSTILE[at % HOSTILE.len()], "a": { "n": LARGE, "m": [null, true, 1.5] } }).to_string(),
        );
        let total = if at == 5 { LARGE } else { at as i64 };
        let counts = format!("'{{\"9\": {at}, \"10P\": 1, \"VA\": 2}}'");
        let mut values = vec![id.clone(), text(at), quoted(&format!("key {at}")), text(at + 1)];
        values.extend(seen_values());
        insert("categories", &format!("id, name, name_key, url, {seen}"), &values);
        let mut values = vec![id.clone(), id.clone(), id.clone(), text(at + 2)];
        values.extend([total.to_string(), "0".into(), "-1".into(), text(at)]);
        values.extend(seen_values());
        values.push(or_null(at, time(at)));
        insert(
            "years",
            &format!(
                "id, category_id, natural_key, year, sets_count, items_count, graded_count, url, {seen}, read_at"
            ),
            &values,
        );
        let mut values = vec![id.clone(), id.clone(), id.clone(), text(at), text(at + 7)];
        values.extend([text(at), counts.clone(), total.to_string()]);
        values.extend(seen_values());
        values.push(or_null(at + 1, time(at)));
        insert(
            "sets",
            &format!("id, year_id, natural_key, brand, name, url, counts, total, {seen}, verified_at"),
            &values,
        );
        let mut values = vec![
            id.clone(),
            id.clone(),
            id.clone(),
            text(at + 3),
            text(at),
            text(at + 11),
        ];
        values.extend([text(at + 5), counts.clone(), total.to_string()]);
        values.extend(seen_values());
        insert(
            "cards",
            &format!("id, set_id, natural_key, number, name, variation, url, counts, total, {seen}"),
            &values,
        );
        let mut values = vec![
            id.clone(),
            quoted(&format!("00{at}")),
            id.clone(),
            or_null(at, id.clone()),
        ];
        values.extend([
            text(at),
            or_null(at + 1, format!("{at}.5")),
            text(at + 1),
            quoted("9"),
        ]);
        values.extend([
            or_null(at + 2, "890".into()),
            or_null(at, format!("'19{:02}-02-28'", at + 1)),
        ]);
        values.push(text(at + 2));
        values.extend(seen_values());
        insert(
            "grade_rows",
            &format!(
                "id, cert_number, card_id, rank, grade_text, grade, grade_label, grade_code, score, completed_on, report_url, {seen}"
            ),
            &values,
        );
        let subject = if at % 2 == 0 { "'set'" } else { "'card'" }.to_owned();
        insert(
            "population_history",
            "id, subject, subject_id, observed_at, run_id, counts, total",
            &[
                id.clone(),
                subject,
                id.clone(),
                time(at),
                "1".into(),
                counts,
                total.to_string(),
            ],
        );
        insert(
            "catalogue_history",
            "id, subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after",
            &[
                id.clone(),
                "'card'".into(),
                id.clone(),
                "'renamed'".into(),
                time(at),
                or_null(at, "1".into()),
                or_null(at, text(at)),
                or_null(at, text(at + 1)),
                or_null(at, text(at + 2)),
                or_null(at, text(at + 3)),
            ],
        );
        insert(
            "certificate_history",
            "id, grade_row_id, event, observed_at, run_id, card_before, grade_before, card_after, grade_after",
            &[
                id.clone(),
                id.clone(),
                "'moved'".into(),
                time(at),
                or_null(at, "1".into()),
                or_null(at, id.clone()),
                or_null(at, text(at)),
                id.clone(),
                quoted("9"),
            ],
        );
        insert(
            "discrepancies",
            "id, subject, subject_id, page_key, what, expected, expected_by, found, run_id, created_at, resolved_at",
            &[
                id.clone(),
                "'card'".into(),
                id.clone(),
                text(at),
                text(at + 1),
                text(at + 2),
                text(at + 3),
                text(at + 4),
                "1".into(),
                time(at),
                or_null(at, time(at + 1)),
            ],
        );
        insert(
            "runs",
            "id, state, started_at, finished_at, config, summary",
            &[
                id.clone(),
                if at % 2 == 0 { "'disputed'" } else { "'reconciled'" }.into(),
                time(at),
                time(at + 1),
                document.clone(),
                or_null(at, document.clone()),
            ],
        );
        insert(
            "runners",
            "instance, run_id, runner_id, host, pid, state, started_at, heartbeat_at, ended_why, bytes",
            &[
                quoted(&format!("instance {at}")),
                id.clone(),
                text(at),
                text(at + 1),
                id.clone(),
                "'finished'".into(),
                time(at),
                time(at + 1),
                text(at + 2),
                total.to_string(),
            ],
        );
        insert(
            "audit_logs",
            "id, created_at, level, kind, runner_id, run_id, page_key, operation, message, context",
            &[
                id,
                time(at),
                "'ERROR'".into(),
                ["'operation'", "'error'", "'result'"][at % 3].into(),
                text(at),
                or_null(at, "1".into()),
                or_null(at + 1, text(at)),
                text(at + 2),
                text(at),
                document,
            ],
        );
        let scale = [
            text(at).replacen('\'', &format!("'{at} "), 1),
            at.to_string(),
            or_null(at, "9.5".into()),
            text(at),
        ];
        insert("grade_scale", "code, position, grade, label", &scale);
    }
    // All at once: one flush of the disk.
    let all = format!("BEGIN; {sql} COMMIT;");
    store.connection().execute_unprepared(&all).await.expect("rows");
}

/// Fills an SQLite database with `cards` cards of one set, each with 16 grades: 16 times as many rows of `card_population`.
pub(super) async fn many(store: &Store, cards: u64) {
    let at = "'2026-11-24T07:48:09.567Z'";
    let seen = format!("{at}, {at}, {at}");
    let counts: Vec<String> = (0..16)
        .map(|grade| format!("\"{grade}\":' || (i % 97 + {grade}) || '"))
        .collect();
    let all = format!(
        "BEGIN; \
         INSERT INTO categories (id, name, name_key, url, first_seen_at, changed_at, last_seen_at) \
         VALUES (1, 'Hockey', 'hockey', '/c', {seen}); \
         INSERT INTO years (id, category_id, natural_key, year, sets_count, items_count, graded_count, url, first_seen_at, \
             changed_at, last_seen_at) VALUES (1, 1, '1989', '1989', 1, 1, 1, '/y', {seen}); \
         INSERT INTO sets (id, year_id, natural_key, brand, name, url, counts, total, first_seen_at, changed_at, last_seen_at) \
         VALUES (1, 1, 'topps', 'Topps', '', '/s', '{{}}', 0, {seen}); \
         INSERT INTO cards (set_id, natural_key, number, name, variation, url, counts, total, first_seen_at, changed_at, \
             last_seen_at, verified_at) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {cards}) \
         SELECT 1, 'card ' || i, i, 'A \"name\", ' || i, '', '/k', '{{{counts}}}', i, {seen}, \
             CASE WHEN i % 3 = 0 THEN {at} END FROM n; \
         COMMIT;",
        counts = counts.join(","),
    );
    store.connection().execute_unprepared(&all).await.expect("rows");
}

/// A text of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
