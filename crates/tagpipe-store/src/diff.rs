//! What differs between two times: the state of the catalogue at one against its state at the other, however often
//! things changed in between.
//!
//! Everything comes from indexes over time: the rows of a history within the span, of which the last one of each
//! subject counts, and what was there before. A small difference costs little, whatever the size of the catalogue.

use sea_orm::QueryResult;
use serde::Serialize;
use tagpipe_core::model::{Identity, PageKind};

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::Dialect;
use crate::error::StoreError;

/// The time after `from_us` up to `until_us`, in microseconds since 1970 by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The state at this time is compared …
    pub from_us: i64,
    /// … with the state at this one.
    pub until_us: i64,
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A category.
    Category,
    /// A year of a category.
    Year,
    /// A set, or its population at a grade.
    Set,
    /// A card, or its population at a grade.
    Card,
    /// A certificate.
    Certificate,
}

impl Subject {
    /// As it is shown and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Subject::Category => "category",
            Subject::Year => "year",
            Subject::Set => "set",
            Subject::Card => "card",
            Subject::Certificate => "certificate",
        }
    }

    /// The kind of the page that a filter would ask about.
    #[must_use]
    pub fn page_kind(self) -> PageKind {
        match self {
            Subject::Category => PageKind::Years,
            Subject::Year => PageKind::Sets,
            Subject::Set => PageKind::Cards,
            Subject::Card | Subject::Certificate => PageKind::GradeRows,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It was seen for the first time.
    New,
    /// It is no longer listed.
    Vanished,
    /// It is listed again.
    Returned,
    /// It has another name.
    Renamed,
    /// It belongs to another card.
    Moved,
    /// It has another grade.
    Regraded,
    /// There are more copies at this grade.
    Grown,
    /// There are fewer copies at this grade.
    Fallen,
}

impl Difference {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Difference::New => "new",
            Difference::Vanished => "vanished",
            Difference::Returned => "returned",
            Difference::Renamed => "renamed",
            Difference::Moved => "moved",
            Difference::Regraded => "regraded",
            Difference::Grown => "grown",
            Difference::Fallen => "fallen",
        }
    }
}

/// One difference. Parts that its subject does not have are empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// What became of it.
    pub change: Difference,
    /// Which row, by its present name; of a certificate, its card at the end of the span, or the one it was on.
    #[serde(flatten)]
    pub identity: Identity,
    /// Number of the certificate.
    pub cert_number: String,
    /// The grade that a population or a certificate is of.
    pub grade: String,
    /// Copies, name, card or grade before.
    pub before: String,
    /// Copies, name, card or grade after.
    pub after: String,
    /// When it was last observed, in UTC.
    pub observed_at: String,
    /// The run that observed it, if it is on record.
    pub run_id: Option<RunId>,
}

/// What is looked through, one after the other, in the order in which it is told.
const PARTS: [Part; 12] = [
    Part::New(Subject::Category),
    Part::New(Subject::Year),
    Part::New(Subject::Set),
    Part::New(Subject::Card),
    Part::Presence,
    Part::Renamed(Subject::Category),
    Part::Renamed(Subject::Set),
    Part::Renamed(Subject::Card),
    Part::Population(Subject::Set),
    Part::Population(Subject::Card),
    Part::NewCertificates,
    Part::Certificates,
];

/// What watches look through: a certificate that is new shows in the population of its card.
const PARTS_WATCHED: [Part; 8] = [
    Part::New(Subject::Set),
    Part::New(Subject::Card),
    Part::Presence,
    Part::Renamed(Subject::Set),
    Part::Renamed(Subject::Card),
    Part::Population(Subject::Set),
    Part::Population(Subject::Card),
    Part::Certificates,
];

#[derive(Debug, Clone, Copy)]
enum Part {
    New(Subject),
    Presence,
    Renamed(Subject),
    Population(Subject),
    NewCertificates,
    Certificates,
}

/// A walk through the differences of a span, a bounded number at a time.
#[derive(Debug)]
pub struct DiffWalk {
    span: Span,
    parts: &'static [Part],
    part: usize,
    /// Time and id of the last row of the part that was looked at.
    after: (i64, i64),
}

impl DiffWalk {
    /// From the first difference of `span` on.
    #[must_use]
    pub fn new(span: Span) -> DiffWalk {
        DiffWalk::through(&PARTS, span)
    }

    /// The same, of what watches are about.
    pub(crate) fn of_watches(span: Span) -> DiffWalk {
        DiffWalk::through(&PARTS_WATCHED, span)
    }

    fn through(parts: &'static [Part], span: Span) -> DiffWalk {
        DiffWalk {
            span,
            parts,
            part: 0,
            after: (span.from_us, i64::MAX),
        }
    }
}

/// A run within a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunInSpan {
    /// Its number.
    pub id: RunId,
    /// `running`, `interrupted`, `reconciled` or `disputed`.
    pub state: String,
    /// When it began, in UTC.
    pub started_at: String,
    /// When it ended, in UTC.
    pub finished_at: Option<String>,
}

impl Store {
    /// The next differences of `walk`, from at most `limit` rows of the history; `None` when there are no more. Part by
    /// part, each in the order of observation.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn next_changes(
        &self,
        walk: &mut DiffWalk,
        limit: u32,
    ) -> Result<Option<Vec<Change>>, StoreError> {
        let Some(part) = walk.parts.get(walk.part) else {
            return Ok(None);
        };
        let (after_us, after_id) = walk.after;
        let values = [
            walk.span.from_us.into(),
            walk.span.until_us.into(),
            after_us.into(),
            after_id.into(),
            i64::from(limit).into(),
        ];
        let rows = self
            .rows(self.dialect.statement(part.query(self.dialect), values))
            .await?;
        if rows.len() < limit as usize {
            *walk = DiffWalk {
                part: walk.part + 1,
                ..DiffWalk::through(walk.parts, walk.span)
            };
        } else if let Some(last) = rows.last() {
            walk.after = (last.try_get("", "at_us")?, last.try_get("", "id")?);
        }
        let mut changes = Vec::new();
        for row in &rows {
            part.read(row, &mut changes)?;
        }
        Ok(Some(changes))
    }

    /// The runs that were under way within `span`, oldest first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn runs_within(&self, span: Span) -> Result<Vec<RunInSpan>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT id, state, {started} AS started_at, {finished} AS finished_at FROM runs \
             WHERE started_at <= {until} AND (finished_at IS NULL OR finished_at > {from}) ORDER BY id",
            started = dialect.iso("started_at"),
            finished = dialect.iso("finished_at"),
            from = dialect.time_at_us("$1"),
            until = dialect.time_at_us("$2"),
        );
        let values = [span.from_us.into(), span.until_us.into()];
        let rows = self.rows(dialect.statement(sql, values)).await?;
        rows.iter()
            .map(|row| {
                Ok(RunInSpan {
                    id: row.try_get("", "id")?,
                    state: row.try_get("", "state")?,
                    started_at: row.try_get("", "started_at")?,
                    finished_at: row.try_get("", "finished_at")?,
                })
            })
            .collect()
    }

    /// When `run` ended, in microseconds since 1970, or now if it has not; `None` if there is no such run.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_of_run_us(&self, run: RunId) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT coalesce({}, {}) AS us FROM runs WHERE id = $1",
            self.dialect.as_us("finished_at"),
            self.dialect.now_us()
        );
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        Ok(rows.first().map(|row| row.try_get("", "us")).transpose()?)
    }
}

/// Tables above a card, joined to it.
const ABOVE_CARDS: &str = "LEFT JOIN sets ON sets.id = cards.set_id LEFT JOIN years ON years.id = sets.year_id \
                           LEFT JOIN categories ON categories.id = years.category_id";
/// What a card is called.
const OF_CARD: &str = "categories.name AS category, years.year AS year, sets.brand AS brand, sets.name AS set_name, \
                       cards.number AS number, cards.name AS name, cards.variation AS variation";

/// The newest run that was under way when a row was first seen.
const RUN_THEN: &str = "(SELECT runs.id FROM runs WHERE runs.started_at <= h.first_seen_at \
    AND (runs.finished_at IS NULL OR runs.finished_at >= h.first_seen_at) ORDER BY runs.id DESC LIMIT 1)";

impl Part {
    /// A query over `$1` (from), `$2` (until), `$3` and `$4` (time and id of the last row before), `$5` (limit).
    fn query(self, dialect: Dialect) -> String {
        let (from, until) = (dialect.time_at_us("$1"), dialect.time_at_us("$2"));
        let after = dialect.time_at_us("$3");
        // The rows of a history in the span, after those that were looked at. Where a query asks for one subject, it says
        // so in a way that no index serves: SQLite would rather go through all rows of that subject than through the span.
        let within = |time: &str| format!("(h.{time}, h.id) > ({after}, $4) AND h.{time} <= {until}");
        // That no later row of the span is about the same.
        let is_last = |table: &str, same: &str| {
            format!(
                "NOT EXISTS (SELECT 1 FROM {table} AS later WHERE {same} AND later.observed_at <= {until} \
                     AND (later.observed_at, later.id) > (h.observed_at, h.id))"
            )
        };
        let was_listed = |subject: &str, id: &str, time: &str| {
            format!(
                "coalesce((SELECT e.event <> 'vanished' FROM catalogue_history AS e WHERE e.subject = '{subject}' \
                     AND e.subject_id = {id} AND e.event <> 'renamed' AND e.observed_at <= {time} \
                     ORDER BY e.observed_at DESC, e.id DESC LIMIT 1), true)"
            )
        };
        let told = |time: &str| {
            format!(
                "h.id AS id, {us} AS at_us, {iso} AS observed_at",
                us = dialect.as_us(&format!("h.{time}")),
                iso = dialect.iso(&format!("h.{time}"))
            )
        };
        match self {
            Part::New(subject @ (Subject::Set | Subject::Card)) | Part::Population(subject) => {
                let is_new = matches!(self, Part::New(_));
                let name = subject.as_str();
                let same = "later.subject = h.subject AND later.subject_id = h.subject_id";
                let earlier = "FROM population_history AS e WHERE e.subject = h.subject AND e.subject_id = h.subject_id";
                let before = |column: &str| {
                    format!(
                        "(SELECT {column} {earlier} AND e.observed_at <= {from} \
                         ORDER BY e.observed_at DESC, e.id DESC LIMIT 1)"
                    )
                };
                let wanted = if is_new {
                    format!("NOT EXISTS (SELECT 1 {earlier} AND e.observed_at <= {from})")
                } else {
                    format!(
                        "EXISTS (SELECT 1 {earlier} AND e.observed_at <= {from}) AND {}",
                        was_listed(name, "h.subject_id", &from)
                    )
                };
                let (columns, joins) = names_of(subject, "h.subject_id");
                format!(
                    "SELECT {told}, CAST(h.run_id AS bigint) AS run_id, {columns}, {counts_before} AS counts_before, \
                         {total_before} AS total_before, {counts} AS counts_after, h.total AS total_after \
                     FROM population_history AS h {joins} \
                     WHERE {within} AND h.subject || '' = '{name}' AND {is_last} AND {wanted} AND {listed} \
                     ORDER BY h.observed_at, h.id LIMIT $5",
                    told = told("observed_at"),
                    counts_before = before(&dialect.as_text("e.counts")),
                    total_before = before("e.total"),
                    counts = dialect.as_text("h.counts"),
                    within = within("observed_at"),
                    is_last = is_last("population_history", same),
                    listed = was_listed(name, "h.subject_id", &until),
                )
            }
            // Few rows, and no index: years and categories are a thousand times fewer than certificates.
            Part::New(subject) => {
                let (table, name) = match subject {
                    Subject::Category => ("categories", "category"),
                    _ => ("years", "year"),
                };
                let (columns, joins) = names_of(subject, "h.id");
                format!(
                    "SELECT {told}, {RUN_THEN} AS run_id, {columns} FROM {table} AS h {joins} \
                     WHERE {within} AND {listed} ORDER BY h.first_seen_at, h.id LIMIT $5",
                    told = told("first_seen_at"),
                    within = within("first_seen_at"),
                    listed = was_listed(name, "h.id", &until),
                )
            }
            Part::Presence => {
                let before = format!(
                    "coalesce((SELECT e.event <> 'vanished' FROM catalogue_history AS e WHERE e.subject = h.subject \
                         AND e.subject_id = h.subject_id AND e.event <> 'renamed' AND e.observed_at <= {from} \
                         ORDER BY e.observed_at DESC, e.id DESC LIMIT 1), true)"
                );
                format!(
                    "SELECT {told}, h.run_id AS run_id, h.subject AS subject, h.event AS event, {before} AS was_listed, \
                         coalesce(c1.name, c2.name, c3.name, c4.name) AS category, coalesce(y2.year, y3.year, y4.year) AS year, \
                         coalesce(s3.brand, s4.brand) AS brand, coalesce(s3.name, s4.name) AS set_name, \
                         k4.number AS number, k4.name AS name, k4.variation AS variation \
                     FROM catalogue_history AS h \
                     LEFT JOIN categories AS c1 ON h.subject = 'category' AND c1.id = h.subject_id \
                     LEFT JOIN years AS y2 ON h.subject = 'year' AND y2.id = h.subject_id \
                     LEFT JOIN categories AS c2 ON c2.id = y2.category_id \
                     LEFT JOIN sets AS s3 ON h.subject = 'set' AND s3.id = h.subject_id \
                     LEFT JOIN years AS y3 ON y3.id = s3.year_id LEFT JOIN categories AS c3 ON c3.id = y3.category_id \
                     LEFT JOIN cards AS k4 ON h.subject = 'card' AND k4.id = h.subject_id \
                     LEFT JOIN sets AS s4 ON s4.id = k4.set_id LEFT JOIN years AS y4 ON y4.id = s4.year_id \
                     LEFT JOIN categories AS c4 ON c4.id = y4.category_id \
                     WHERE {within} AND h.event <> 'renamed' AND {is_last} \
                         AND coalesce(c1.first_seen_at, y2.first_seen_at, s3.first_seen_at, k4.first_seen_at) <= {from} \
                     ORDER BY h.observed_at, h.id LIMIT $5",
                    told = told("observed_at"),
                    within = within("observed_at"),
                    is_last = is_last(
                        "catalogue_history",
                        "later.subject = h.subject AND later.subject_id = h.subject_id AND later.event <> 'renamed'"
                    ),
                )
            }
            Part::Renamed(subject) => {
                let name = subject.as_str();
                let (columns, joins) = names_of(subject, "h.subject_id");
                let first = |column: &str| {
                    format!(
                        "(SELECT e.{column} FROM catalogue_history AS e WHERE e.subject = h.subject \
                             AND e.subject_id = h.subject_id AND e.event = 'renamed' AND e.observed_at > {from} \
                             ORDER BY e.observed_at, e.id LIMIT 1)"
                    )
                };
                let seen = match subject {
                    Subject::Category => "categories.first_seen_at",
                    Subject::Set => "sets.first_seen_at",
                    _ => "cards.first_seen_at",
                };
                format!(
                    "SELECT {told}, h.run_id AS run_id, {columns}, {name_before} AS name_before, \
                         {detail_before} AS detail_before, h.name_after AS name_after, h.detail_after AS detail_after \
                     FROM catalogue_history AS h {joins} \
                     WHERE {within} AND h.subject || '' = '{name}' AND h.event = 'renamed' AND {is_last} AND {seen} <= {from} \
                         AND {listed_before} AND {listed} ORDER BY h.observed_at, h.id LIMIT $5",
                    told = told("observed_at"),
                    name_before = first("name_before"),
                    detail_before = first("detail_before"),
                    within = within("observed_at"),
                    is_last = is_last(
                        "catalogue_history",
                        "later.subject = h.subject AND later.subject_id = h.subject_id AND later.event = 'renamed'"
                    ),
                    listed_before = was_listed(name, "h.subject_id", &from),
                    listed = was_listed(name, "h.subject_id", &until),
                )
            }
            Part::NewCertificates => format!(
                "SELECT {told}, {RUN_THEN} AS run_id, h.cert_number AS cert_number, {OF_CARD}, \
                     CASE WHEN then_on.id IS NULL THEN h.grade_code ELSE then_on.grade_before END AS grade_after \
                 FROM (SELECT h.*, (SELECT e.id FROM certificate_history AS e WHERE e.grade_row_id = h.id \
                               AND e.observed_at > {until} ORDER BY e.observed_at, e.id LIMIT 1) AS next_event \
                       FROM grade_rows AS h WHERE {within} ORDER BY h.first_seen_at, h.id LIMIT $5) AS h \
                 LEFT JOIN certificate_history AS then_on ON then_on.id = h.next_event \
                 LEFT JOIN cards ON cards.id = CASE WHEN then_on.id IS NOT NULL THEN then_on.card_before \
                     WHEN h.vanished_at IS NULL THEN h.card_id END {ABOVE_CARDS} \
                 ORDER BY h.first_seen_at, h.id",
                told = told("first_seen_at"),
                within = within("first_seen_at"),
            ),
            Part::Certificates => format!(
                "SELECT {told}, h.run_id AS run_id, grade_rows.cert_number AS cert_number, {OF_CARD}, \
                     first.card_before AS card_before, first.grade_before AS grade_before, h.card_after AS card_after, \
                     h.grade_after AS grade_after, elsewhere.number AS number_before, elsewhere.name AS name_before \
                 FROM certificate_history AS h JOIN grade_rows ON grade_rows.id = h.grade_row_id \
                 JOIN certificate_history AS first ON first.id = (SELECT e.id FROM certificate_history AS e \
                     WHERE e.grade_row_id = h.grade_row_id AND e.observed_at > {from} ORDER BY e.observed_at, e.id LIMIT 1) \
                 LEFT JOIN cards AS elsewhere ON elsewhere.id = first.card_before \
                 LEFT JOIN cards ON cards.id = coalesce(h.card_after, first.card_before, grade_rows.card_id) {ABOVE_CARDS} \
                 WHERE {within} AND grade_rows.first_seen_at <= {from} AND {is_last} \
                 ORDER BY h.observed_at, h.id LIMIT $5",
                told = told("observed_at"),
                within = within("observed_at"),
                is_last = is_last("certificate_history", "later.grade_row_id = h.grade_row_id"),
            ),
        }
    }

    /// Adds what a row of the query tells.
    fn read(self, row: &QueryResult, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let told = |subject: Subject, change: Difference| -> Result<Change, StoreError> {
            Ok(Change {
                subject,
                change,
                identity: identity(row)?,
                cert_number: String::new(),
                grade: String::new(),
                before: String::new(),
                after: String::new(),
                observed_at: row.try_get("", "observed_at")?,
                run_id: row.try_get("", "run_id")?,
            })
        };
        let text = |column: &str| -> Result<String, StoreError> {
            Ok(row.try_get::<Option<String>>("", column)?.unwrap_or_default())
        };
        match self {
            Part::New(subject @ (Subject::Set | Subject::Card)) => {
                let total: i64 = row.try_get("", "total_after")?;
                changes.push(Change {
                    after: total.to_string(),
                    ..told(subject, Difference::New)?
                });
            }
            Part::New(subject) => changes.push(told(subject, Difference::New)?),
            Part::Presence => {
                let was_listed: bool = row.try_get("", "was_listed")?;
                let subject = match text("subject")?.as_str() {
                    "category" => Subject::Category,
                    "year" => Subject::Year,
                    "set" => Subject::Set,
                    _ => Subject::Card,
                };
                let change = match (was_listed, text("event")?.as_str()) {
                    (true, "vanished") => Difference::Vanished,
                    (false, "returned") => Difference::Returned,
                    _ => return Ok(()),
                };
                changes.push(told(subject, change)?);
            }
            Part::Renamed(subject) => {
                let before = (text("name_before")?, text("detail_before")?);
                let after = (text("name_after")?, text("detail_after")?);
                if before == after {
                    return Ok(());
                }
                let named = |(name, detail): (String, String)| match subject {
                    Subject::Set => format!("{detail} {name}").trim().to_owned(),
                    _ => format!("{name} {detail}").trim().to_owned(),
                };
                changes.push(Change {
                    before: named(before),
                    after: named(after),
                    ..told(subject, Difference::Renamed)?
                });
            }
            Part::Population(subject) => {
                let (before, after) = (counts(row, "counts_before")?, counts(row, "counts_after")?);
                for grade in before
                    .keys()
                    .chain(after.keys().filter(|code| !before.contains_key(*code)))
                {
                    let copies = |of: &Populations| of.get(grade).copied().unwrap_or(0);
                    let (had, has) = (copies(&before), copies(&after));
                    if had == has {
                        continue;
                    }
                    let change = if has > had {
                        Difference::Grown
                    } else {
                        Difference::Fallen
                    };
                    changes.push(Change {
                        grade: grade.clone(),
                        before: had.to_string(),
                        after: has.to_string(),
                        ..told(subject, change)?
                    });
                }
            }
            Part::NewCertificates => {
                if row.try_get::<Option<String>>("", "number")?.is_some() {
                    changes.push(Change {
                        cert_number: text("cert_number")?,
                        grade: text("grade_after")?,
                        ..told(Subject::Certificate, Difference::New)?
                    });
                }
            }
            Part::Certificates => {
                let id = |column: &str| -> Result<Option<i64>, StoreError> { Ok(row.try_get("", column)?) };
                let (had, has) = (text("grade_before")?, text("grade_after")?);
                let on_card = format!("{} {}", text("number_before")?, text("name_before")?);
                let (change, before, after) = match (id("card_before")?, id("card_after")?) {
                    (Some(_), None) => (Difference::Vanished, String::new(), String::new()),
                    (None, Some(_)) => (Difference::Returned, String::new(), String::new()),
                    (Some(before), Some(after)) if before != after => {
                        let onto = format!("{} {}", text("number")?, text("name")?);
                        (Difference::Moved, on_card, onto)
                    }
                    (Some(_), Some(_)) if had != has => (Difference::Regraded, had.clone(), has.clone()),
                    _ => return Ok(()),
                };
                changes.push(Change {
                    cert_number: text("cert_number")?,
                    grade: if has.is_empty() { had } else { has },
                    before,
                    after,
                    ..told(Subject::Certificate, change)?
                });
            }
        }
        Ok(())
    }
}

type Populations = std::collections::BTreeMap<String, i64>;

fn counts(row: &QueryResult, column: &str) -> Result<Populations, StoreError> {
    let text: String = row.try_get("", column)?;
    serde_json::from_str(&text)
        .map_err(|error| StoreError::Bug(format!("population_history.counts is damaged: {error}")))
}

/// The columns that name a row of `subject`, and the joins from the row with the id `id`.
fn names_of(subject: Subject, id: &str) -> (&'static str, String) {
    match subject {
        Subject::Category => (
            "categories.name AS category, '' AS year, '' AS brand, '' AS set_name, '' AS number, '' AS name, \
             '' AS variation",
            format!("JOIN categories ON categories.id = {id}"),
        ),
        Subject::Year => (
            "categories.name AS category, years.year AS year, '' AS brand, '' AS set_name, '' AS number, '' AS name, \
             '' AS variation",
            format!("JOIN years ON years.id = {id} JOIN categories ON categories.id = years.category_id"),
        ),
        Subject::Set => (
            "categories.name AS category, years.year AS year, sets.brand AS brand, sets.name AS set_name, '' AS number, \
             '' AS name, '' AS variation",
            format!(
                "JOIN sets ON sets.id = {id} JOIN years ON years.id = sets.year_id \
                 JOIN categories ON categories.id = years.category_id"
            ),
        ),
        Subject::Card | Subject::Certificate => {
            (OF_CARD, format!("JOIN cards ON cards.id = {id} {ABOVE_CARDS}"))
        }
    }
}

fn identity(row: &QueryResult) -> Result<Identity, StoreError> {
    let text = |column: &str| -> Result<String, StoreError> {
        Ok(row.try_get::<Option<String>>("", column)?.unwrap_or_default())
    };
    Ok(Identity {
        category: text("category")?,
        year: text("year")?,
        brand: text("brand")?,
        set: text("set_name")?,
        name: text("name")?,
        number: text("number")?,
        variation: text("variation")?,
    })
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use sea_orm::{ConnectionTrait, Statement};

    use super::*;
    use crate::testing::TestDatabase;

    /// The plan of each part's query, where the planner may read a whole table only if it cannot do otherwise.
    async fn plans(store: &Store) -> Vec<(Part, String)> {
        let dialect = store.dialect();
        let transaction = store.begin().await.unwrap();
        let explain = match dialect {
            Dialect::Sqlite => "EXPLAIN QUERY PLAN ",
            Dialect::Postgres => {
                // The tables are empty; reading them whole would be the quickest way.
                for sql in ["SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off"] {
                    transaction.execute_unprepared(sql).await.unwrap();
                }
                "EXPLAIN "
            }
        };
        let mut plans = Vec::new();
        for part in PARTS {
            let mut sql = part.query(dialect);
            for (place, value) in ["1000000", "9000000", "1000000", "5", "100"].iter().enumerate() {
                sql = sql.replace(&format!("${}", place + 1), value);
            }
            let statement = Statement::from_string(dialect.backend(), format!("{explain}{sql}"));
            let rows = transaction.query_all_raw(statement).await.unwrap();
            let column = match dialect {
                Dialect::Sqlite => "detail",
                Dialect::Postgres => "QUERY PLAN",
            };
            let lines: Vec<String> = rows.iter().map(|row| row.try_get("", column).unwrap()).collect();
            plans.push((part, lines.join("\n")));
        }
        transaction.rollback().await.unwrap();
        plans
    }

    /// No part reads a table of the catalogue or a history from one end to the other, but for the few years and
    /// categories.
    async fn nothing_is_read_whole(database: TestDatabase) {
        let store = database.open().await;
        for (part, plan) in plans(&store).await {
            if matches!(part, Part::New(Subject::Category | Subject::Year)) {
                continue;
            }
            for line in plan.lines().map(str::trim) {
                let is_whole = line.contains("Seq Scan")
                    || (line.starts_with("SCAN ") && !line.contains("USING") && line != "SCAN h")
                    || (line == "SCAN h" && !matches!(part, Part::NewCertificates));
                let is_runs = line.contains("runs");
                assert!(!is_whole || is_runs, "{part:?}: {line}\n{plan}");
            }
            let by_time = match part {
                Part::New(_) | Part::Population(_) => "population_history_by_time",
                Part::Presence | Part::Renamed(_) => "catalogue_history_by_time",
                Part::NewCertificates => "grade_rows_by_first_seen",
                Part::Certificates => "certificate_history_by_time",
            };
            assert!(plan.contains(by_time), "{part:?} does not use {by_time}\n{plan}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_reads_no_table_whole() {
        nothing_is_read_whole(TestDatabase::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_reads_no_table_whole() {
        nothing_is_read_whole(TestDatabase::postgres()).await;
    }
}
