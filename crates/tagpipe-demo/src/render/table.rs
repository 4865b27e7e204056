//! What all tables share: frame, count cells, the TOTALS row, the empty state.

use super::markup::{push_escaped, push_grouped};
use super::{LastColumn, Screen};
use crate::world::{Counts, Grade};

/// Opens a row of data.
pub(crate) const ROW_OPEN: &str = "<tr class=\"MuiTableRow-root jss208 MuiTableRow-hover\">";
const TOTALS_ROW_OPEN: &str = "<tr class=\"MuiTableRow-root jss209 MuiTableRow-footer\">";
/// Closes a row.
pub(crate) const ROW_CLOSE: &str = "</tr>";
/// Opens a cell of text.
pub(crate) const CELL_OPEN: &str = "<td class=\"MuiTableCell-root jss211 MuiTableCell-body\">";
/// Opens a cell with a number.
pub(crate) const COUNT_OPEN: &str =
    "<td class=\"MuiTableCell-root jss212 MuiTableCell-body MuiTableCell-alignCenter\">";
/// Closes a cell.
pub(crate) const CELL_CLOSE: &str = "</td>";

const TABLE_OPEN: &str = concat!(
    "<div class=\"MuiPaper-root jss201 MuiPaper-elevation1 MuiPaper-rounded\"><div class=\"MuiTableContainer-root\">",
    "<table class=\"MuiTable-root jss203\"><thead class=\"MuiTableHead-root\"><tr class=\"MuiTableRow-root MuiTableRow-head\">"
);
const BODY_OPEN: &str = "</tr></thead><tbody class=\"MuiTableBody-root\">";
const TABLE_CLOSE: &str = "</tbody></table></div>";

/// A column's header: text, and the icon word of a sortable column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) text: &'static str,
    pub(crate) icon: &'static str,
}

impl Header {
    pub(crate) const fn plain(text: &'static str) -> Self {
        Self { text, icon: "" }
    }

    pub(crate) const fn sortable(text: &'static str, icon: &'static str) -> Self {
        Self { text, icon }
    }
}

/// Opens a table with all but its last header, which the layout may have changed.
pub(crate) fn open(
    screen: &mut Screen,
    headers: impl Iterator<Item = Header>,
    last: Header,
    fate: LastColumn,
) {
    screen.html.push_str(TABLE_OPEN);
    headers.for_each(|header| push_header(&mut screen.html, header));
    let last = if fate == LastColumn::Renamed {
        Header::plain("Figures")
    } else {
        last
    };
    (0..fate.copies()).for_each(|_| push_header(&mut screen.html, last));
    screen.html.push_str(BODY_OPEN);
    screen.begin_rows();
}

/// Closes the table's body; the pager and [`close_paper`] follow.
pub(crate) fn close(out: &mut String) {
    out.push_str(TABLE_CLOSE);
}

/// Closes what [`open`] opened around the table.
pub(crate) fn close_paper(out: &mut String) {
    out.push_str("</div>");
}

/// The row that says there are no rows.
pub(crate) fn push_empty_state(out: &mut String) {
    out.push_str("<tr class=\"MuiTableRow-root\"><td class=\"MuiTableCell-root MuiTableCell-body\" colspan=\"99\">No records to display</td></tr>");
}

fn push_header(out: &mut String, header: Header) {
    out.push_str("<th class=\"MuiTableCell-root jss210 MuiTableCell-head\" scope=\"col\">");
    if header.icon.is_empty() {
        push_escaped(out, header.text);
    } else {
        out.push_str("<span class=\"MuiButtonBase-root MuiTableSortLabel-root\" role=\"button\">");
        push_escaped(out, header.text);
        out.push_str(
            " <span class=\"material-icons MuiIcon-root MuiTableSortLabel-icon\" aria-hidden=\"true\">",
        );
        out.push_str(header.icon);
        out.push_str("</span></span>");
    }
    out.push_str("</th>");
}

/// The headers of the count columns without the last, which is `Total`.
pub(crate) fn grade_headers() -> impl Iterator<Item = Header> {
    Grade::all().map(|grade| Header::plain(grade.code()))
}

/// The header of the last count column.
pub(crate) const TOTAL: Header = Header::plain("Total");

/// How a row shows zero: sites do not agree with themselves on it.
pub(crate) fn zero_mark(dashed: bool) -> &'static str {
    if dashed { "-" } else { "" }
}

/// Appends a cell with a count.
pub(crate) fn push_count(out: &mut String, count: u64, zero: &str) {
    out.push_str(COUNT_OPEN);
    if count == 0 {
        out.push_str(zero);
    } else {
        push_grouped(out, count);
    }
    out.push_str(CELL_CLOSE);
}

/// Appends the 21 count cells of a row.
pub(crate) fn push_counts(out: &mut String, counts: &Counts, zero: &str, total: LastColumn) {
    Grade::all().for_each(|grade| push_count(out, u64::from(counts.of(grade)), zero));
    (0..total.copies()).for_each(|_| push_count(out, u64::from(counts.total()), zero));
}

/// Appends the TOTALS row; `leading` are the texts of the cells before the counts.
pub(crate) fn push_totals(out: &mut String, leading: &[&str], counts: &Counts, total: LastColumn) {
    out.push_str(TOTALS_ROW_OPEN);
    for text in leading {
        out.push_str(CELL_OPEN);
        out.push_str(text);
        out.push_str(CELL_CLOSE);
    }
    push_counts(out, counts, "-", total);
    out.push_str(ROW_CLOSE);
}
