//! What can be exported: the one list of tables and views, their columns, what these mean, and how their rows are ordered
//! and told apart. A test compares it with the schema of both engines.

use tagpipe_core::tabular::{Column, Kind, Table};

use super::Level;

/// A table or view, and how to ask for its rows. In SQL it is called `t`.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) table: Table,
    /// Where in the catalogue a row lies; `None` if nowhere.
    pub(super) place: Option<Place>,
    /// Whether a row is new, other or gone since `{since}`; `None` if that is not known.
    pub(super) changed: Option<&'static str>,
    pub(super) vanished: Vanished,
}

/// SQL that tells which category, year and set a row of `t` belongs to.
#[derive(Debug)]
pub(super) struct Place {
    /// Tables that the expressions below need.
    pub(super) joins: &'static str,
    category: &'static str,
    year: Option<&'static str>,
    set: Option<&'static str>,
}

/// What is known of rows that the site lists no more.
#[derive(Debug)]
pub(super) enum Vanished {
    /// They stay, and this tells that one is listed, with all that is above it, as in the view `catalogue`.
    Noted(&'static str),
    /// They are left out already.
    LeftOut,
    /// These are no rows of the site.
    NotApplicable,
}

impl Place {
    pub(super) fn deepest(&self) -> Level {
        match (self.year, self.set) {
            (_, Some(_)) => Level::Set,
            (Some(_), None) => Level::Year,
            (None, None) => Level::Category,
        }
    }

    pub(super) fn id_of(&self, level: Level) -> Option<&'static str> {
        match level {
            Level::Category => Some(self.category),
            Level::Year => self.year,
            Level::Set => self.set,
        }
    }
}

/// What exporters of the whole catalogue want first stands first.
pub(super) const ALL: &[Source] = &[
    CATALOGUE,
    CATEGORIES,
    YEARS,
    SETS,
    CARDS,
    GRADE_ROWS,
    CARD_POPULATION,
    SET_POPULATION,
    GRADE_SCALE,
    POPULATION_HISTORY,
    CATALOGUE_HISTORY,
    CERTIFICATE_HISTORY,
    DISCREPANCIES,
    RUNS,
    RUNNERS,
    AUDIT_LOGS,
    AUDIT_OPERATIONS,
    AUDIT_ERRORS,
    AUDIT_RESULTS,
];

const fn text(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Text, meaning)
}

const fn integer(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Integer, meaning)
}

const fn real(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Real, meaning)
}

const fn date(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Date, meaning)
}

const fn time(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Timestamp, meaning)
}

const fn json(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Json, meaning)
}

const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column {
        name,
        kind,
        nullable: false,
        unit: None,
        meaning,
    }
}

const fn or_null(column: Column) -> Column {
    Column {
        nullable: true,
        ..column
    }
}

const fn in_unit(unit: &'static str, column: Column) -> Column {
    Column {
        unit: Some(unit),
        ..column
    }
}

const ID: Column = integer("id", "number of the row");
const URL: Column = text("url", "path and query of the page that the row leads to");
const COUNTS: Column = in_unit("copies", json("counts", "grade code → copies, without zeros"));
const TOTAL: Column = in_unit("copies", integer("total", "copies in all, as the page says"));
const FIRST_SEEN: Column = time("first_seen_at", "when the row was first read");
const CHANGED: Column = time("changed_at", "when a value last differed from the reading before");
const LAST_SEEN: Column = time("last_seen_at", "when the row was last read");
const READ: Column = or_null(time("read_at", "when the page it leads to was last read whole"));
const VERIFIED: Column = or_null(time("verified_at", "when its sums last agreed"));
const VANISHED: Column = or_null(time(
    "vanished_at",
    "when the page above, read whole, no longer listed it; null while it does",
));
const SEEN_BY_RUN: Column = or_null(integer(
    "seen_by_run",
    "the run that last saw the row, or saw it missing",
));

/// Rows of `catalogue_history` that tell of a row which came or went, with what lies below it. Where it is listed or not, a row
/// below shows the same; but the site shows it no more, or again.
macro_rules! came_or_went {
    ($subject:literal) => {
        concat!(
            "FROM catalogue_history AS h WHERE h.subject = '",
            $subject,
            "' AND h.event <> 'renamed' AND h.observed_at > {since}"
        )
    };
}

/// Categories that came or went since then.
macro_rules! moved_categories {
    () => {
        concat!("SELECT h.subject_id ", came_or_went!("category"))
    };
}

/// Years that did, by themselves or with their category.
macro_rules! moved_years {
    () => {
        concat!(
            "SELECT h.subject_id ",
            came_or_went!("year"),
            " UNION SELECT years.id FROM years WHERE years.category_id IN (",
            moved_categories!(),
            ")"
        )
    };
}

/// Sets that did, by themselves or with what they belong to.
macro_rules! moved_sets {
    () => {
        concat!(
            "SELECT h.subject_id ",
            came_or_went!("set"),
            " UNION SELECT sets.id FROM sets WHERE sets.year_id IN (",
            moved_years!(),
            ")"
        )
    };
}

/// Cards that did, by themselves or with what they belong to.
macro_rules! moved_cards {
    () => {
        concat!(
            "SELECT h.subject_id ",
            came_or_went!("card"),
            " UNION SELECT cards.id FROM cards WHERE cards.set_id IN (",
            moved_sets!(),
            ")"
        )
    };
}

/// Rows of this kind that got another name: no change of what a row shows (`changed_at`), but one of what it is called.
macro_rules! renamed {
    ($subject:literal) => {
        concat!(
            "SELECT h.subject_id FROM catalogue_history AS h WHERE h.subject = '",
            $subject,
            "' AND h.event = 'renamed' AND h.observed_at > {since}"
        )
    };
}

const CATEGORY_CHANGED: Option<&str> = Some(concat!(
    "t.changed_at > {since} OR t.id IN (",
    renamed!("category"),
    ")"
));
const YEAR_CHANGED: Option<&str> = Some(concat!(
    "t.changed_at > {since} OR t.category_id IN (",
    moved_categories!(),
    ")"
));
const SET_CHANGED: Option<&str> = Some(concat!(
    "t.changed_at > {since} OR t.id IN (",
    renamed!("set"),
    ") OR t.year_id IN (",
    moved_years!(),
    ")"
));
const CARD_CHANGED: Option<&str> = Some(concat!(
    "t.changed_at > {since} OR t.id IN (",
    renamed!("card"),
    ") OR t.set_id IN (",
    moved_sets!(),
    ")"
));
const CERTIFICATE_CHANGED: Option<&str> = Some(concat!(
    "t.changed_at > {since} OR t.card_id IN (",
    moved_cards!(),
    ")"
));
/// Of a card with the names above it.
const CATALOGUE_CHANGED: Option<&str> = Some(concat!(
    "EXISTS (SELECT 1 FROM cards JOIN sets ON sets.id = cards.set_id JOIN years ON years.id = sets.year_id \
         WHERE cards.id = t.card_id AND (cards.changed_at > {since} OR cards.id IN (",
    renamed!("card"),
    ") OR sets.id IN (",
    renamed!("set"),
    ") OR years.category_id IN (",
    renamed!("category"),
    ") OR sets.id IN (",
    moved_sets!(),
    ")))"
));
const OBSERVED_SINCE: Option<&str> = Some("t.observed_at > {since}");
const CREATED_SINCE: Option<&str> = Some("t.created_at > {since}");
const LISTED_YEAR: Vanished = Vanished::Noted(
    "t.vanished_at IS NULL AND EXISTS (SELECT 1 FROM categories AS c \
         WHERE c.id = t.category_id AND c.vanished_at IS NULL)",
);
const LISTED_SET: Vanished = Vanished::Noted(
    "t.vanished_at IS NULL AND EXISTS (SELECT 1 FROM years AS y JOIN categories AS c ON c.id = y.category_id \
         WHERE y.id = t.year_id AND y.vanished_at IS NULL AND c.vanished_at IS NULL)",
);
const LISTED_CARD: Vanished = Vanished::Noted(
    "t.vanished_at IS NULL AND EXISTS (SELECT 1 FROM sets AS s JOIN years AS y ON y.id = s.year_id \
         JOIN categories AS c ON c.id = y.category_id WHERE s.id = t.set_id AND s.vanished_at IS NULL \
             AND y.vanished_at IS NULL AND c.vanished_at IS NULL)",
);
const LISTED_CERTIFICATE: Vanished = Vanished::Noted(
    "t.vanished_at IS NULL AND EXISTS (SELECT 1 FROM cards AS k JOIN sets AS s ON s.id = k.set_id \
         JOIN years AS y ON y.id = s.year_id JOIN categories AS c ON c.id = y.category_id WHERE k.id = t.card_id \
             AND k.vanished_at IS NULL AND s.vanished_at IS NULL AND y.vanished_at IS NULL AND c.vanished_at IS NULL)",
);

const CATALOGUE: Source = Source {
    table: Table {
        name: "catalogue",
        meaning: "one row for each card that is listed, with the names above it",
        columns: &[
            integer("card_id", "number of the card"),
            text("category", "its category"),
            text("year", "its year"),
            text("brand", "brand of its set"),
            text("set_name", "name of its set; empty for the base product"),
            text("number", "card number, as printed"),
            text("name", "the card's name"),
            text("variation", "the printed variant; empty if there is none"),
            TOTAL,
            or_null(text(
                "top_grade",
                "code of the highest grade with copies; null without graded copies",
            )),
            or_null(in_unit(
                "copies",
                integer("top_grade_copies", "copies at that grade"),
            )),
            VERIFIED,
        ],
        order: &["card_id"],
    },
    place: Some(PLACE_BY_CARD_ID),
    changed: CATALOGUE_CHANGED,
    vanished: Vanished::LeftOut,
};

const PLACE_BY_CARD_ID: Place = Place {
    joins: "JOIN cards ON cards.id = t.card_id JOIN sets ON sets.id = cards.set_id JOIN years ON years.id = sets.year_id",
    category: "years.category_id",
    year: Some("sets.year_id"),
    set: Some("cards.set_id"),
};

const CATEGORIES: Source = Source {
    table: Table {
        name: "categories",
        meaning: "categories of the report, such as Hockey",
        columns: &[
            ID,
            text("name", "as shown"),
            URL,
            FIRST_SEEN,
            CHANGED,
            LAST_SEEN,
            READ,
            VANISHED,
            SEEN_BY_RUN,
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "",
        category: "t.id",
        year: None,
        set: None,
    }),
    changed: CATEGORY_CHANGED,
    vanished: Vanished::Noted("t.vanished_at IS NULL"),
};

const YEARS: Source = Source {
    table: Table {
        name: "years",
        meaning: "years of a category",
        columns: &[
            ID,
            integer("category_id", "its category: `id` in `categories`"),
            text("year", "as shown"),
            in_unit(
                "sets",
                integer("sets_count", "sets, as the category's page counts them"),
            ),
            in_unit(
                "cards",
                integer("items_count", "cards, as the category's page counts them"),
            ),
            in_unit(
                "copies",
                integer(
                    "graded_count",
                    "graded copies, as the category's page counts them",
                ),
            ),
            URL,
            FIRST_SEEN,
            CHANGED,
            LAST_SEEN,
            READ,
            VANISHED,
            SEEN_BY_RUN,
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "",
        category: "t.category_id",
        year: Some("t.id"),
        set: None,
    }),
    changed: YEAR_CHANGED,
    vanished: LISTED_YEAR,
};

const SETS: Source = Source {
    table: Table {
        name: "sets",
        meaning: "sets of a year, with their populations",
        columns: &[
            ID,
            integer("year_id", "its year: `id` in `years`"),
            text("brand", "the brand"),
            text("name", "the set's name; empty for the base product"),
            URL,
            COUNTS,
            TOTAL,
            FIRST_SEEN,
            CHANGED,
            LAST_SEEN,
            READ,
            VERIFIED,
            VANISHED,
            SEEN_BY_RUN,
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "JOIN years ON years.id = t.year_id",
        category: "years.category_id",
        year: Some("t.year_id"),
        set: Some("t.id"),
    }),
    changed: SET_CHANGED,
    vanished: LISTED_SET,
};

const CARDS: Source = Source {
    table: Table {
        name: "cards",
        meaning: "cards of a set, one row for each variation, with their populations",
        columns: &[
            ID,
            integer("set_id", "its set: `id` in `sets`"),
            text("number", "card number, as printed"),
            text("name", "the card's name"),
            text("variation", "the printed variant; empty if there is none"),
            URL,
            COUNTS,
            TOTAL,
            FIRST_SEEN,
            CHANGED,
            LAST_SEEN,
            READ,
            VERIFIED,
            VANISHED,
            SEEN_BY_RUN,
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "JOIN sets ON sets.id = t.set_id JOIN years ON years.id = sets.year_id",
        category: "years.category_id",
        year: Some("sets.year_id"),
        set: Some("t.set_id"),
    }),
    changed: CARD_CHANGED,
    vanished: LISTED_CARD,
};

const GRADE_ROWS: Source = Source {
    table: Table {
        name: "grade_rows",
        meaning: "graded certificates, one row each",
        columns: &[
            ID,
            text("cert_number", "certificate number; unique"),
            integer("card_id", "its card: `id` in `cards`"),
            or_null(integer("rank", "place on the card's leaderboard")),
            text("grade_text", "the grade as shown, such as `8.5 NM MT+ (890)`"),
            or_null(real("grade", "the number in it; null for VA")),
            text("grade_label", "the words in it"),
            text(
                "grade_code",
                "the count column it belongs to: `code` in `grade_scale`",
            ),
            or_null(in_unit(
                "points",
                integer("score", "the number in brackets, if there is one"),
            )),
            or_null(integer(
                "rank_by_grade",
                "place among the card's certificates of this grade",
            )),
            or_null(integer(
                "chronology",
                "place in the order in which the card's copies were graded",
            )),
            or_null(integer("chron_by_grade", "the same among those of this grade")),
            or_null(date("completed_on", "day of grading")),
            text(
                "report_url",
                "path of the certificate's own report, which is not read",
            ),
            FIRST_SEEN,
            CHANGED,
            LAST_SEEN,
            VANISHED,
            SEEN_BY_RUN,
        ],
        order: &["id"],
    },
    place: Some(PLACE_BY_CARD_ID),
    changed: CERTIFICATE_CHANGED,
    vanished: LISTED_CERTIFICATE,
};

const CARD_POPULATION: Source = Source {
    table: Table {
        name: "card_population",
        meaning: "copies of a card at a grade, one row for each grade with copies; listed cards only",
        columns: &[
            integer("card_id", "the card: `id` in `cards`"),
            text("grade_code", "the grade: `code` in `grade_scale`"),
            in_unit("copies", integer("copies", "copies at that grade")),
            VERIFIED,
        ],
        order: &["card_id", "grade_code"],
    },
    place: Some(PLACE_BY_CARD_ID),
    changed: Some("EXISTS (SELECT 1 FROM cards WHERE cards.id = t.card_id AND cards.changed_at > {since})"),
    vanished: Vanished::LeftOut,
};

const SET_POPULATION: Source = Source {
    table: Table {
        name: "set_population",
        meaning: "copies of a set at a grade, one row for each grade with copies; listed sets only",
        columns: &[
            integer("set_id", "the set: `id` in `sets`"),
            text("grade_code", "the grade: `code` in `grade_scale`"),
            in_unit("copies", integer("copies", "copies at that grade")),
            VERIFIED,
        ],
        order: &["set_id", "grade_code"],
    },
    place: Some(Place {
        joins: "JOIN sets ON sets.id = t.set_id JOIN years ON years.id = sets.year_id",
        category: "years.category_id",
        year: Some("sets.year_id"),
        set: Some("t.set_id"),
    }),
    changed: Some("EXISTS (SELECT 1 FROM sets WHERE sets.id = t.set_id AND sets.changed_at > {since})"),
    vanished: Vanished::LeftOut,
};

const GRADE_SCALE: Source = Source {
    table: Table {
        name: "grade_scale",
        meaning: "the scale of grades that the data was read by",
        columns: &[
            text("code", "header of the count column"),
            integer("position", "its place, lowest grade first"),
            or_null(real("grade", "its number; null for VA")),
            text("label", "what tells codes of one number apart"),
        ],
        order: &["position", "code"],
    },
    place: None,
    changed: None,
    vanished: Vanished::NotApplicable,
};

const POPULATION_HISTORY: Source = Source {
    table: Table {
        name: "population_history",
        meaning: "one row for each change of a set's or card's counts",
        columns: &[
            ID,
            text("subject", "`set` or `card`"),
            integer("subject_id", "its `id` in `sets` or `cards`"),
            time("observed_at", "when it was observed"),
            integer("run_id", "in which run"),
            COUNTS,
            TOTAL,
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "LEFT JOIN cards ON t.subject = 'card' AND cards.id = t.subject_id \
                JOIN sets ON sets.id = CASE t.subject WHEN 'set' THEN t.subject_id ELSE cards.set_id END \
                JOIN years ON years.id = sets.year_id",
        category: "years.category_id",
        year: Some("sets.year_id"),
        set: Some("sets.id"),
    }),
    changed: OBSERVED_SINCE,
    vanished: Vanished::NotApplicable,
};

const CATALOGUE_HISTORY: Source = Source {
    table: Table {
        name: "catalogue_history",
        meaning: "one row for each time that a category, year, set or card vanished, returned or was renamed",
        columns: &[
            ID,
            text("subject", "`category`, `year`, `set` or `card`"),
            integer("subject_id", "its `id` in the table of that name"),
            text("event", "`vanished`, `returned` or `renamed`"),
            time("observed_at", "when it was observed"),
            or_null(integer("run_id", "in which run")),
            or_null(text("name_before", "of a renamed one: its name before")),
            or_null(text(
                "detail_before",
                "of a renamed one: brand of a set, variation of a card, before",
            )),
            or_null(text("name_after", "of a renamed one: its name after")),
            or_null(text(
                "detail_after",
                "of a renamed one: brand of a set, variation of a card, after",
            )),
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "LEFT JOIN cards ON t.subject = 'card' AND cards.id = t.subject_id \
                LEFT JOIN sets ON sets.id = CASE t.subject WHEN 'set' THEN t.subject_id ELSE cards.set_id END \
                LEFT JOIN years ON years.id = CASE t.subject WHEN 'year' THEN t.subject_id ELSE sets.year_id END",
        category: "CASE t.subject WHEN 'category' THEN t.subject_id ELSE years.category_id END",
        year: None,
        set: None,
    }),
    changed: OBSERVED_SINCE,
    vanished: Vanished::NotApplicable,
};

const CERTIFICATE_HISTORY: Source = Source {
    table: Table {
        name: "certificate_history",
        meaning: "one row for each time that a known certificate vanished, returned, moved or got another grade",
        columns: &[
            ID,
            integer("grade_row_id", "the certificate: `id` in `grade_rows`"),
            text(
                "event",
                "`vanished`, `returned`, `moved` (to another card) or `regraded`",
            ),
            time("observed_at", "when it was observed"),
            or_null(integer("run_id", "in which run")),
            or_null(integer(
                "card_before",
                "its card before: `id` in `cards`; null where it was not shown",
            )),
            or_null(text(
                "grade_before",
                "its grade code before; null where it was not shown",
            )),
            or_null(integer(
                "card_after",
                "its card after; null where it is not shown",
            )),
            or_null(text(
                "grade_after",
                "its grade code after; null where it is not shown",
            )),
        ],
        order: &["id"],
    },
    place: Some(Place {
        joins: "JOIN cards ON cards.id = coalesce(t.card_after, t.card_before) JOIN sets ON sets.id = cards.set_id \
                JOIN years ON years.id = sets.year_id",
        category: "years.category_id",
        year: Some("sets.year_id"),
        set: Some("cards.set_id"),
    }),
    changed: OBSERVED_SINCE,
    vanished: Vanished::NotApplicable,
};

const DISCREPANCIES: Source = Source {
    table: Table {
        name: "discrepancies",
        meaning: "sums that do not agree, and cells that could not be read",
        columns: &[
            ID,
            text("subject", "`category`, `year`, `set`, `card` or `page` (a cell)"),
            integer("subject_id", "its `id` in the table of that name"),
            text("page_key", "the page on which the children were read"),
            text("what", "what is compared, such as `copies at grade 9`"),
            text("expected", "what was promised"),
            text("expected_by", "by whom"),
            text("found", "what was read"),
            integer("run_id", "in which run"),
            time("created_at", "when it was noted"),
            or_null(time(
                "resolved_at",
                "when a later run read the page and it agreed; null while open",
            )),
            text("verdict", "`disagrees`, `moved` or `unverified`"),
        ],
        order: &["id"],
    },
    place: None,
    changed: Some("t.created_at > {since} OR t.resolved_at > {since}"),
    vanished: Vanished::NotApplicable,
};

const RUNS: Source = Source {
    table: Table {
        name: "runs",
        meaning: "crawls of the report, from start to end",
        columns: &[
            ID,
            text(
                "state",
                "`running`, `interrupted`, `reconciled` (all read, sums agree) or `disputed`",
            ),
            time("started_at", "when it began"),
            or_null(time("finished_at", "when it ended")),
            json("config", "the settings it was started with"),
            or_null(json("summary", "the closing summary")),
            text(
                "reading_order",
                "`deepest` levels first, or, with a budget, the `stalest` pages first",
            ),
        ],
        order: &["id"],
    },
    place: None,
    changed: Some("t.started_at > {since} OR t.finished_at > {since}"),
    vanished: Vanished::NotApplicable,
};

const RUNNERS: Source = Source {
    table: Table {
        name: "runners",
        meaning: "processes that worked on a run",
        columns: &[
            text("instance", "a fresh UUID for each process"),
            integer("run_id", "its run: `id` in `runs`"),
            text("runner_id", "its name"),
            text("host", "where it ran"),
            integer("pid", "number of the process there"),
            text("state", "`running`, `finished` or `lost`"),
            text("ended_why", "how it ended, in words"),
            time("started_at", "when it began"),
            time("heartbeat_at", "when it was last heard of"),
            in_unit("pages", integer("pages_completed", "pages read")),
            in_unit("pages", integer("pages_failed", "pages given up")),
            in_unit("reads", integer("retries", "reads that were to be repeated")),
            in_unit("requests", integer("requests", "what it asked the site for")),
            in_unit("bytes", integer("bytes", "what it got")),
            in_unit("rows", integer("rows_new", "rows that were new")),
            in_unit(
                "rows",
                integer("rows_changed", "rows that were other than before"),
            ),
            in_unit("rows", integer("rows_same", "rows that were as before")),
            in_unit("rows", integer("rows_vanished", "rows that were gone")),
            in_unit("ms", integer("busy_ms", "time in which pages were in hand")),
            in_unit(
                "bytes",
                integer("memory_bytes", "memory it uses, its browser's included"),
            ),
        ],
        order: &["run_id", "started_at", "instance"],
    },
    place: None,
    changed: Some("t.started_at > {since} OR t.heartbeat_at > {since}"),
    vanished: Vanished::NotApplicable,
};

const AUDIT_COLUMNS: &[Column] = &[
    ID,
    time("created_at", "when"),
    text("level", "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`"),
    text("kind", "`operation`, `error` or `result`"),
    text("runner_id", "who"),
    or_null(integer("run_id", "in which run")),
    or_null(text("page_key", "about which page")),
    text("operation", "what was being done, such as `read_page`"),
    text("message", "a sentence that can be read alone"),
    json("context", "the details, units in the names"),
];

const fn audit(name: &'static str, meaning: &'static str) -> Source {
    Source {
        table: Table {
            name,
            meaning,
            columns: AUDIT_COLUMNS,
            order: &["id"],
        },
        place: None,
        changed: CREATED_SINCE,
        vanished: Vanished::NotApplicable,
    }
}

const AUDIT_LOGS: Source = audit("audit_logs", "what happened: operations, errors and results");
const AUDIT_OPERATIONS: Source = audit("audit_operations", "the operations among `audit_logs`");
const AUDIT_ERRORS: Source = audit("audit_errors", "the errors among `audit_logs`");
const AUDIT_RESULTS: Source = audit("audit_results", "the results among `audit_logs`");

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::Dialect;
    use crate::testing::TestDatabase;

    /// The columns of the schema: table → column → (type, whether it may be null). Views do not tell whether a value may be
    /// null.
    async fn schema(database: &TestDatabase) -> BTreeMap<String, BTreeMap<String, (String, bool)>> {
        let store = database.open().await;
        let sql = match store.dialect() {
            Dialect::Sqlite => {
                "SELECT m.name AS relation, c.name AS name, lower(c.type) AS type, \
                     CASE WHEN c.\"notnull\" = 0 AND c.pk = 0 THEN 1 ELSE 0 END AS nullable \
                 FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type IN ('table', 'view')"
            }
            Dialect::Postgres => {
                "SELECT CAST(table_name AS text) AS relation, CAST(column_name AS text) AS name, \
                     CAST(data_type AS text) AS type, CASE WHEN is_nullable = 'YES' THEN 1 ELSE 0 END AS nullable \
                 FROM information_schema.columns WHERE table_schema = 'public'"
            }
        };
        let rows = store.rows(store.dialect().statement(sql, [])).await.unwrap();
        let mut schema: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for row in rows {
            let nullable: i32 = row.try_get("", "nullable").unwrap();
            schema
                .entry(row.try_get("", "relation").unwrap())
                .or_default()
                .insert(
                    row.try_get("", "name").unwrap(),
                    (row.try_get("", "type").unwrap(), nullable == 1),
                );
        }
        schema
    }

    /// Columns that tell others nothing: marks of tagpipe's own work.
    fn kept_back(table: &str) -> BTreeSet<&'static str> {
        let columns: &[&str] = match table {
            "categories" => &["name_key", "changes", "seen_times", "tried_at"],
            "years" | "sets" | "cards" => &[
                "natural_key",
                "changes",
                "read_changes",
                "seen_times",
                "tried_at",
                "same_until",
                "differs_since",
            ],
            "runs" => &["closing_by", "closing_until", "steering", "watched_until"],
            "runners" => &["process_mark", "current_page"],
            _ => &[],
        };
        columns.iter().copied().collect()
    }

    const VIEWS: [&str; 6] = [
        "catalogue",
        "card_population",
        "set_population",
        "audit_operations",
        "audit_errors",
        "audit_results",
    ];

    async fn agrees_with_the_schema(database: TestDatabase, types: fn(Kind) -> &'static [&'static str]) {
        let schema = schema(&database).await;
        for source in ALL {
            let name = source.table.name;
            let stored = schema.get(name).unwrap_or_else(|| panic!("there is a `{name}`"));
            let told: BTreeSet<_> = source.table.columns.iter().map(|column| column.name).collect();
            assert_eq!(
                told.len(),
                source.table.columns.len(),
                "{name} has a column twice"
            );
            let kept_back = kept_back(name);
            assert!(told.is_disjoint(&kept_back), "{name}");
            let all: BTreeSet<_> = stored.keys().map(String::as_str).collect();
            let known: BTreeSet<_> = told.union(&kept_back).copied().collect();
            assert_eq!(known, all, "{name}: a column is new or gone");
            for column in source.table.columns {
                let (stored_type, nullable) = &stored[column.name];
                let types = types(column.kind);
                // SQLite does not know the type of what a view computes.
                let is_computed = VIEWS.contains(&name) && ["", "blob"].contains(&stored_type.as_str());
                assert!(
                    types.contains(&stored_type.as_str()) || is_computed,
                    "{name}.{} is {stored_type}",
                    column.name
                );
                assert!(
                    VIEWS.contains(&name) || column.nullable == *nullable,
                    "{name}.{} can be null: {nullable}",
                    column.name
                );
            }
            for name_of_order in source.table.order {
                assert!(
                    told.contains(name_of_order),
                    "{name} is ordered by {name_of_order}"
                );
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_list_agrees_with_the_schema_of_sqlite() {
        agrees_with_the_schema(TestDatabase::sqlite(), |kind| match kind {
            Kind::Text | Kind::Json | Kind::Timestamp => &["text"],
            Kind::Integer => &["integer", "bigint", "smallint", "int"],
            Kind::Real => &["real"],
            Kind::Date => &["date"],
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_list_agrees_with_the_schema_of_postgres() {
        agrees_with_the_schema(TestDatabase::postgres(), |kind| match kind {
            Kind::Text => &["text"],
            Kind::Json => &["jsonb"],
            Kind::Timestamp => &["timestamp with time zone"],
            Kind::Integer => &["bigint", "smallint", "integer"],
            Kind::Real => &["double precision"],
            Kind::Date => &["date"],
        })
        .await;
    }
}
