//! The pager under a table: which rows are shown, and the way to the next ones.

use super::View;
use super::markup::{push_escaped, push_grouped, push_number};
use crate::address::{Address, Spelling, push_address, push_parameter};
use crate::config::Rendering;

/// Rows on one page of a table.
pub(crate) const ROWS_PER_PAGE: u32 = 200;

/// Which of `of` rows a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) page: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) of: u32,
}

impl Window {
    /// The window of the page asked for, or of the last page when there are not so many.
    pub(crate) fn new(page: u32, of: u32) -> Self {
        let page = page.clamp(1, pages(of));
        let from = (page - 1) * ROWS_PER_PAGE;
        Self {
            page,
            from,
            to: (from + ROWS_PER_PAGE).min(of),
            of,
        }
    }

    fn is_last(self) -> bool {
        self.to >= self.of
    }
}

/// Pages that `rows` rows take; an empty table takes one.
pub(crate) fn pages(rows: u32) -> u32 {
    rows.div_ceil(ROWS_PER_PAGE).max(1)
}

/// Appends the pager of a table with rows.
pub(crate) fn push(out: &mut String, view: &View<'_>, address: Address, window: Window) {
    out.push_str("<div class=\"MuiTablePagination-root\"><div class=\"MuiToolbar-root MuiTablePagination-toolbar\"><p class=\"MuiTypography-root MuiTablePagination-caption MuiTypography-body2\">");
    push_number(out, u64::from(window.from) + 1);
    out.push('-');
    push_grouped(out, u64::from(window.to));
    out.push_str(" of ");
    push_grouped(out, u64::from(window.of));
    out.push_str("</p><div class=\"MuiTablePagination-actions\">");
    push_step(
        out,
        view,
        address,
        (window.page > 1).then(|| window.page - 1),
        Step::BACK,
    );
    push_step(
        out,
        view,
        address,
        (!window.is_last()).then_some(window.page + 1),
        Step::ON,
    );
    out.push_str("</div></div></div>");
}

/// One of the pager's two buttons.
#[derive(Clone, Copy)]
struct Step {
    title: &'static str,
    icon: &'static str,
    class: &'static str,
}

impl Step {
    const BACK: Self = Self {
        title: "Previous page",
        icon: "chevron_left",
        class: " jss41",
    };
    const ON: Self = Self {
        title: "Next page",
        icon: "chevron_right",
        class: "",
    };
}

fn push_step(out: &mut String, view: &View<'_>, address: Address, page: Option<u32>, step: Step) {
    let tag = match (page, view.rendering) {
        (Some(page), Rendering::Server) => {
            out.push_str("<a class=\"MuiButtonBase-root MuiIconButton-root\" href=\"");
            push_page_address(out, view, address, page);
            "a"
        }
        (Some(page), Rendering::Script) => {
            out.push_str(
                "<button class=\"MuiButtonBase-root MuiIconButton-root\" type=\"button\" data-page=\"",
            );
            push_number(out, u64::from(page));
            "button"
        }
        (None, _) => {
            out.push_str("<button class=\"MuiButtonBase-root MuiIconButton-root Mui-disabled\" type=\"button\" tabindex=\"-1\" disabled=\"");
            "button"
        }
    };
    let Step { title, icon, class } = step;
    let ends = [
        "\" title=\"",
        title,
        "\"><span class=\"MuiIconButton-label\"><span class=\"material-icons MuiIcon-root",
        class,
    ];
    ends.into_iter().for_each(|piece| out.push_str(piece));
    for piece in ["\" aria-hidden=\"true\">", icon, "</span></span></", tag, ">"] {
        out.push_str(piece);
    }
}

fn push_page_address(out: &mut String, view: &View<'_>, address: Address, page: u32) {
    let mut link = String::new();
    push_address(&mut link, view.world, address.place, Spelling::Link);
    if let Some(grade) = address.grade {
        push_parameter(&mut link, 0, "grades", grade.code());
    }
    push_parameter(&mut link, 0, "page", &page.to_string());
    push_escaped(out, &link);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_all_rows_once() {
        for of in [1, 199, 200, 201, 232, 400, 999] {
            let windows: Vec<Window> = (1..=pages(of)).map(|page| Window::new(page, of)).collect();
            assert_eq!(windows[0].from, 0);
            assert!(
                windows
                    .windows(2)
                    .all(|pair| pair[0].to == pair[1].from && !pair[0].is_last())
            );
            assert!(windows.last().is_some_and(|last| last.to == of && last.is_last()));
        }
    }

    #[test]
    fn a_page_beyond_the_last_is_the_last() {
        assert_eq!(
            Window::new(9, 232),
            Window {
                page: 2,
                from: 200,
                to: 232,
                of: 232
            }
        );
        assert_eq!(
            Window::new(1, 0),
            Window {
                page: 1,
                from: 0,
                to: 0,
                of: 0
            }
        );
    }
}
