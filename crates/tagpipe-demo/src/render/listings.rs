//! The pages that list what lies below them: categories, years, sets and cards.

use super::markup::{push_escaped, push_number, push_words};
use super::pager::{self, Window};
use super::table::{self, CELL_CLOSE, CELL_OPEN, COUNT_OPEN, Header, ROW_CLOSE, ROW_OPEN};
use super::{LastColumn, Rows, Screen, View, shown};
use crate::address::{Address, Place, Spelling, push_address};
use crate::config::Level;
use crate::world::{CardId, CategoryId, Counts, Grade, SetId, YearId};

/// Paints the tiles. A tile may hold no link.
pub(super) fn paint_categories(screen: &mut Screen, view: &View<'_>, rows: Rows) {
    screen
        .html
        .push_str("<div class=\"MuiGrid-root jss30 MuiGrid-container MuiGrid-spacing-xs-2\">");
    screen.begin_rows();
    if rows != Rows::Withheld {
        for (place, category) in view.world.categories().enumerate() {
            push_tile(&mut screen.html, view, place, category);
            screen.end_row();
        }
    }
    screen.html.push_str("</div>");
}

fn push_tile(out: &mut String, view: &View<'_>, place: usize, category: CategoryId) {
    let traits = view.world.category(category);
    out.push_str("<div class=\"MuiGrid-root jss31 MuiGrid-item MuiGrid-grid-xs-6 MuiGrid-grid-sm-4 MuiGrid-grid-lg-2\"><div class=\"MuiPaper-root MuiCard-root jss32 MuiPaper-elevation1 MuiPaper-rounded\">");
    if traits.linked {
        out.push_str("<a class=\"MuiButtonBase-root MuiCardActionArea-root\" href=\"");
        push_link(out, view, Place::Category(category));
        out.push_str("\">");
    }
    out.push_str(
        "<img class=\"MuiCardMedia-root MuiCardMedia-media MuiCardMedia-img\" alt=\"\" src=\"/static/img/",
    );
    push_number(out, place as u64);
    out.push_str(".svg\">");
    push_tile_name(out, traits.name, view.last_column(Level::Categories));
    out.push_str(if traits.linked {
        "</a></div></div>"
    } else {
        "</div></div>"
    });
}

fn push_tile_name(out: &mut String, name: &str, fate: LastColumn) {
    let tag = if fate == LastColumn::Renamed { "h5" } else { "h6" };
    for _ in 0..fate.copies() {
        for piece in ["<", tag, " class=\"MuiTypography-root jss33 MuiTypography-h6\">"] {
            out.push_str(piece);
        }
        push_escaped(out, name);
        for piece in ["</", tag, ">"] {
            out.push_str(piece);
        }
    }
}

fn push_link(out: &mut String, view: &View<'_>, place: Place) {
    let mut address = String::new();
    push_address(&mut address, view.world, place, Spelling::Link);
    push_escaped(out, &address);
}

/// Paints the years of a category, ascending, without a pager.
pub(super) fn paint_years(screen: &mut Screen, view: &View<'_>, category: CategoryId, rows: Rows) {
    let fate = view.last_column(Level::Years);
    let headers = ["Year", "Sets", "Items"].map(Header::plain);
    table::open(screen, headers.into_iter(), Header::plain("Graded"), fate);
    let years = view.world.years_of(category);
    if rows != Rows::Withheld {
        if years.len() == 0 {
            table::push_empty_state(&mut screen.html);
        }
        for year in years {
            push_year(&mut screen.html, view, year, fate);
            screen.end_row();
        }
    }
    table::close(&mut screen.html);
    table::close_paper(&mut screen.html);
}

fn push_year(out: &mut String, view: &View<'_>, year: YearId, fate: LastColumn) {
    let facts = view.world.year(year);
    out.push_str(ROW_OPEN);
    out.push_str(CELL_OPEN);
    out.push_str("<a class=\"MuiTypography-root MuiLink-root MuiLink-underlineHover\" href=\"");
    push_link(out, view, Place::Year(year));
    out.push_str("\">");
    push_number(out, u64::from(facts.year));
    out.push_str("</a>");
    out.push_str(CELL_CLOSE);
    table::push_count(out, u64::from(facts.sets), "0");
    table::push_count(out, u64::from(facts.items), "0");
    (0..fate.copies()).for_each(|_| table::push_count(out, u64::from(facts.graded), "0"));
    out.push_str(ROW_CLOSE);
}

/// Paints the sets of a year.
pub(super) fn paint_sets(screen: &mut Screen, view: &View<'_>, address: Address, year: YearId, rows: Rows) {
    let fate = view.last_column(Level::Sets);
    let headers = std::iter::once(Header::sortable("Grade", "unfold_more")).chain(table::grade_headers());
    table::open(screen, headers, table::TOTAL, fate);
    let sets = view.world.sets_of(year);
    let window = Window::new(address.page, sets.len() as u32);
    let shown = shown(window, rows);
    for set in sets.skip(shown.start as usize).take(shown.len()) {
        push_set(&mut screen.html, view, set, fate);
        screen.end_row();
    }
    let totals = view
        .totals
        .then(|| (["TOTALS", ""], view.world.sum_of_year(year)));
    close_list(
        screen,
        view,
        address,
        window,
        rows,
        fate,
        totals.as_ref().map(|(cells, sum)| (&cells[..1], sum)),
    );
}

fn push_set(out: &mut String, view: &View<'_>, set: SetId, fate: LastColumn) {
    let facts = view.world.set(set);
    out.push_str(ROW_OPEN);
    out.push_str(CELL_OPEN);
    out.push_str("<a class=\"MuiTypography-root MuiLink-root MuiLink-underlineHover\" href=\"");
    push_link(out, view, Place::Set(set));
    out.push_str("\"><b>");
    push_escaped(out, facts.brand);
    out.push_str("</b>");
    push_words(out, facts.name);
    out.push_str("</a>");
    out.push_str(CELL_CLOSE);
    let look = view.look(u64::from(facts.cards)).of_text(facts.brand);
    table::push_counts(out, facts.counts, table::zero_mark(look.percent(70)), fate);
    out.push_str(ROW_CLOSE);
}

/// Paints the cards of a set, one row for each variation.
pub(super) fn paint_cards(screen: &mut Screen, view: &View<'_>, address: Address, set: SetId, rows: Rows) {
    let fate = view.last_column(Level::Cards);
    let leading = [Header::sortable("Card #", "arrow_upward"), Header::plain("Name")];
    table::open(
        screen,
        leading.into_iter().chain(table::grade_headers()),
        table::TOTAL,
        fate,
    );
    let facts = view.world.set(set);
    let window = Window::new(address.page, facts.cards);
    let mut shelf = CardPainter::new(view, set, fate);
    for row in shown(window, rows) {
        shelf.push(&mut screen.html, row);
        screen.end_row();
    }
    let word_first = view
        .look(u64::from(facts.counts.total()))
        .of_text(facts.brand)
        .percent(50);
    let cells = if word_first {
        ["TOTALS", ""]
    } else {
        ["", "TOTALS"]
    };
    close_list(
        screen,
        view,
        address,
        window,
        rows,
        fate,
        view.totals.then_some((&cells, facts.counts)),
    );
}

/// Ends a list with TOTALS and a pager, or with the word that there are no rows.
fn close_list(
    screen: &mut Screen,
    view: &View<'_>,
    address: Address,
    window: Window,
    rows: Rows,
    fate: LastColumn,
    totals: Option<(&[&str], &Counts)>,
) {
    let out = &mut screen.html;
    let withheld = rows == Rows::Withheld;
    if window.of == 0 && !withheld {
        table::push_empty_state(out);
    }
    if let Some((cells, sum)) = totals.filter(|_| window.of > 0 && !withheld) {
        table::push_totals(out, cells, sum, fate);
    }
    table::close(out);
    if window.of > 0 && !withheld {
        pager::push(out, view, address, window);
    }
    table::close_paper(out);
}

/// Paints the card rows of one set; what all of them share is worked out once.
struct CardPainter<'v> {
    view: &'v View<'v>,
    set: SetId,
    fate: LastColumn,
    link: String,
    escaped: String,
}

impl<'v> CardPainter<'v> {
    fn new(view: &'v View<'v>, set: SetId, fate: LastColumn) -> Self {
        Self {
            view,
            set,
            fate,
            link: String::new(),
            escaped: String::new(),
        }
    }

    fn push(&mut self, out: &mut String, row: u32) {
        let shelf = self.view.world.shelf(self.set);
        let facts = shelf.facts(row);
        let counts = shelf.counts(row);
        self.aim(CardId { set: self.set, row });

        out.push_str(ROW_OPEN);
        out.push_str(CELL_OPEN);
        push_escaped(out, &facts.number.to_string());
        out.push_str(CELL_CLOSE);
        out.push_str(CELL_OPEN);
        out.push_str("<a class=\"MuiTypography-root MuiLink-root MuiLink-underlineHover\" href=\"");
        out.push_str(&self.escaped);
        out.push_str("\">");
        push_words(out, facts.name);
        out.push_str("</a>");
        push_variation(out, facts.variation);
        out.push_str(CELL_CLOSE);
        self.push_linked_counts(
            out,
            &counts,
            table::zero_mark(self.view.look(u64::from(row)).percent(70)),
        );
        out.push_str(ROW_CLOSE);
    }

    /// Works out the link of a row, once for its name and all its counts.
    fn aim(&mut self, card: CardId) {
        self.link.clear();
        self.escaped.clear();
        push_address(&mut self.link, self.view.world, Place::Card(card), Spelling::Link);
        push_escaped(&mut self.escaped, &self.link);
    }

    fn push_linked_counts(&self, out: &mut String, counts: &Counts, zero: &str) {
        for grade in Grade::all() {
            match counts.of(grade) {
                0 => table::push_count(out, 0, zero),
                count => self.push_linked_count(out, grade, count),
            }
        }
        (0..self.fate.copies()).for_each(|_| table::push_count(out, u64::from(counts.total()), zero));
    }

    fn push_linked_count(&self, out: &mut String, grade: Grade, count: u32) {
        out.push_str(COUNT_OPEN);
        out.push_str("<a class=\"MuiTypography-root MuiLink-root\" href=\"");
        out.push_str(&self.escaped);
        out.push_str(if self.link.contains('?') { "&amp;" } else { "?" });
        out.push_str("grades=");
        out.push_str(grade.code());
        out.push_str("\">");
        super::markup::push_grouped(out, u64::from(count));
        out.push_str("</a>");
        out.push_str(CELL_CLOSE);
    }
}

fn push_variation(out: &mut String, variation: &str) {
    if !variation.is_empty() {
        out.push_str(
            "<div class=\"MuiBox-root jss215\"><span class=\"MuiTypography-root MuiTypography-caption\">",
        );
        push_escaped(out, variation);
        out.push_str("</span></div>");
    }
}
