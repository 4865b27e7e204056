//! What findings are called: the names that people know rows by.

/// The name of a year in a query that has `years` and `categories`.
const YEAR: &str = "coalesce(categories.name || ' ', '') || coalesce(years.year || ' ', '')";
const SET: &str = "coalesce(sets.brand || ' ', '') || CASE WHEN coalesce(sets.name, '') = '' THEN '' ELSE sets.name || ' ' END";
const CARD: &str = "'#' || cards.number || ' ' || cards.name || CASE WHEN cards.variation = '' THEN '' ELSE ' (' || cards.variation || ')' END";

/// Which row a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Year,
    Set,
    Card,
}

impl Subject {
    /// Level of the page that lists what is below the row.
    pub(super) fn level(self) -> u8 {
        match self {
            Subject::Year => 2,
            Subject::Set => 3,
            Subject::Card => 4,
        }
    }

    /// What `discrepancies` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Subject::Year => "year",
            Subject::Set => "set",
            Subject::Card => "card",
        }
    }

    /// `findings` by name: a query with `subject_id`, and `what` is an expression over it as `found`.
    pub(super) fn named(self, findings: &str, what: &str) -> String {
        let above = match self {
            Subject::Year => "JOIN years ON years.id = found.subject_id",
            Subject::Set => {
                "JOIN sets ON sets.id = found.subject_id LEFT JOIN years ON years.id = sets.year_id"
            }
            Subject::Card => {
                "JOIN cards ON cards.id = found.subject_id LEFT JOIN sets ON sets.id = cards.set_id \
                 LEFT JOIN years ON years.id = sets.year_id"
            }
        };
        format!(
            "SELECT {place} AS place, {what} AS what FROM ({findings}) AS found {above} \
             LEFT JOIN categories ON categories.id = years.category_id",
            place = self.place()
        )
    }

    /// The name in a query that has the row's table and those above it.
    pub(super) fn place(self) -> String {
        match self {
            Subject::Year => format!("trim({YEAR})"),
            Subject::Set => format!("trim({YEAR} || {SET})"),
            Subject::Card => format!("{YEAR} || {SET} || {CARD}"),
        }
    }
}
