//! `/catalogue` and below.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tagpipe_store::browse::catalogue::Card;

use crate::api::pages::Page;
use crate::dashboard::answer::{Answered, Path, Query, crumb, found, frame, page as answer};
use crate::dashboard::show::{Bar, Count};
use crate::dashboard::views::{
    CardRow, CataloguePage, CategoryPage, CategoryRow, Crumb, SetPage, SetRow, YearPage, YearRow,
};
use crate::dashboard::words::{maybe_when, on_site, when};
use crate::guard::Reader;
use crate::state::App;

const ROWS: u32 = 100;

/// Where a list goes on.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// The row that the page before ended with.
    after: Option<i64>,
}

/// `GET /catalogue`.
pub(crate) async fn categories(State(app): State<Arc<App>>, Reader(identity): Reader) -> Answered {
    let categories = app.store().categories().await?;
    let rows = categories.into_iter().map(|one| CategoryRow {
        id: one.id,
        name: one.name,
        years: Count(one.years),
        sets: Count(one.sets),
        cards: Count(one.cards_stored),
        graded: Count(one.graded),
        seen_at: when(&one.seen.last_seen_at),
        vanished_at: maybe_when(one.seen.vanished_at.as_ref()),
    });
    answer(&CataloguePage {
        frame: frame("Catalogue", "catalogue", &identity),
        categories: rows.collect(),
    })
}

/// `GET /catalogue/categories/{id}`.
pub(crate) async fn category(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Path(id): Path<i64>,
) -> Answered {
    let category = found(app.store().category(id).await, &format!("category {id}"))?;
    let mut years = app.store().years_of(id).await?;
    years.sort_by(|one, other| other.year.cmp(&one.year));
    let fullest = years.iter().map(|year| year.graded).max().unwrap_or(0);
    let rows = years.into_iter().map(|year| YearRow {
        id: year.id,
        bar: Bar::new(
            fullest,
            &[("done", year.graded)],
            format!("{} graded copies", Count(year.graded)),
        ),
        name: year.year,
        sets: Count(year.sets),
        cards: Count(year.items),
        graded: Count(year.graded),
        seen_at: when(&year.seen.last_seen_at),
        vanished_at: maybe_when(year.seen.vanished_at.as_ref()),
    });
    let mut frame = frame(category.name, "catalogue", &identity);
    frame.crumbs = vec![to_catalogue()];
    answer(&CategoryPage {
        frame,
        site_url: on_site(app.site.as_ref(), &category.url),
        years: rows.collect(),
    })
}

/// `GET /catalogue/years/{id}`.
pub(crate) async fn year(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Answered {
    let year = found(app.store().year(id).await, &format!("year {id}"))?;
    let sets = app.store().sets_of(id, asked.after, ROWS + 1).await?;
    let sets = Page::of(sets, ROWS, |set| set.id.to_string());
    let rows = sets.items.into_iter().map(|set| SetRow {
        id: set.id,
        brand: set.brand,
        name: set.name,
        total: Count(set.total),
        verified_at: maybe_when(set.verified_at.as_ref()),
        seen_at: when(&set.seen.last_seen_at),
        vanished_at: maybe_when(set.seen.vanished_at.as_ref()),
    });
    let mut frame = frame(
        format!("{} {}", year.category.name, year.year),
        "catalogue",
        &identity,
    );
    frame.crumbs = vec![to_catalogue(), to_category(year.category.id, &year.category.name)];
    answer(&YearPage {
        frame,
        site_url: on_site(app.site.as_ref(), &year.url),
        sets: rows.collect(),
        next: sets
            .next
            .map(|last| format!("/catalogue/years/{id}?after={last}")),
        first: asked.after.map(|_| format!("/catalogue/years/{id}")),
    })
}

/// `GET /catalogue/sets/{id}`.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Answered {
    let set = found(app.store().set(id).await, &format!("set {id}"))?;
    let cards = app.store().cards_of(id, asked.after, ROWS + 1).await?;
    let cards = Page::of(cards, ROWS, |card| card.id.to_string());
    let mut frame = frame(set_name(&set.brand, &set.name), "catalogue", &identity);
    frame.crumbs = vec![
        to_catalogue(),
        to_category(set.category.id, &set.category.name),
        to_year(set.year.id, &set.year.year),
    ];
    answer(&SetPage {
        frame,
        site_url: on_site(app.site.as_ref(), &set.url),
        total: Count(set.total),
        verified_at: maybe_when(set.verified_at.as_ref()),
        read_at: maybe_when(set.seen.read_at.as_ref()),
        cards: cards.items.into_iter().map(card_row).collect(),
        next: cards
            .next
            .map(|last| format!("/catalogue/sets/{id}?after={last}")),
        first: asked.after.map(|_| format!("/catalogue/sets/{id}")),
    })
}

fn card_row(card: Card) -> CardRow {
    // The counts stand in the order of the scale, best grade first, without those that have no copy.
    let (top_grade, top_count) = card
        .counts
        .first()
        .map_or((String::new(), 0), |top| (top.grade_code.clone(), top.copies));
    CardRow {
        id: card.id,
        number: card.number,
        name: card.name,
        variation: card.variation,
        total: Count(card.total),
        top_grade,
        top_count: Count(top_count),
        seen_at: when(&card.seen.last_seen_at),
        vanished_at: maybe_when(card.seen.vanished_at.as_ref()),
    }
}

/// A set's name as people say it.
pub(crate) fn set_name(brand: &str, name: &str) -> String {
    if name.is_empty() {
        brand.to_owned()
    } else {
        format!("{brand} {name}")
    }
}

pub(crate) fn to_catalogue() -> Crumb {
    crumb("Catalogue", "/catalogue")
}

pub(crate) fn to_category(id: i64, name: &str) -> Crumb {
    crumb(name, format!("/catalogue/categories/{id}"))
}

pub(crate) fn to_year(id: i64, name: &str) -> Crumb {
    crumb(name, format!("/catalogue/years/{id}"))
}

pub(crate) fn to_set(id: i64, name: &str) -> Crumb {
    crumb(name, format!("/catalogue/sets/{id}"))
}
