//! What surrounds the content: document head and foot, header bar, breadcrumbs, and the screens without a table.

use crate::address::{Place, Spelling, push_address};
use crate::render::markup::{push_escaped, push_number, push_words};
use crate::world::{CertNumber, World};

/// Everything up to the root element's content; `title` stands between the halves.
const HEAD: [&str; 2] = [
    concat!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<meta name=\"theme-color\" content=\"#10243e\"><title>"
    ),
    concat!(
        "</title><link rel=\"icon\" href=\"/static/favicon.svg\"><style>",
        include_str!("site.css"),
        "</style><script async src=\"/static/tracker.js\"></script></head><body>",
    ),
];

const ROOT_OPEN: &str = "<div id=\"root\">";
const FOOT: &str = "</div></body></html>";
const SCRIPT_FOOT: &str = concat!(
    "</div><noscript>You need to enable JavaScript to run this app.</noscript>",
    "<script src=\"/static/js/main.js\"></script></body></html>"
);

const HEADER_BAR: &str = concat!(
    "<header class=\"MuiPaper-root MuiAppBar-root MuiAppBar-positionStatic MuiAppBar-colorPrimary jss11 MuiPaper-elevation4\">",
    "<div class=\"MuiToolbar-root MuiToolbar-regular jss12 MuiToolbar-gutters\">",
    "<a class=\"MuiTypography-root MuiLink-root jss13 MuiTypography-h6\" href=\"/pop-report\">Population Report</a>",
    "<span class=\"MuiTypography-root jss14 MuiTypography-body2\">Demo site with made-up numbers</span></div></header>"
);

const MAIN_OPEN: &str = "<main class=\"MuiContainer-root jss20 MuiContainer-maxWidthLg\">";

/// Closes what [`open_main`] opened.
pub(crate) const MAIN_CLOSE: &str = "</main>";

const NOT_FOUND: &str = concat!(
    "<div class=\"MuiBox-root jss90\"><h1 class=\"MuiTypography-root jss91 MuiTypography-h1\">404</h1>",
    "<h2 class=\"MuiTypography-root MuiTypography-h4\">Page Not Found</h2>",
    "<p class=\"MuiTypography-root MuiTypography-body1\">We could not find what you were looking for.</p></div>"
);

/// Begins a document up to the inside of its root element.
pub(crate) fn open_document(out: &mut String, title: &str) {
    out.push_str(HEAD[0]);
    push_escaped(out, title);
    out.push_str(HEAD[1]);
    out.push_str(ROOT_OPEN);
}

/// Ends a document that the site has filled.
pub(crate) fn close_document(out: &mut String) {
    out.push_str(FOOT);
}

/// The whole document of the script rendering: an empty root element and the script that fills it.
pub(crate) fn push_shell(out: &mut String) {
    open_document(out, "Population Report");
    out.push_str(SCRIPT_FOOT);
}

/// Header bar, breadcrumbs and heading of a page that exists.
pub(crate) fn open_main(out: &mut String, world: &World, place: Place) {
    out.push_str(HEADER_BAR);
    out.push_str(MAIN_OPEN);
    push_breadcrumbs(out, world, place);
    out.push_str("<h1 class=\"MuiTypography-root jss21 MuiTypography-h5\">");
    push_name(out, world, place);
    out.push_str("</h1>");
}

/// The screen of a page that does not exist, or is said not to.
pub(crate) fn push_not_found(out: &mut String) {
    out.push_str(HEADER_BAR);
    out.push_str(MAIN_OPEN);
    out.push_str(NOT_FOUND);
    out.push_str(MAIN_CLOSE);
}

/// The screen that asks the visitor to prove being human.
pub(crate) fn captcha() -> String {
    let mut out = String::with_capacity(8192);
    open_document(&mut out, "Verify you are human");
    out.push_str(MAIN_OPEN);
    out.push_str("<h1 class=\"MuiTypography-root MuiTypography-h4\">Verify you are human</h1>");
    out.push_str(
        "<iframe title=\"challenge\" src=\"/static/captcha.html\" width=\"300\" height=\"80\"></iframe>",
    );
    out.push_str(MAIN_CLOSE);
    close_document(&mut out);
    out
}

/// The certificate's own report, which the population report links to and nobody needs.
pub(crate) fn certificate_report(number: CertNumber) -> String {
    let mut out = String::with_capacity(8192);
    open_document(&mut out, number.as_str());
    out.push_str(HEADER_BAR);
    out.push_str(MAIN_OPEN);
    out.push_str("<h1 class=\"MuiTypography-root MuiTypography-h5\">Certificate ");
    out.push_str(number.as_str());
    out.push_str("</h1><p>The demo site keeps no further record of it.</p>");
    out.push_str(MAIN_CLOSE);
    close_document(&mut out);
    out
}

/// A short page for a refusal, as servers in front of a site send it.
pub(crate) fn refusal(status: u16, reason: &str) -> String {
    let mut out = String::from("<html><head><title>");
    push_number(&mut out, u64::from(status));
    out.push(' ');
    out.push_str(reason);
    out.push_str("</title></head><body><center><h1>");
    out.push_str(reason);
    out.push_str("</h1></center></body></html>");
    out
}

/// The text of the document's title.
pub(crate) fn title(world: &World, place: Place) -> String {
    let mut name = String::new();
    push_plain_name(&mut name, world, place);
    name.push_str(" | Population Report");
    name
}

fn push_breadcrumbs(out: &mut String, world: &World, place: Place) {
    out.push_str("<nav class=\"MuiTypography-root MuiBreadcrumbs-root MuiTypography-body1\"><ol class=\"MuiBreadcrumbs-ol\">");
    let mut above = [None; 4];
    let mut at = place.parent(world);
    for slot in above.iter_mut().rev() {
        *slot = at;
        at = at.and_then(|place| place.parent(world));
    }
    for place in above.into_iter().flatten() {
        push_breadcrumb(out, world, place);
    }
    out.push_str(
        "<li class=\"MuiBreadcrumbs-li\"><p class=\"MuiTypography-root MuiTypography-colorTextPrimary\">",
    );
    push_name(out, world, place);
    out.push_str("</p></li></ol></nav>");
}

fn push_breadcrumb(out: &mut String, world: &World, place: Place) {
    out.push_str("<li class=\"MuiBreadcrumbs-li\"><a class=\"MuiTypography-root MuiLink-root MuiLink-underlineHover\" href=\"");
    let mut address = String::new();
    push_address(&mut address, world, place, Spelling::Breadcrumb);
    push_escaped(out, &address);
    out.push_str("\">");
    push_name(out, world, place);
    out.push_str("</a></li><li aria-hidden=\"true\" class=\"MuiBreadcrumbs-separator\">/</li>");
}

fn push_name(out: &mut String, world: &World, place: Place) {
    match place {
        Place::Card(card) => push_words(out, world.shelf(card.set).facts(card.row).name),
        _ => {
            let mut name = String::new();
            push_plain_name(&mut name, world, place);
            push_escaped(out, &name);
        }
    }
}

fn push_plain_name(out: &mut String, world: &World, place: Place) {
    match place {
        Place::Categories => out.push_str("Pop Report"),
        Place::Category(category) => out.push_str(world.category(category).name),
        Place::Year(year) => push_number(out, u64::from(world.year_heading(year).1)),
        Place::Set(set) => {
            let facts = world.set(set);
            out.push_str(facts.brand);
            if !facts.name.is_empty() {
                out.push(' ');
                facts
                    .name
                    .pieces()
                    .into_iter()
                    .for_each(|piece| out.push_str(piece));
            }
        }
        Place::Card(card) => {
            let name = world.shelf(card.set).facts(card.row).name;
            name.pieces().into_iter().for_each(|piece| out.push_str(piece));
        }
    }
}
