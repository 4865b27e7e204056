//! What a page no longer lists: rows of the report that have vanished, and those that go on under another name.
//!
//! Only a page that was read whole makes its rows vanish. With a set vanish its cards, with a card its certificates:
//! their own pages are not asked for any more. Years and categories take nothing with them, because their pages do
//! not say how many rows they have, and one that was read halfway must not cost days of reading.
//!
//! That a row vanished, returned or was renamed is recorded by the triggers of the schema.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;

use crate::contract::RunId;
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;

/// A table whose rows a page lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) table: &'static str,
    /// The parent's id, an expression over `stored`; 0 for the categories.
    pub(crate) parent: &'static str,
    /// The column with the natural key.
    pub(crate) key: &'static str,
    /// What tells a row from its siblings even under another name, an expression over `stored`; empty if nothing does.
    pub(crate) mark: &'static str,
    /// The two columns that a new name may change; none where a row of another name is another row.
    pub(crate) names: &'static [&'static str],
}

pub(crate) const CATEGORIES: Listed = Listed {
    table: "categories",
    parent: "CAST(0 AS bigint)",
    key: "name_key",
    mark: "''",
    names: &[],
};
pub(crate) const YEARS: Listed = Listed {
    table: "years",
    parent: "stored.category_id",
    key: "natural_key",
    mark: "''",
    names: &[],
};
pub(crate) const SETS: Listed = Listed {
    table: "sets",
    parent: "stored.year_id",
    key: "natural_key",
    mark: "''",
    names: &["brand", "name"],
};
pub(crate) const CARDS: Listed = Listed {
    table: "cards",
    parent: "stored.set_id",
    key: "natural_key",
    mark: "stored.number || '/' || stored.variation",
    names: &["name", "variation"],
};

/// A page that was read, with what it lists.
#[derive(Debug)]
pub(crate) struct ListingPage {
    /// The id of the row whose children it lists.
    pub(crate) parent: i64,
    /// Whether all of its rows are there.
    pub(crate) whole: bool,
    pub(crate) rows: Vec<ListedRow>,
}

/// A row as a page lists it.
#[derive(Debug)]
pub(crate) struct ListedRow {
    pub(crate) natural_key: String,
    pub(crate) url: String,
    /// The value of [`Listed::mark`].
    pub(crate) mark: String,
    /// The values of [`Listed::names`].
    pub(crate) names: Vec<String>,
}

/// Follows renamed rows and marks the vanished ones of `pages`, before what they list is written. Returns the parent of
/// each row that vanished; what vanished with it is counted there, too.
pub(crate) async fn settle_unlisted(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    listed: &Listed,
    pages: &[ListingPage],
) -> Result<Vec<i64>, StoreError> {
    let pages: Vec<_> = pages.iter().filter(|page| page.whole).collect();
    let pages = pages.as_slice();
    let unlisted = unlisted(transaction, dialect, listed, pages).await?;
    if unlisted.is_empty() {
        return Ok(Vec::new());
    }
    let renames = renames(listed, &unlisted, pages);
    let renamed = rename(transaction, dialect, run, listed, &renames).await?;
    let vanished: Vec<i64> = unlisted
        .iter()
        .filter(|row| row.is_living)
        .map(|row| row.id)
        .filter(|id| !renamed.contains(id))
        .collect();
    vanish(transaction, dialect, run, listed, &vanished).await
}

/// A stored row that its parent's page does not list.
struct Unlisted {
    id: i64,
    parent: i64,
    url: String,
    mark: String,
    /// Whether it was listed until now.
    is_living: bool,
}

async fn unlisted(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    listed: &Listed,
    pages: &[&ListingPage],
) -> Result<Vec<Unlisted>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        parent: i64,
        natural_key: Option<&'a str>,
    }
    const COLUMNS: Columns = &[("parent", ColumnType::Int), ("natural_key", ColumnType::Text)];
    if pages.is_empty() {
        return Ok(Vec::new());
    }
    let parents = pages.iter().map(|page| Row {
        parent: page.parent,
        natural_key: None,
    });
    let keys = pages.iter().flat_map(|page| {
        page.rows.iter().map(|row| Row {
            parent: page.parent,
            natural_key: Some(&row.natural_key),
        })
    });
    let rows: Vec<_> = parents.chain(keys).collect();
    let Listed {
        table,
        parent,
        key,
        mark,
        ..
    } = listed;
    let sql = format!(
        "SELECT stored.id AS id, {parent} AS parent, stored.url AS url, {mark} AS mark, \
             stored.vanished_at IS NULL AS is_living \
         FROM {table} AS stored \
         WHERE {parent} IN (SELECT r.parent FROM {source} WHERE r.natural_key IS NULL) \
             AND ({parent}, stored.{key}) NOT IN \
                 (SELECT r.parent, r.natural_key FROM {source} WHERE r.natural_key IS NOT NULL) \
         ORDER BY stored.id",
        source = dialect.rows(COLUMNS),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_rows(&rows)]))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Unlisted {
                id: row.try_get("", "id")?,
                parent: row.try_get("", "parent")?,
                url: row.try_get("", "url")?,
                mark: row.try_get("", "mark")?,
                is_living: row.try_get("", "is_living")?,
            })
        })
        .collect()
}

/// A stored row with the listed one that it goes on as.
struct Rename<'a> {
    id: i64,
    row: &'a ListedRow,
}

/// The unlisted rows that stand on their page under another name. A row is known again by its address, and a card also by
/// its number and variation, if one row alone has lost them and one alone bears them now. Whether a row of the new name
/// is stored already is for the database to say.
fn renames<'a>(listed: &Listed, unlisted: &[Unlisted], pages: &[&'a ListingPage]) -> Vec<Rename<'a>> {
    if listed.names.is_empty() {
        return Vec::new();
    }
    let mut bearers: HashMap<Place<'_>, Option<&ListedRow>> = HashMap::new();
    for page in pages {
        for row in &page.rows {
            for place in places(page.parent, &row.url, &row.mark) {
                bearers
                    .entry(place)
                    .and_modify(|known| *known = None)
                    .or_insert(Some(row));
            }
        }
    }
    // One that had vanished before may have got its name meanwhile; one that was listed until now is likelier.
    let mut losers: HashMap<Place<'_>, [u32; 2]> = HashMap::new();
    for row in unlisted {
        for place in places(row.parent, &row.url, &row.mark) {
            losers.entry(place).or_default()[usize::from(row.is_living)] += 1;
        }
    }
    let mut taken = HashSet::new();
    unlisted
        .iter()
        .filter_map(|row| {
            let bearer = places(row.parent, &row.url, &row.mark)
                .filter(|place| match losers.get(place) {
                    Some([_, 1]) => row.is_living,
                    Some([1, 0]) => !row.is_living,
                    _ => false,
                })
                .find_map(|place| bearers.get(&place).copied().flatten())?;
            taken
                .insert((row.parent, bearer.natural_key.as_str()))
                .then_some(Rename {
                    id: row.id,
                    row: bearer,
                })
        })
        .collect()
}

/// Where a row may be known again: among the rows of its parent, by its address or by its mark.
type Place<'a> = (i64, &'static str, &'a str);

/// The places of a row that has an address or a mark, the address first.
fn places<'a>(parent: i64, url: &'a str, mark: &'a str) -> impl Iterator<Item = Place<'a>> {
    [(parent, "url", url), (parent, "mark", mark)]
        .into_iter()
        .filter(|place| !place.2.is_empty())
}

/// Gives rows their new names, unless a row of that name is stored. Returns those that have them.
async fn rename(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    listed: &Listed,
    renames: &[Rename<'_>],
) -> Result<Vec<i64>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        row_id: i64,
        natural_key: &'a str,
        url: &'a str,
        first: &'a str,
        second: &'a str,
    }
    const COLUMNS: Columns = &[
        ("row_id", ColumnType::Int),
        ("natural_key", ColumnType::Text),
        ("url", ColumnType::Text),
        ("first", ColumnType::Text),
        ("second", ColumnType::Text),
    ];
    let (Listed { table, parent, .. }, [first, second]) = (listed, listed.names) else {
        return Ok(Vec::new());
    };
    if renames.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<_> = renames
        .iter()
        .map(|Rename { id, row }| Row {
            row_id: *id,
            natural_key: &row.natural_key,
            url: &row.url,
            first: row.names.first().map_or("", String::as_str),
            second: row.names.get(1).map_or("", String::as_str),
        })
        .collect();
    let sql = format!(
        "UPDATE {table} AS stored SET natural_key = r.natural_key, url = r.url, {first} = r.first, {second} = r.second, \
             last_seen_at = {now}, seen_by_run = $2 \
         FROM {source} WHERE stored.id = r.row_id AND NOT EXISTS (SELECT 1 FROM {table} AS other \
             WHERE {other_parent} = {parent} AND other.natural_key = r.natural_key) \
         RETURNING id",
        other_parent = parent.replace("stored.", "other."),
        now = dialect.statement_time(),
        source = dialect.rows(COLUMNS),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_rows(&rows), run.into()]))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Marks these rows and what stands below them. Returns the parent of each marked row of the table, and again for each
/// row below it.
async fn vanish(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    listed: &Listed,
    ids: &[i64],
) -> Result<Vec<i64>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let marked = mark(
        transaction,
        dialect,
        run,
        listed.table,
        "id",
        &listed.parent.replace("stored.", ""),
        ids,
    )
    .await?;
    let mut parents: Vec<i64> = marked.iter().map(|row| row.parent).collect();
    let parent_of: HashMap<i64, i64> = marked.iter().map(|row| (row.id, row.parent)).collect();
    match listed.table {
        "sets" => {
            let sets: Vec<i64> = parent_of.keys().copied().collect();
            let cards = mark(transaction, dialect, run, "cards", "set_id", "set_id", &sets).await?;
            let year_of: HashMap<i64, i64> = cards
                .iter()
                .filter_map(|card| Some((card.id, *parent_of.get(&card.parent)?)))
                .collect();
            parents.extend(year_of.values());
            parents.extend(vanish_certificates(transaction, dialect, run, &year_of).await?);
        }
        "cards" => parents.extend(vanish_certificates(transaction, dialect, run, &parent_of).await?),
        _ => {}
    }
    Ok(parents)
}

/// Marks the certificates of the cards of `ancestors`. Returns the ancestor of each.
async fn vanish_certificates(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    ancestors: &HashMap<i64, i64>,
) -> Result<Vec<i64>, StoreError> {
    let cards: Vec<i64> = ancestors.keys().copied().collect();
    let marked = mark(
        transaction,
        dialect,
        run,
        "grade_rows",
        "card_id",
        "card_id",
        &cards,
    )
    .await?;
    Ok(marked
        .iter()
        .filter_map(|row| ancestors.get(&row.parent).copied())
        .collect())
}

struct Marked {
    id: i64,
    parent: i64,
}

/// Marks the living rows of `table` whose `column` is among `ids`. Their pages are to be read when they come back.
async fn mark(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    table: &str,
    column: &str,
    parent: &str,
    ids: &[i64],
) -> Result<Vec<Marked>, StoreError> {
    #[derive(Serialize)]
    struct Row {
        id: i64,
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<_> = ids.iter().map(|id| Row { id: *id }).collect();
    let (due, chosen) = match table {
        "categories" => ("", String::new()),
        // What another commit is just writing is on another card by then, or listed after all.
        "grade_rows" => ("", dialect.skip_locked_of("grade_rows")),
        _ => (", read_changes = -1", String::new()),
    };
    let sql = format!(
        "UPDATE {table} SET vanished_at = {now}, changed_at = {now}, seen_by_run = $2{due} WHERE id IN \
             (SELECT id FROM {table} WHERE {column} IN (SELECT r.id FROM {source}) AND vanished_at IS NULL {chosen}) \
         RETURNING id, {parent} AS parent",
        now = dialect.statement_time(),
        source = dialect.rows(&[("id", ColumnType::Int)]),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_rows(&rows), run.into()]))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Marked {
                id: row.try_get("", "id")?,
                parent: row.try_get("", "parent")?,
            })
        })
        .collect()
}
