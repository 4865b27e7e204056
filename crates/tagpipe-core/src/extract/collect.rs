//! From the rows of a document to the rows of a page: which of them hold data, which are the page's own
//! words (totals, "no records"), and what follows when some cannot be read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::dom::NodeId;
use super::row::{Lost, RowReader, child_of, odd_address_of};
use super::table::{self, Columns};
use super::{Extracted, ExtractedPage, NextPage, Page, PagerState, Totals, UNREADABLE_MAX, UnreadableCell};
use super::{pager, screens};
use crate::model::{Identity, PageRows};

/// A row of one page kind.
pub(super) trait PageRow: Sized + PartialEq {
    /// Reads the row; what cannot be read has been reported when it is lost.
    fn read(row: &mut RowReader<'_>) -> Result<Self, Lost>;

    /// What tells this row from the others of its page.
    fn key(&self) -> [Cow<'_, str>; 3];

    /// Whether two rows with one key are one row.
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    /// The rows of a page.
    fn pack(rows: Vec<Self>) -> PageRows;
}

/// Reads a page whose rows are `T`.
pub(super) fn page<T: PageRow>(page: &Page<'_>) -> Extracted {
    let candidates: Vec<NodeId> = page
        .rows
        .iter()
        .copied()
        .filter(|row| page.may_hold_data(*row))
        .collect();
    if candidates.is_empty() {
        return page_without_rows(page);
    }
    let (columns, rows) = match page.columns_of(&candidates) {
        Ok(found) => found,
        Err(detail) => return Extracted::LayoutChanged { detail },
    };
    if page.is_cut_off(&rows) {
        let detail = format!(
            "the document ends within the rows of {}: it was cut off",
            page.kind()
        );
        return Extracted::LayoutChanged { detail };
    }
    let mut collector = Collector::<T>::new(page, &columns);
    for row in rows {
        collector.take(row);
    }
    collector.finish()
}

/// What a document without rows of data is.
fn page_without_rows(page: &Page<'_>) -> Extracted {
    let is_empty = screens::shown(page.document, &[], &page.profile.screens.empty).is_some();
    let is_not_found = screens::shown(page.document, &[], &page.profile.screens.not_found).is_some();
    if is_not_found && !is_empty {
        return Extracted::NotFound;
    }
    if let Err(detail) = page.check_empty_table() {
        return Extracted::LayoutChanged { detail };
    }
    if !is_empty {
        return Extracted::NotReady;
    }
    let (pager, next, unreadable) = read_pager(page);
    Extracted::Page(Box::new(ExtractedPage {
        rows: PageRows::none(page.kind()),
        rows_shown: 0,
        pager,
        next,
        totals: None,
        explicitly_empty: true,
        unreadable,
        odd_addresses: Vec::new(),
    }))
}

/// What the pager says, what leads on, and what of both cannot be read.
fn read_pager(page: &Page<'_>) -> (Option<PagerState>, Option<NextPage>, Vec<UnreadableCell>) {
    let Some(rules) = &page.profile.pager else {
        return (None, None, Vec::new());
    };
    let mut unreadable = Vec::new();
    let mut report = |cell| unreadable.push(cell);
    let state = pager::state(rules, page.document, &page.rows).map_err(&mut report);
    let next = pager::next(
        page.profile,
        rules,
        page.kind(),
        page.identity,
        page.document,
        &page.rows,
    );
    let next = next.map_err(&mut report);
    (state.unwrap_or_default(), next.unwrap_or_default(), unreadable)
}

impl Page<'_> {
    /// Whether a row may hold data: placeholders without text and messages in one cell do not.
    fn may_hold_data(&self, row: NodeId) -> bool {
        if self.document.text(row).iter().all(u8::is_ascii_whitespace) {
            return false;
        }
        if !self.level.is_table() {
            return true;
        }
        let mut cells = table::cells(self.document, self.level, row);
        match (cells.next(), cells.next()) {
            (Some(_), Some(_)) => true,
            (Some(only), None) => self.has_one_column() && table::span_of(self.document, only) == 1,
            _ => false,
        }
    }

    /// Whether the level's table can have a single column.
    fn has_one_column(&self) -> bool {
        self.level.counts_total.is_none() && self.level.fields.len() == 1
    }

    /// The columns of the first table that fits, and its rows.
    fn columns_of(&self, rows: &[NodeId]) -> Result<(Columns, Vec<NodeId>), String> {
        if !self.level.is_table() {
            let fields = vec![None; self.level.fields.len()];
            return Ok((
                Columns {
                    fields,
                    ..Columns::default()
                },
                rows.to_vec(),
            ));
        }
        let mut first_problem = None;
        let mut tried = Vec::new();
        for row in rows {
            let table = table::table_of(self.document, *row);
            if tried.contains(&table) {
                continue;
            }
            tried.push(table);
            match table::columns(self.document, self.profile, self.level, &self.rows, table) {
                Ok(columns) => {
                    let is_its = |row: &NodeId| table::table_of(self.document, *row) == table;
                    return Ok((columns, rows.iter().copied().filter(is_its).collect()));
                }
                Err(problem) => first_problem = first_problem.or(Some(problem)),
            }
            if tried.len() == TABLES_MAX {
                break;
            }
        }
        Err(first_problem.unwrap_or_default())
    }

    /// Whether the document ends within the table of `rows`, or within a tile.
    fn is_cut_off(&self, rows: &[NodeId]) -> bool {
        let last = rows.last().copied();
        let table = last.and_then(|row| table::table_of(self.document, row));
        [last.filter(|_| !self.level.is_table()), table]
            .into_iter()
            .flatten()
            .any(|node| self.document.is_open_at_end(node))
    }

    /// Headers that do not fit mean a changed layout even without rows; so does a table that has cells of
    /// data which are none by the profile.
    fn check_empty_table(&self) -> Result<(), String> {
        if !self.level.is_table() {
            return Ok(());
        }
        let Some(header) = table::has_headers(self.document, self.level, &self.rows) else {
            return Ok(());
        };
        let table = table::table_of(self.document, header);
        table::columns(self.document, self.profile, self.level, &self.rows, table)?;
        if self.rows.iter().any(|row| self.may_hold_data(*row)) {
            return Ok(());
        }
        let is_data = |node: NodeId| {
            self.document.name(node) == b"td"
                && !self.document.is_first_child(node)
                && !self.document.text(node).iter().all(u8::is_ascii_whitespace)
        };
        let scope = table.map_or_else(|| self.document.all(), |table| self.document.under(table));
        if scope.into_iter().any(is_data) {
            let (row, cell) = (&self.level.row_source, &self.level.cell_source);
            return Err(format!(
                "rows of {}: the table has cells, but `{row}` with `{cell}` selects none of them \
                 (table.row, table.cell)",
                self.kind()
            ));
        }
        Ok(())
    }

    /// Whether a row is the one of totals: its word in one of the first two cells, and no link of its own.
    fn is_totals(&self, row: NodeId, cells: &[NodeId], has_child: bool) -> bool {
        let Some(word) = self
            .profile
            .table
            .totals
            .as_ref()
            .filter(|_| !has_child && self.level.is_table())
        else {
            return false;
        };
        let is_word = |cell: &NodeId| super::head(self.document.text(*cell)).eq_ignore_ascii_case(word);
        let has_link = || {
            let link = self.level.link.as_ref();
            self.kind().child().is_none()
                && link.is_some_and(|link| link.first(self.document, self.document.under(row)).is_some())
        };
        cells.iter().take(2).any(is_word) && !has_link()
    }
}

/// Most tables of one document that are tried.
const TABLES_MAX: usize = 16;

/// Reads row after row, and says in the end what the page is.
struct Collector<'a, T> {
    page: &'a Page<'a>,
    columns: &'a Columns,
    /// With their numbers on the page.
    rows: Vec<(usize, T)>,
    shown: usize,
    lost: usize,
    totals: Option<Totals>,
    unreadable: Vec<UnreadableCell>,
    odd_addresses: Vec<(Identity, String)>,
    /// Of the row in hand.
    cells: Vec<NodeId>,
}

impl<'a, T: PageRow> Collector<'a, T> {
    fn new(page: &'a Page<'a>, columns: &'a Columns) -> Self {
        Collector {
            page,
            columns,
            rows: Vec::with_capacity(page.rows.len()),
            shown: 0,
            lost: 0,
            totals: None,
            unreadable: Vec::new(),
            odd_addresses: Vec::new(),
            cells: Vec::with_capacity(columns.width),
        }
    }

    fn take(&mut self, node: NodeId) {
        let (child, url) = child_of(self.page, node).unzip();
        let odd = match &child {
            Some(child) => url.flatten().map(|url| (child.clone(), url)),
            None => odd_address_of(self.page, node),
        };
        self.odd_addresses.extend(odd);
        let mut cells = std::mem::take(&mut self.cells);
        let width = fill_cells(self.page, node, self.columns.width, &mut cells);
        let is_totals = self.page.is_totals(node, &cells, child.is_some());
        let number = self.shown + 1;
        let mut row = RowReader {
            page: self.page,
            columns: self.columns,
            number,
            node,
            cells: &cells,
            child,
            unreadable: &mut self.unreadable,
        };
        if is_totals {
            let totals = read_totals(&mut row);
            self.totals = self.totals.take().or(totals);
        } else {
            self.shown += 1;
            match read_row(&mut row, width) {
                Ok(read) => self.rows.push((number, read)),
                Err(Lost) => self.lost += 1,
            }
        }
        self.unreadable.truncate(UNREADABLE_MAX);
        self.cells = cells;
    }

    fn finish(mut self) -> Extracted {
        let rows = self.without_doubles();
        if self.lost * 2 > self.shown {
            let detail = self.lost_detail();
            return Extracted::LayoutChanged { detail };
        }
        if self.shown == 0 {
            // A row of totals alone: the rows are still to come, or there are none.
            return page_without_rows(self.page);
        }
        let (pager, next, pager_problem) = read_pager(self.page);
        self.unreadable.extend(pager_problem);
        Extracted::Page(Box::new(ExtractedPage {
            rows: T::pack(rows),
            rows_shown: self.shown,
            pager,
            next,
            totals: self.totals,
            explicitly_empty: false,
            odd_addresses: self.odd_addresses,
            unreadable: self.unreadable,
        }))
    }

    /// The rows with each key once. Of two equal ones the first stays; of two that differ as well, but the
    /// other one is lost.
    fn without_doubles(&mut self) -> Vec<T> {
        let rows = std::mem::take(&mut self.rows);
        let mut firsts: HashMap<[Cow<'_, str>; 3], &T> = HashMap::with_capacity(rows.len());
        let mut keep = Vec::with_capacity(rows.len());
        for (number, row) in &rows {
            match firsts.entry(row.key()) {
                Entry::Vacant(place) => {
                    place.insert(row);
                    keep.push(true);
                }
                Entry::Occupied(first) => {
                    keep.push(false);
                    if !first.get().is_same(row) {
                        self.lost += 1;
                        self.unreadable.push(double(*number, first.key()));
                    }
                }
            }
        }
        drop(firsts);
        self.unreadable.truncate(UNREADABLE_MAX);
        rows.into_iter()
            .zip(keep)
            .filter_map(|((_, row), keep)| keep.then_some(row))
            .collect()
    }

    fn lost_detail(&self) -> String {
        let (kind, lost, shown) = (self.page.kind(), self.lost, self.shown);
        let example = self
            .unreadable
            .iter()
            .find(|cell| cell.lost_row)
            .map_or_else(String::new, |cell| {
                format!(
                    "; the first: row {}, `{}`: `{}` {}",
                    cell.row, cell.column, cell.text, cell.problem
                )
            });
        format!("rows of {kind}: {lost} of {shown} cannot be read{example}")
    }
}

fn double(row: usize, key: &[Cow<'_, str>; 3]) -> UnreadableCell {
    let text = key
        .iter()
        .map(|part| part.as_ref())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" · ");
    UnreadableCell {
        row,
        column: "row".to_owned(),
        text: super::bounded(text.as_bytes()),
        problem: "stands twice, with other values".to_owned(),
        lost_row: true,
    }
}

/// Puts the cell of each column in its place; the width of the row as its cells' spans tell it.
fn fill_cells(page: &Page<'_>, row: NodeId, columns: usize, cells: &mut Vec<NodeId>) -> usize {
    cells.clear();
    let mut width = 0;
    if !page.level.is_table() {
        return width;
    }
    for cell in table::cells(page.document, page.level, row) {
        let span = table::span_of(page.document, cell);
        width += span;
        let room = columns.saturating_sub(cells.len());
        cells.extend(std::iter::repeat_n(cell, span.min(room)));
    }
    width
}

fn read_row<T: PageRow>(row: &mut RowReader<'_>, width: usize) -> Result<T, Lost> {
    if width != row.columns.width {
        let problem = format!(
            "is a row of {width} columns where the header has {}",
            row.columns.width
        );
        let text = super::bounded(row.page.document.text(row.node));
        row.push("row".to_owned(), &text, &problem, true);
        return Err(Lost);
    }
    T::read(row)
}

/// The sums in a row of totals; those that cannot be read are reported, and no row is lost by it.
fn read_totals(row: &mut RowReader<'_>) -> Option<Totals> {
    row.page.level.counts_total.as_ref()?;
    let first_problem = row.unreadable.len();
    let totals = (|| {
        Ok::<_, Lost>(Totals {
            counts: row.counts()?,
            total: row.total()?,
        })
    })();
    for cell in row.unreadable.iter_mut().skip(first_problem) {
        cell.row = 0;
        cell.lost_row = false;
    }
    totals.ok()
}
