//! `/search`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tagpipe_store::browse::catalogue::Card;

use super::catalogue::set_name;
use crate::api::pages::Page;
use crate::dashboard::answer::{Answered, Query, frame, page as answer};
use crate::dashboard::show::Count;
use crate::dashboard::views::{Hit, SearchPage};
use crate::dashboard::words::{encoded, when};
use crate::guard::Reader;
use crate::state::App;

const ROWS: u32 = 50;

/// What may stand in the address.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct Asked {
    /// The words.
    q: String,
    /// The card that the page before ended with.
    after: Option<i64>,
}

/// `GET /search`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
) -> Answered {
    let words = asked.q.trim();
    let mut hits = Vec::new();
    if asked.after.is_none() && !words.is_empty() {
        hits.extend(certificate(&app, words).await?);
    }
    let cards = app.store().search(words, None, asked.after, ROWS + 1).await?;
    let cards = Page::of(cards, ROWS, |card| card.id.to_string());
    hits.extend(cards.items.iter().map(|card| Hit {
        kind: "card",
        name: title(card),
        place: place(card),
        href: format!("/cards/{}", card.id),
        total: Some(Count(card.total)),
        seen_at: when(&card.seen.last_seen_at),
    }));
    let mut frame = frame("Search", "catalogue", &identity);
    frame.query = words.to_owned();
    answer(&SearchPage {
        frame,
        hits,
        next: cards
            .next
            .map(|last| format!("/search?q={}&after={last}", encoded(words))),
    })
}

/// The card that has the certificate of this number.
async fn certificate(app: &App, number: &str) -> Result<Option<Hit>, tagpipe_store::StoreError> {
    let Some(id) = app.store().card_of_certificate(number).await? else {
        return Ok(None);
    };
    let card = app.store().card(id).await?;
    Ok(card.map(|card| Hit {
        kind: "certificate",
        name: number.to_owned(),
        place: format!("{} › {}", place(&card), title(&card)),
        href: format!("/cards/{id}"),
        total: None,
        seen_at: when(&card.seen.last_seen_at),
    }))
}

fn title(card: &Card) -> String {
    let parts = [&card.number, &card.name, &card.variation];
    let said: Vec<&str> = parts
        .into_iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    said.join(" ")
}

fn place(card: &Card) -> String {
    let set = set_name(&card.set.brand, &card.set.name);
    format!("{} › {} › {set}", card.category.name, card.year.year)
}
