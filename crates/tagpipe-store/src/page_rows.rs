//! The rows of completed pages, on their way into the tables: level by level from the top down, for any number of pages at a time.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;
use tagpipe_core::model::{CardRow, CategoryRow, GradeRow, PageKind, PageRows, SetRow, YearRow};
use tagpipe_core::staleness::Observations;

use crate::catalogue::{Gathered, Level, NaturalKey, StoredRow, Upserted, upsert_grade_rows};
use crate::contract::{Admission, ChildFate, ChildPage, Committed, Ending, Finish, NewPage, RunId};
use crate::dialect::{ColumnType, Dialect};
use crate::error::StoreError;
use crate::frontier::microseconds;
use crate::listing::{ListedRow, ListingPage, settle_unlisted};
use crate::reading_order::note_changed_categories;

/// Writes the rows of `accepted` from the top down, as a row refers to the one above it.
pub(crate) async fn write_rows(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    accepted: &[&Finish],
    committed: &mut Committed,
    new_pages: &mut Vec<NewPage>,
) -> Result<(), StoreError> {
    let pages = Pages::of(accepted);
    let mut writing = Writing {
        transaction,
        dialect,
        run,
        committed,
        new_pages,
        moved: MovedRows::new(),
    };
    writing.level(&pages.categories).await?;
    writing.level(&pages.years).await?;
    writing.level(&pages.sets).await?;
    writing.level(&pages.cards).await?;
    writing.grade_rows(&pages.grade_rows).await?;
    let moved = writing.moved;
    let changed_categories = moved
        .keys()
        .filter(|(kind, _)| *kind == PageKind::Years)
        .map(|(_, category)| *category);
    note_changed_categories(transaction, dialect, changed_categories).await?;
    note_audits(transaction, dialect, accepted, &moved).await
}

/// A completed page and its children, one for each row.
struct Page<'a, T> {
    subject: i64,
    rows: &'a [T],
    children: &'a [ChildPage],
    /// Whether all of its rows are there.
    whole: bool,
}

impl<'a, T> Page<'a, T> {
    fn gathered(&self) -> impl Iterator<Item = Gathered<'a, T>> + '_ {
        let urls = self
            .children
            .iter()
            .map(|child| child.url.as_str())
            .chain(std::iter::repeat(""));
        self.rows.iter().zip(urls).map(|(row, url)| Gathered {
            parent: self.subject,
            url,
            row,
        })
    }
}

impl<T: NaturalKey> Page<'_, T> {
    fn listing(&self) -> ListingPage {
        let rows = self.gathered().map(|Gathered { url, row, .. }| ListedRow {
            natural_key: row.natural_key(),
            url: url.to_owned(),
            mark: row.mark(),
            names: row.names(),
        });
        ListingPage {
            parent: self.subject,
            whole: self.whole,
            rows: rows.collect(),
        }
    }
}

/// Completed pages by what they list.
#[derive(Default)]
struct Pages<'a> {
    categories: Vec<Page<'a, CategoryRow>>,
    years: Vec<Page<'a, YearRow>>,
    sets: Vec<Page<'a, SetRow>>,
    cards: Vec<Page<'a, CardRow>>,
    grade_rows: Vec<Page<'a, GradeRow>>,
}

impl<'a> Pages<'a> {
    fn of(accepted: &[&'a Finish]) -> Pages<'a> {
        let mut pages = Pages::default();
        for finish in accepted {
            let Ending::Completed {
                rows,
                children,
                whole,
                ..
            } = &finish.ending
            else {
                continue;
            };
            let (subject, whole) = (finish.lease.subject_id.unwrap_or(0), *whole);
            /// A page with its rows, whose type each level has of its own.
            macro_rules! page {
                ($rows:expr) => {
                    Page {
                        subject,
                        rows: $rows,
                        children,
                        whole,
                    }
                };
            }
            match rows {
                PageRows::Categories(rows) => pages.categories.push(page!(rows)),
                PageRows::Years(rows) => pages.years.push(page!(rows)),
                PageRows::Sets(rows) => pages.sets.push(page!(rows)),
                PageRows::Cards(rows) => pages.cards.push(page!(rows)),
                PageRows::GradeRows(rows) => pages.grade_rows.push(page!(rows)),
            }
        }
        pages
    }
}

/// Rows on their way into the tables.
struct Writing<'a> {
    transaction: &'a DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    committed: &'a mut Committed,
    new_pages: &'a mut Vec<NewPage>,
    moved: MovedRows,
}

impl Writing<'_> {
    /// Writes one level and adds the pages that its rows lead to.
    async fn level<T: Level>(&mut self, pages: &[Page<'_, T>]) -> Result<(), StoreError> {
        let (transaction, dialect, run) = (self.transaction, self.dialect, self.run);
        let listing: Vec<_> = pages.iter().map(Page::listing).collect();
        let gone = settle_unlisted(transaction, dialect, run, T::LISTED, &listing).await?;
        self.count_gone(T::PAGES, &gone);
        let gathered: Vec<_> = pages.iter().flat_map(Page::gathered).collect();
        let upserted = T::upsert(transaction, dialect, run, &gathered).await?;
        self.committed.rows += upserted.counts;
        for page in pages {
            self.add_children(page, &upserted)?;
        }
        Ok(())
    }

    async fn grade_rows(&mut self, pages: &[Page<'_, GradeRow>]) -> Result<(), StoreError> {
        let gathered: Vec<_> = pages.iter().flat_map(Page::gathered).collect();
        let whole: Vec<i64> = pages
            .iter()
            .filter_map(|page| page.whole.then_some(page.subject))
            .collect();
        let upserted = upsert_grade_rows(self.transaction, self.dialect, self.run, &gathered, &whole).await?;
        self.committed.rows += upserted.counts;
        self.committed.found[usize::from(PageKind::GradeRows.level())] += upserted.pages_in_doubt;
        let moved = upserted.moved.into_iter();
        self.moved
            .extend(moved.map(|(card, rows)| ((PageKind::GradeRows, card), rows)));
        Ok(())
    }

    /// Counts what vanished; `gone` has the subject of the page that no longer lists it.
    fn count_gone(&mut self, kind: PageKind, gone: &[i64]) {
        self.committed.rows.vanished += gone.len() as u64;
        for subject in gone {
            *self.moved.entry((kind, *subject)).or_default() += 1;
        }
    }

    /// Turns the children of a page's upserted rows into pages of the frontier.
    fn add_children<T: Level>(&mut self, page: &Page<'_, T>, upserted: &Upserted) -> Result<(), StoreError> {
        let stored_rows = page
            .rows
            .iter()
            .map(|row| upserted.row(page.subject, &row.natural_key()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut siblings = Observations::default();
        for stored in &stored_rows {
            siblings += stored.looks.history.seen;
        }
        for (stored, child) in stored_rows.into_iter().zip(page.children) {
            if stored.moved {
                *self.moved.entry((T::PAGES, page.subject)).or_default() += 1;
            }
            let Some(admission) = admission(&child.fate, &stored) else {
                continue;
            };
            self.new_pages.push(NewPage {
                kind: T::BELOW,
                identity: child.identity.clone(),
                url: child.url.clone(),
                subject_id: Some(stored.id),
                expected: child.expected,
                subject_changes: stored.changes,
                stale_since_us: stored.looks.stale_since_us(&siblings),
                admission,
            });
        }
        Ok(())
    }
}

/// What becomes of a row's page; `None` when it has no place in the frontier.
fn admission(fate: &ChildFate, row: &StoredRow) -> Option<Admission> {
    match fate {
        ChildFate::Read => Some(Admission::Read),
        ChildFate::Skip(reason) => Some(Admission::Skipped(reason.clone())),
        ChildFate::Ignore => None,
        ChildFate::ReadIfDue { max_age, audit } => {
            let oldest_us = max_age.map_or(i64::MAX, microseconds);
            let is_due = row.read_age_us.is_none_or(|age_us| age_us > oldest_us);
            Some(match (is_due, audit) {
                (true, _) => Admission::Read,
                (false, true) => Admission::ReadToAudit,
                (false, false) => Admission::Unchanged,
            })
        }
    }
}

/// Rows that were new, other or gone, by the kind and the subject of the page that lists them.
type MovedRows = HashMap<(PageKind, i64), i64>;

/// Notes what the pages that were read only to be audited have shown.
async fn note_audits(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    accepted: &[&Finish],
    moved: &MovedRows,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        page_id: i64,
        rows_moved: i64,
    }
    let rows: Vec<Row> = accepted
        .iter()
        .filter(|one| one.lease.audited && matches!(one.ending, Ending::Completed { .. }))
        .map(|one| Row {
            page_id: one.lease.page_id,
            rows_moved: one
                .lease
                .subject_id
                .and_then(|subject| moved.get(&(one.lease.kind, subject)).copied())
                .unwrap_or(0),
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE frontier SET rows_moved = r.rows_moved FROM {source} WHERE frontier.id = r.page_id",
        source = dialect.rows(&[("page_id", ColumnType::Int), ("rows_moved", ColumnType::Int)]),
    );
    transaction
        .execute_raw(dialect.statement(sql, [dialect.json_rows(&rows)]))
        .await?;
    Ok(())
}
