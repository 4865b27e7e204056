//! The site's markup, the same in both renderings.
//!
//! A page is written into one string, front to back. A [`Screen`] remembers where its rows begin and end, so
//! that the script rendering can hand them out in portions and a fault can leave some away.
//!
//! Everything the world says passes through escaping here; nothing else does.

mod chrome;
mod leaderboard;
mod listings;
mod markup;
mod pager;
mod table;

pub(crate) use self::chrome::{captcha, certificate_report, push_shell, refusal, title};
use self::pager::Window;
pub(crate) use self::pager::pages;
use crate::address::{Address, Place};
use crate::chance::{Chance, Purpose};
use crate::config::{DemoConfig, Layout, Level, Rendering};
use crate::world::World;

/// Bytes set aside for a page: most need less, the long ones grow a few times.
const USUAL_SIZE: usize = 48 * 1024;

/// What a page is painted from, apart from its address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'w> {
    pub(crate) world: &'w World,
    pub(crate) rendering: Rendering,
    totals: bool,
    layout: Layout,
}

/// How much of a page's rows is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    /// Some are missing from the end, as this draw decides. The pager does not know.
    Partial(u64),
    /// None, and no word that there are none.
    Withheld,
}

/// What has become of a table's last column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastColumn {
    Kept,
    Renamed,
    Missing,
    Doubled,
}

impl LastColumn {
    fn copies(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Kept | Self::Renamed => 1,
            Self::Doubled => 2,
        }
    }
}

impl<'w> View<'w> {
    pub(crate) fn new(world: &'w World, config: &DemoConfig) -> Self {
        Self {
            world,
            rendering: config.rendering,
            totals: config.totals,
            layout: config.layout,
        }
    }

    fn last_column(&self, at: Level) -> LastColumn {
        match self.layout {
            Layout::RenamedHeader { level } if level == at => LastColumn::Renamed,
            Layout::MissingHeader { level } if level == at => LastColumn::Missing,
            Layout::DoubledHeader { level } if level == at => LastColumn::Doubled,
            _ => LastColumn::Kept,
        }
    }

    /// A draw that varies how pages look, steady for each page.
    fn look(&self, of: u64) -> Chance {
        Chance::new(self.world.conditions().seed, Purpose::Presentation).of(of)
    }
}

/// A painted page: HTML with marks at its rows.
#[derive(Debug)]
pub(crate) struct Screen {
    html: String,
    content_at: usize,
    rows_at: usize,
    row_ends: Vec<usize>,
}

impl Screen {
    fn new() -> Self {
        Self {
            html: String::with_capacity(USUAL_SIZE),
            content_at: 0,
            rows_at: 0,
            row_ends: Vec::new(),
        }
    }

    fn begin_rows(&mut self) {
        self.rows_at = self.html.len();
    }

    fn end_row(&mut self) {
        self.row_ends.push(self.html.len());
    }

    /// The content before the rows.
    pub(crate) fn top(&self) -> &str {
        let end = if self.row_ends.is_empty() {
            self.html.len()
        } else {
            self.rows_at
        };
        &self.html[self.content_at..end]
    }

    /// The rows, one by one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(self.rows_at).chain(self.row_ends.iter().copied());
        starts
            .zip(&self.row_ends)
            .map(|(start, &end)| &self.html[start..end])
    }

    /// The content behind the rows.
    pub(crate) fn bottom(&self) -> &str {
        self.row_ends.last().map_or("", |&end| &self.html[end..])
    }
}

/// A complete document.
pub(crate) fn document(view: &View<'_>, address: Option<Address>, rows: Rows) -> String {
    let mut screen = Screen::new();
    match address {
        Some(address) => {
            chrome::open_document(&mut screen.html, &title(view.world, address.place));
            paint(&mut screen, view, address, rows);
        }
        None => {
            chrome::open_document(&mut screen.html, "Population Report");
            chrome::push_not_found(&mut screen.html);
        }
    }
    chrome::close_document(&mut screen.html);
    screen.html
}

/// The content of a page for the script to show.
pub(crate) fn content(view: &View<'_>, address: Option<Address>, rows: Rows) -> Screen {
    let mut screen = Screen::new();
    match address {
        Some(address) => paint(&mut screen, view, address, rows),
        None => chrome::push_not_found(&mut screen.html),
    }
    screen
}

/// Rows that the page's pager tells of; 0 for a page without one.
pub(crate) fn row_count(world: &World, address: Address) -> u32 {
    match address.place {
        Place::Categories | Place::Category(_) => 0,
        Place::Year(year) => world.sets_of(year).len() as u32,
        Place::Set(set) => world.set(set).cards,
        Place::Card(card) => {
            let counts = world.shelf(card.set).counts(card.row);
            address
                .grade
                .map_or_else(|| counts.total(), |grade| counts.of(grade))
        }
    }
}

fn paint(screen: &mut Screen, view: &View<'_>, address: Address, rows: Rows) {
    screen.content_at = screen.html.len();
    chrome::open_main(&mut screen.html, view.world, address.place);
    match address.place {
        Place::Categories => listings::paint_categories(screen, view, rows),
        Place::Category(category) => listings::paint_years(screen, view, category, rows),
        Place::Year(year) => listings::paint_sets(screen, view, address, year, rows),
        Place::Set(set) => listings::paint_cards(screen, view, address, set, rows),
        Place::Card(card) => leaderboard::paint(screen, view, address, card, rows),
    }
    screen.html.push_str(chrome::MAIN_CLOSE);
}

/// The rows of `window` that are shown after all: at least one fewer where some are missing.
fn shown(window: Window, rows: Rows) -> std::ops::Range<u32> {
    let length = window.to - window.from;
    match rows {
        Rows::All => window.from..window.to,
        Rows::Partial(draw) => window.from..window.from + (draw % u64::from(length.max(1))) as u32,
        Rows::Withheld => 0..0,
    }
}
