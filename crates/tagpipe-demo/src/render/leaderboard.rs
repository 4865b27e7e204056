//! The leaderboard of a card: one row for each certificate.

use super::markup::{push_digits, push_escaped, push_number, push_ordinal};
use super::pager::{self, Window};
use super::table::{self, CELL_CLOSE, CELL_OPEN, Header, ROW_CLOSE, ROW_OPEN};
use super::{LastColumn, Rows, Screen, View, shown};
use crate::address::Address;
use crate::config::Level;
use crate::world::{CardId, Certificate, Completion, grade_text};

const HEADERS: [Header; 7] = [
    Header::sortable("Rank", "arrow_downward"),
    Header::sortable("TAG Grade", "unfold_more"),
    Header::plain("View Report"),
    Header::sortable("Rank by Grade", "unfold_more"),
    Header::sortable("Chronology", "unfold_more"),
    Header::sortable("Chron by Grade", "unfold_more"),
    Header::sortable("Completed", "unfold_more"),
];

/// Opens a cell that carries its raw value.
const VALUE_OPEN: &str = "<td class=\"MuiTableCell-root jss213 MuiTableCell-body\" value=\"";

/// Paints a card's certificates, or those of one grade.
pub(super) fn paint(screen: &mut Screen, view: &View<'_>, address: Address, card: CardId, rows: Rows) {
    let fate = view.last_column(Level::GradeRows);
    table::open(
        screen,
        HEADERS.into_iter(),
        Header::sortable("Cert Number", "unfold_more"),
        fate,
    );
    let mut board = view.world.shelf(card.set).leaderboard(card.row);
    if let Some(grade) = address.grade {
        board.retain(|certificate| certificate.grade == grade);
    }
    let window = Window::new(address.page, board.len() as u32);
    for row in shown(window, rows) {
        push_certificate(&mut screen.html, &board[row as usize], fate);
        screen.end_row();
    }
    let out = &mut screen.html;
    if window.of == 0 && rows != Rows::Withheld {
        table::push_empty_state(out);
    }
    table::close(out);
    if window.of > 0 && rows != Rows::Withheld {
        pager::push(out, view, address, window);
    }
    table::close_paper(out);
}

fn push_certificate(out: &mut String, certificate: &Certificate, fate: LastColumn) {
    let number = certificate.number;
    let style = CellStyle(certificate.presentation);
    out.push_str(ROW_OPEN);
    push_place(out, certificate.rank, Place::Cardinal, style);
    push_grade(out, certificate);
    out.push_str(CELL_OPEN);
    out.push_str("<a class=\"MuiButtonBase-root MuiButton-root MuiButton-text\" href=\"/card/");
    out.push_str(number.as_str());
    out.push_str("\" target=\"_blank\" rel=\"noopener\">View</a>");
    out.push_str(CELL_CLOSE);
    push_place(out, certificate.rank_by_grade, Place::Cardinal, style.next());
    push_place(out, certificate.chronology, Place::Ordinal, style.next().next());
    push_place(
        out,
        certificate.chron_by_grade,
        Place::Ordinal,
        style.next().next().next(),
    );
    push_completion(out, certificate.completed, style);
    for _ in 0..fate.copies() {
        out.push_str(CELL_OPEN);
        out.push_str(number.as_str());
        out.push_str(CELL_CLOSE);
    }
    out.push_str(ROW_CLOSE);
}

/// Draws for the looks of a row's cells.
#[derive(Clone, Copy)]
struct CellStyle(u64);

impl CellStyle {
    fn next(self) -> Self {
        Self(self.0 >> 8)
    }

    /// Most cells carry their raw value, some only the text.
    fn has_value(self) -> bool {
        !self.0.is_multiple_of(8)
    }

    fn blank(self) -> &'static str {
        if self.0 & 16 == 0 { "-" } else { "" }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Cardinal,
    Ordinal,
}

/// A place counted from 1; 0 means not given.
fn push_place(out: &mut String, place: u32, kind: Place, style: CellStyle) {
    if style.has_value() {
        out.push_str(VALUE_OPEN);
        push_number(out, u64::from(place));
        out.push_str("\">");
    } else {
        out.push_str(CELL_OPEN);
    }
    match (place, kind) {
        (0, _) => out.push_str(style.blank()),
        (place, Place::Cardinal) => push_number(out, u64::from(place)),
        (place, Place::Ordinal) => push_ordinal(out, u64::from(place)),
    }
    out.push_str(CELL_CLOSE);
}

fn push_grade(out: &mut String, certificate: &Certificate) {
    out.push_str(CELL_OPEN);
    for piece in grade_text(certificate.grade) {
        push_escaped(out, piece);
    }
    if let Some(score) = certificate.score {
        out.push_str(" (");
        push_number(out, u64::from(score));
        out.push(')');
    }
    out.push_str(CELL_CLOSE);
}

/// A date with the ISO time behind it, or `0` where it is not given.
fn push_completion(out: &mut String, completed: Option<Completion>, style: CellStyle) {
    match completed {
        None => out.push_str("<td class=\"MuiTableCell-root jss213 MuiTableCell-body\" value=\"0\">-"),
        Some(completion) if style.has_value() => {
            out.push_str(VALUE_OPEN);
            push_iso_time(out, completion, style.next());
            out.push_str("\">");
            push_american_date(out, completion);
        }
        Some(completion) => {
            out.push_str(CELL_OPEN);
            push_american_date(out, completion);
        }
    }
    out.push_str(CELL_CLOSE);
}

/// As `2025-08-20T14:03:22.000Z`.
fn push_iso_time(out: &mut String, completion: Completion, style: CellStyle) {
    let (year, month, day) = completion.day.ymd();
    let second = u64::from(completion.second);
    for (separator, number, width) in [
        ("", year as u64, 4),
        ("-", u64::from(month), 2),
        ("-", u64::from(day), 2),
        ("T", second / 3600, 2),
        (":", second / 60 % 60, 2),
        (":", second % 60, 2),
        (".", style.0 % 1000, 3),
    ] {
        out.push_str(separator);
        push_digits(out, number, width);
    }
    out.push('Z');
}

/// As `08-20-2025`.
fn push_american_date(out: &mut String, completion: Completion) {
    let (year, month, day) = completion.day.ymd();
    push_digits(out, u64::from(month), 2);
    out.push('-');
    push_digits(out, u64::from(day), 2);
    out.push('-');
    push_digits(out, year as u64, 4);
}
