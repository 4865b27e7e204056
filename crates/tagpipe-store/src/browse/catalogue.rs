//! Categories, years, sets and cards as they are stored, each with the names of everything above it.

use sea_orm::{QueryResult, Value};
use serde::Serialize;

use super::{GradeCount, Scale, count};
use crate::connect::Store;
use crate::error::StoreError;

/// A category, as the rows below name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CategoryName {
    /// Its id.
    pub id: i64,
    /// As the site shows it.
    pub name: String,
}

/// A year, as the rows below name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct YearName {
    /// Its id.
    pub id: i64,
    /// As the site shows it.
    pub year: String,
}

/// A set, as its cards name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetName {
    /// Its id.
    pub id: i64,
    /// Its brand.
    pub brand: String,
    /// Its name; empty for the base product.
    pub name: String,
}

/// When a row was seen, and whether it is still listed. All times in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Seen {
    /// First seen.
    pub first_seen_at: String,
    /// Last time that a value differed from the reading before.
    pub changed_at: String,
    /// Last seen.
    pub last_seen_at: String,
    /// When a complete reading of the page above no longer listed it; `None` while it is listed.
    pub vanished_at: Option<String>,
    /// When the page below it was last read whole; `None` if it never was.
    pub read_at: Option<String>,
}

/// A category, what its listed years promise and what of that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Category {
    /// Its id.
    pub id: i64,
    /// As the site shows it.
    pub name: String,
    /// Path and query of the page that lists its years.
    pub url: String,
    /// Years that are listed.
    pub years: u64,
    /// Sets that they promise.
    pub sets: u64,
    /// Cards that they promise.
    pub items: u64,
    /// Graded copies that they promise.
    pub graded: u64,
    /// Cards that are stored and listed.
    pub cards_stored: u64,
    /// Of these, those whose sums have agreed.
    pub cards_verified: u64,
    /// When the page of a listed card was read whole the longest time ago, in UTC; `None` if none was.
    pub oldest_read_at: Option<String>,
    /// When the page of a listed card was last read whole, in UTC.
    pub newest_read_at: Option<String>,
    /// When it was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A year of a category, and what the category's page promises of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Year {
    /// Its id.
    pub id: i64,
    /// As the site shows it.
    pub year: String,
    /// Its category.
    pub category: CategoryName,
    /// Path and query of the page that lists its sets.
    pub url: String,
    /// Sets promised.
    pub sets: u64,
    /// Cards promised.
    pub items: u64,
    /// Graded copies promised.
    pub graded: u64,
    /// When it was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A set and its population.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Set {
    /// Its id.
    pub id: i64,
    /// Its brand.
    pub brand: String,
    /// Its name; empty for the base product.
    pub name: String,
    /// Its category.
    pub category: CategoryName,
    /// Its year.
    pub year: YearName,
    /// Path and query of the page that lists its cards.
    pub url: String,
    /// Graded copies.
    pub total: u64,
    /// The copies by grade, in the order of the scale; grades with copies only.
    pub counts: Vec<GradeCount>,
    /// When its sums last agreed, in UTC.
    pub verified_at: Option<String>,
    /// When it was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A card and its population.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Card {
    /// Its id.
    pub id: i64,
    /// Its number as printed.
    pub number: String,
    /// Its name.
    pub name: String,
    /// Its variation; empty if it has none.
    pub variation: String,
    /// Its category.
    pub category: CategoryName,
    /// Its year.
    pub year: YearName,
    /// Its set.
    pub set: SetName,
    /// Path and query of the page that lists its certificates.
    pub url: String,
    /// Graded copies.
    pub total: u64,
    /// The copies by grade, in the order of the scale; grades with copies only.
    pub counts: Vec<GradeCount>,
    /// When its sums last agreed, in UTC.
    pub verified_at: Option<String>,
    /// When it was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

impl Store {
    /// All categories by id.
    ///
    /// Goes through all cards for what is stored of them: a page that is asked for all the time should keep the answer for
    /// some seconds.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn categories(&self) -> Result<Vec<Category>, StoreError> {
        self.categories_where("true", Vec::new()).await
    }

    /// The category with this id. Goes through its cards.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn category(&self, id: i64) -> Result<Option<Category>, StoreError> {
        let found = self
            .categories_where("categories.id = $1", vec![id.into()])
            .await?;
        Ok(found.into_iter().next())
    }

    /// All years of a category, by id.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn years_of(&self, category_id: i64) -> Result<Vec<Year>, StoreError> {
        self.years_where(
            "years.category_id = $1 ORDER BY years.id",
            vec![category_id.into()],
        )
        .await
    }

    /// The year with this id.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn year(&self, id: i64) -> Result<Option<Year>, StoreError> {
        let found = self.years_where("years.id = $1", vec![id.into()]).await?;
        Ok(found.into_iter().next())
    }

    /// Up to `limit` sets of a year by id, those after the set `after`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn sets_of(
        &self,
        year_id: i64,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Set>, StoreError> {
        self.sets_where(
            "sets.year_id = $1 AND sets.id > $2 ORDER BY sets.id LIMIT $3",
            page(year_id, after, limit),
        )
        .await
    }

    /// The set with this id.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn set(&self, id: i64) -> Result<Option<Set>, StoreError> {
        let found = self.sets_where("sets.id = $1", vec![id.into()]).await?;
        Ok(found.into_iter().next())
    }

    /// Up to `limit` cards of a set by id, those after the card `after`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn cards_of(
        &self,
        set_id: i64,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Card>, StoreError> {
        self.cards_where(
            "cards.set_id = $1 AND cards.id > $2 ORDER BY cards.id LIMIT $3",
            page(set_id, after, limit),
        )
        .await
    }

    /// The card with this id.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn card(&self, id: i64) -> Result<Option<Card>, StoreError> {
        let found = self.cards_where("cards.id = $1", vec![id.into()]).await?;
        Ok(found.into_iter().next())
    }

    async fn categories_where(&self, which: &str, values: Vec<Value>) -> Result<Vec<Category>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "WITH promised AS (SELECT category_id, count(*) AS years, {sets} AS sets, {items} AS items, {graded} AS graded \
                 FROM years WHERE vanished_at IS NULL GROUP BY category_id), \
             by_set AS (SELECT set_id, count(*) AS cards, count(verified_at) AS verified, min(read_at) AS oldest, \
                     max(read_at) AS newest \
                 FROM cards WHERE vanished_at IS NULL AND set_id IN (SELECT sets.id FROM categories \
                     JOIN years ON years.category_id = categories.id JOIN sets ON sets.year_id = years.id WHERE {which}) \
                 GROUP BY set_id), \
             stored AS (SELECT years.category_id, {cards} AS cards, {verified} AS verified, min(by_set.oldest) AS oldest, \
                     max(by_set.newest) AS newest \
                 FROM by_set JOIN sets ON sets.id = by_set.set_id JOIN years ON years.id = sets.year_id \
                 GROUP BY years.category_id) \
             SELECT categories.id, categories.name, categories.url, coalesce(promised.years, 0) AS years, \
                 coalesce(promised.sets, 0) AS sets, coalesce(promised.items, 0) AS items, \
                 coalesce(promised.graded, 0) AS graded, coalesce(stored.cards, 0) AS cards_stored, \
                 coalesce(stored.verified, 0) AS cards_verified, {oldest} AS oldest_read_at, {newest} AS newest_read_at, {seen} \
             FROM categories LEFT JOIN promised ON promised.category_id = categories.id \
             LEFT JOIN stored ON stored.category_id = categories.id WHERE {which} ORDER BY categories.id",
            sets = dialect.sum("sets_count"),
            items = dialect.sum("items_count"),
            graded = dialect.sum("graded_count"),
            cards = dialect.sum("by_set.cards"),
            verified = dialect.sum("by_set.verified"),
            oldest = dialect.iso("stored.oldest"),
            newest = dialect.iso("stored.newest"),
            seen = self.seen_columns("categories"),
        );
        let rows = self.rows(dialect.statement(sql, values)).await?;
        rows.iter().map(category).collect()
    }

    async fn years_where(&self, which: &str, values: Vec<Value>) -> Result<Vec<Year>, StoreError> {
        let sql = format!(
            "SELECT years.id, years.year, years.url, years.sets_count, years.items_count, years.graded_count, \
                 categories.id AS category_id, categories.name AS category, {seen} \
             FROM years JOIN categories ON categories.id = years.category_id WHERE {which}",
            seen = self.seen_columns("years"),
        );
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        rows.iter().map(year).collect()
    }

    async fn sets_where(&self, which: &str, values: Vec<Value>) -> Result<Vec<Set>, StoreError> {
        let sql = format!(
            "SELECT sets.id, sets.brand, sets.name, sets.url, sets.total, {counts} AS counts, \
                 {verified} AS verified_at, years.id AS year_id, years.year, categories.id AS category_id, \
                 categories.name AS category, {seen} \
             FROM sets JOIN years ON years.id = sets.year_id JOIN categories ON categories.id = years.category_id \
             WHERE {which}",
            counts = self.dialect.as_text("sets.counts"),
            verified = self.dialect.iso("sets.verified_at"),
            seen = self.seen_columns("sets"),
        );
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        let scale = self.scale().await?;
        rows.iter().map(|row| set(row, &scale)).collect()
    }

    /// Cards `which` stands for: conditions, order and limit over `cards` and the tables above.
    pub(super) async fn cards_where(&self, which: &str, values: Vec<Value>) -> Result<Vec<Card>, StoreError> {
        let sql = format!(
            "SELECT cards.id, cards.number, cards.name, cards.variation, cards.url, cards.total, {counts} AS counts, \
                 {verified} AS verified_at, sets.id AS set_id, sets.brand, sets.name AS set_name, years.id AS year_id, \
                 years.year, categories.id AS category_id, categories.name AS category, {seen} \
             FROM cards JOIN sets ON sets.id = cards.set_id JOIN years ON years.id = sets.year_id \
             JOIN categories ON categories.id = years.category_id WHERE {which}",
            counts = self.dialect.as_text("cards.counts"),
            verified = self.dialect.iso("cards.verified_at"),
            seen = self.seen_columns("cards"),
        );
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        let scale = self.scale().await?;
        rows.iter().map(|row| card(row, &scale)).collect()
    }

    fn seen_columns(&self, table: &str) -> String {
        [
            "first_seen_at",
            "changed_at",
            "last_seen_at",
            "vanished_at",
            "read_at",
        ]
        .map(|column| format!("{} AS {column}", self.dialect.iso(&format!("{table}.{column}"))))
        .join(", ")
    }
}

fn page(parent: i64, after: Option<i64>, limit: u32) -> Vec<Value> {
    vec![
        parent.into(),
        after.unwrap_or(i64::MIN).into(),
        i64::from(limit).into(),
    ]
}

fn category(row: &QueryResult) -> Result<Category, StoreError> {
    Ok(Category {
        id: row.try_get("", "id")?,
        name: row.try_get("", "name")?,
        url: row.try_get("", "url")?,
        years: count(row, "years")?,
        sets: count(row, "sets")?,
        items: count(row, "items")?,
        graded: count(row, "graded")?,
        cards_stored: count(row, "cards_stored")?,
        cards_verified: count(row, "cards_verified")?,
        oldest_read_at: row.try_get("", "oldest_read_at")?,
        newest_read_at: row.try_get("", "newest_read_at")?,
        seen: seen(row)?,
    })
}

fn year(row: &QueryResult) -> Result<Year, StoreError> {
    Ok(Year {
        id: row.try_get("", "id")?,
        year: row.try_get("", "year")?,
        category: category_name(row)?,
        url: row.try_get("", "url")?,
        sets: count(row, "sets_count")?,
        items: count(row, "items_count")?,
        graded: count(row, "graded_count")?,
        seen: seen(row)?,
    })
}

fn set(row: &QueryResult, scale: &Scale) -> Result<Set, StoreError> {
    Ok(Set {
        id: row.try_get("", "id")?,
        brand: row.try_get("", "brand")?,
        name: row.try_get("", "name")?,
        category: category_name(row)?,
        year: year_name(row)?,
        url: row.try_get("", "url")?,
        total: count(row, "total")?,
        counts: scale.counts(&row.try_get::<String>("", "counts")?)?,
        verified_at: row.try_get("", "verified_at")?,
        seen: seen(row)?,
    })
}

fn card(row: &QueryResult, scale: &Scale) -> Result<Card, StoreError> {
    Ok(Card {
        id: row.try_get("", "id")?,
        number: row.try_get("", "number")?,
        name: row.try_get("", "name")?,
        variation: row.try_get("", "variation")?,
        category: category_name(row)?,
        year: year_name(row)?,
        set: SetName {
            id: row.try_get("", "set_id")?,
            brand: row.try_get("", "brand")?,
            name: row.try_get("", "set_name")?,
        },
        url: row.try_get("", "url")?,
        total: count(row, "total")?,
        counts: scale.counts(&row.try_get::<String>("", "counts")?)?,
        verified_at: row.try_get("", "verified_at")?,
        seen: seen(row)?,
    })
}

fn category_name(row: &QueryResult) -> Result<CategoryName, StoreError> {
    Ok(CategoryName {
        id: row.try_get("", "category_id")?,
        name: row.try_get("", "category")?,
    })
}

fn year_name(row: &QueryResult) -> Result<YearName, StoreError> {
    Ok(YearName {
        id: row.try_get("", "year_id")?,
        year: row.try_get("", "year")?,
    })
}

fn seen(row: &QueryResult) -> Result<Seen, StoreError> {
    Ok(Seen {
        first_seen_at: row.try_get("", "first_seen_at")?,
        changed_at: row.try_get("", "changed_at")?,
        last_seen_at: row.try_get("", "last_seen_at")?,
        vanished_at: row.try_get("", "vanished_at")?,
        read_at: row.try_get("", "read_at")?,
    })
}
