//! Where a stored row comes from: the page, the reading and the document.

use serde::Serialize;
use serde_json::Value as Json;

use crate::connect::Store;
use crate::error::StoreError;

/// The document that a row was last read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// Its id in `documents`.
    pub document_id: i64,
    /// Key of its page.
    pub page_key: String,
    /// Path and query.
    pub url: String,
    /// The run that fetched it.
    pub run_id: i64,
    /// When.
    pub fetched_at: String,
    /// Name and version of the profile that read it last.
    pub profile: String,
    /// SHA-256 before compression.
    pub hash: String,
    /// Size before compression, in bytes.
    pub bytes: u64,
}

/// A certificate, where it was read, and what is known of its past.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CertificateOrigin {
    /// Its number.
    pub cert_number: String,
    /// Category, year, set and card, as far as they are not empty.
    pub place: Vec<String>,
    /// Path and query of its card's page.
    pub card_url: String,
    /// Its row, by column.
    pub row: Json,
    /// Where it was last read from; `None` if that document is not kept.
    pub lineage: Option<Lineage>,
    /// What happened to it, oldest first.
    pub history: Vec<CertificateEvent>,
}

/// Something that happened to a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateEvent {
    /// When.
    pub at: String,
    /// `first_seen`, `changed`, `vanished`, `returned`, `moved`, `regraded` or `last_seen`.
    pub what: String,
    /// Card and grade before, of a certificate that moved or was regraded.
    pub before: Option<String>,
    /// Card and grade after.
    pub after: Option<String>,
}

/// Columns of a certificate that are shown.
const COLUMNS: [&str; 12] = [
    "rank",
    "grade_text",
    "grade",
    "grade_label",
    "grade_code",
    "score",
    "rank_by_grade",
    "chronology",
    "chron_by_grade",
    "completed_on",
    "report_url",
    "cert_number",
];

/// Columns whose values are numbers.
const NUMBERS: [&str; 6] = [
    "rank",
    "grade",
    "score",
    "rank_by_grade",
    "chronology",
    "chron_by_grade",
];

fn json_of(column: &str, text: Option<String>) -> Json {
    let Some(text) = text else { return Json::Null };
    match text.parse::<serde_json::Number>() {
        Ok(number) if NUMBERS.contains(&column) => Json::Number(number),
        _ => Json::String(text),
    }
}

impl Store {
    /// The certificate with this number; `None` if it is not stored. Case does not matter.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn certificate(&self, number: &str) -> Result<Option<CertificateOrigin>, StoreError> {
        let dialect = self.dialect;
        let iso = |column: &str| dialect.iso(&format!("stored.{column}"));
        let values = COLUMNS
            .map(|column| {
                format!(
                    "{} AS {column}",
                    dialect.as_text_value(&format!("stored.{column}"))
                )
            })
            .join(", ");
        let sql = format!(
            "SELECT stored.id, {values}, {first} AS first_seen_at, {changed} AS changed_at, {last} AS last_seen_at, \
                 {vanished} AS vanished_at, cards.url AS card_url, categories.name AS category, years.year, sets.brand, \
                 sets.name AS set_name, cards.number, cards.name, cards.variation \
             FROM grade_rows AS stored JOIN cards ON cards.id = stored.card_id JOIN sets ON sets.id = cards.set_id \
             JOIN years ON years.id = sets.year_id JOIN categories ON categories.id = years.category_id \
             WHERE stored.cert_number = $1 OR stored.cert_number = upper($1) LIMIT 1",
            first = iso("first_seen_at"),
            changed = iso("changed_at"),
            last = iso("last_seen_at"),
            vanished = iso("vanished_at"),
        );
        let rows = self.rows(dialect.statement(sql, [dialect.text(number)])).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let text = |column: &str| -> Result<Option<String>, StoreError> { Ok(row.try_get("", column)?) };
        let mut columns = serde_json::Map::new();
        for column in COLUMNS.iter().filter(|column| **column != "cert_number") {
            columns.insert((*column).to_owned(), json_of(column, text(column)?));
        }
        let mut place = Vec::new();
        for column in [
            "category",
            "year",
            "brand",
            "set_name",
            "number",
            "name",
            "variation",
        ] {
            place.extend(text(column)?.filter(|part| !part.is_empty()));
        }
        let mut history = Vec::new();
        for (column, what) in [
            ("first_seen_at", "first_seen"),
            ("changed_at", "changed"),
            ("last_seen_at", "last_seen"),
        ] {
            history.extend(text(column)?.map(|at| CertificateEvent {
                at,
                what: what.to_owned(),
                before: None,
                after: None,
            }));
        }
        history.extend(self.certificate_events(row.try_get("", "id")?).await?);
        history.sort_by(|left, right| left.at.cmp(&right.at));
        Ok(Some(CertificateOrigin {
            cert_number: text("cert_number")?.unwrap_or_default(),
            place,
            card_url: text("card_url")?.unwrap_or_default(),
            row: Json::Object(columns),
            lineage: self.lineage("grade_rows", row.try_get("", "id")?).await?,
            history,
        }))
    }

    /// What is on record of a certificate since it was first seen.
    async fn certificate_events(&self, row: i64) -> Result<Vec<CertificateEvent>, StoreError> {
        let card = |which: &str| {
            format!(
                "(SELECT sets.brand || ' ' || sets.name || ' #' || cards.number || ' ' || cards.name || ' ' || cards.variation \
                     FROM cards JOIN sets ON sets.id = cards.set_id WHERE cards.id = event.card_{which}) \
                     || ', grade ' || event.grade_{which} AS {which}_it"
            )
        };
        let sql = format!(
            "SELECT {at} AS at, event.event AS what, {before}, {after} FROM certificate_history AS event \
             WHERE event.grade_row_id = $1 ORDER BY event.observed_at, event.id",
            at = self.dialect.iso("event.observed_at"),
            before = card("before"),
            after = card("after"),
        );
        let rows = self.rows(self.dialect.statement(sql, [row.into()])).await?;
        let in_one_line =
            |text: Option<String>| text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        rows.iter()
            .map(|row| {
                Ok(CertificateEvent {
                    at: row.try_get("", "at")?,
                    what: row.try_get("", "what")?,
                    before: in_one_line(row.try_get("", "before_it")?),
                    after: in_one_line(row.try_get("", "after_it")?),
                })
            })
            .collect()
    }

    /// The document that a row was last read from, if it is kept.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn lineage(&self, table: &str, row: i64) -> Result<Option<Lineage>, StoreError> {
        let sql = format!(
            "SELECT document_id, page_key, url, run_id, {fetched} AS fetched_at, profile, hash, bytes FROM lineage \
             WHERE row_table = $1 AND row_id = $2 ORDER BY document_id DESC LIMIT 1",
            fetched = self.dialect.iso("fetched_at"),
        );
        let rows = self
            .rows(self.dialect.statement(sql, [table.into(), row.into()]))
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let bytes: i64 = row.try_get("", "bytes")?;
        Ok(Some(Lineage {
            document_id: row.try_get("", "document_id")?,
            page_key: row.try_get("", "page_key")?,
            url: row.try_get("", "url")?,
            run_id: row.try_get("", "run_id")?,
            fetched_at: row.try_get("", "fetched_at")?,
            profile: row.try_get("", "profile")?,
            hash: row.try_get("", "hash")?,
            bytes: bytes.unsigned_abs(),
        }))
    }

    /// Stored numbers next to one that is not stored, by their order; none in an empty database. Looks into the index only.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn nearest_certificates(&self, number: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let number = number.to_uppercase();
        let mut near = Vec::new();
        for (relation, order) in [("<=", "DESC"), (">", "ASC")] {
            let sql = format!(
                "SELECT cert_number FROM grade_rows WHERE cert_number {relation} $1 ORDER BY cert_number {order} LIMIT $2"
            );
            let values = [self.dialect.text(&number), i64::from(limit).into()];
            for row in self.rows(self.dialect.statement(sql, values)).await? {
                let stored: String = row.try_get("", "cert_number")?;
                near.push(stored);
            }
        }
        let shared = |stored: &String| {
            stored
                .chars()
                .zip(number.chars())
                .take_while(|(left, right)| left == right)
                .count()
        };
        near.sort_by_key(|stored| std::cmp::Reverse(shared(stored)));
        near.truncate(limit as usize);
        Ok(near)
    }
}
