//! `/news`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tagpipe_core::news::NewsKind;
use tagpipe_store::{Delivery, DeliveryState, NewsFilter, NewsWithDeliveries};

use crate::api::news::Wanted;
use crate::api::pages::Page;
use crate::dashboard::answer::{Answered, Query, frame, page as answer, sentence};
use crate::dashboard::views::{DeliveryRow, NewsForm, NewsPage, NewsRow};
use crate::dashboard::words::{address_with, maybe_when, seconds, when};
use crate::guard::Reader;
use crate::state::App;

const ROWS: u32 = 50;

/// What may stand in the address: the filter as the form sends it, with empty texts for what does not matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    kind: String,
    level: String,
    delivery: String,
    since: String,
    /// The piece of news that the page before ended with.
    before: Option<i64>,
}

impl Asked {
    /// As the store takes it, or what is wrong with it, as a sentence.
    fn filter(&self) -> Result<NewsFilter, String> {
        let text = |text: &String| Some(text.trim().to_owned());
        let wanted = Wanted {
            kind: text(&self.kind),
            level: text(&self.level),
            delivery: text(&self.delivery),
            since_s: seconds(self.since.trim())?,
            before: None,
            limit: None,
        };
        wanted.filter().map_err(|problem| sentence(&problem.detail))
    }

    /// The address of the newest news of this filter, or of those before `before`.
    fn address(&self, before: Option<&str>) -> String {
        let parts = [
            ("kind", self.kind.as_str()),
            ("level", &self.level),
            ("delivery", &self.delivery),
            ("since", &self.since),
            ("before", before.unwrap_or_default()),
        ];
        address_with("/news", &parts)
    }
}

/// `GET /news`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
) -> Answered {
    let store = app.store();
    let (news, fault) = match asked.filter() {
        Ok(filter) => (store.news(&filter, asked.before, ROWS + 1).await?, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let news = Page::of(news, ROWS, |one| one.news.id.to_string());
    answer(&NewsPage {
        frame: frame("News", "news", &identity),
        has_channel: !store.news_channels().await?.is_empty(),
        older: news.next.as_ref().map(|last| asked.address(Some(last))),
        newest: asked.before.map(|_| asked.address(None)),
        news: news.items.into_iter().map(row).collect(),
        is_narrowed: asked.address(None) != "/news" || asked.before.is_some(),
        filter: NewsForm {
            kinds: NewsKind::ALL.map(|kind| (kind.as_str(), in_words(kind))).into(),
            kind: asked.kind,
            level: asked.level,
            delivery: asked.delivery,
            since: asked.since,
            fault,
        },
    })
}

fn row(one: NewsWithDeliveries) -> NewsRow {
    let news = one.news;
    NewsRow {
        id: news.id,
        at: when(&news.created_at),
        level: news.level.as_str(),
        kind: in_words(news.kind),
        title: news.title,
        text: news.text,
        facts: news
            .facts
            .into_iter()
            .map(|fact| (fact.name, fact.value))
            .collect(),
        run_id: news.run_id,
        deliveries: one.deliveries.into_iter().map(delivery_row).collect(),
    }
}

fn in_words(kind: NewsKind) -> String {
    kind.as_str().replace('_', " ")
}

fn delivery_row(delivery: Delivery) -> DeliveryRow {
    let state = delivery.state;
    let is_first = delivery.attempts < 2 && state == DeliveryState::Sent;
    DeliveryRow {
        state: state.as_str(),
        in_words: match state {
            DeliveryState::LeftOut => "not wanted",
            DeliveryState::Waiting => "waits for quiet hours or a digest to end",
            DeliveryState::Open if delivery.last_error.is_empty() => "being sent",
            DeliveryState::Open => "put off",
            DeliveryState::Sent if delivery.last_error.is_empty() => "delivered",
            DeliveryState::Sent => "delivered in part",
            DeliveryState::Failed => "given up",
        },
        tried: match delivery.attempts {
            0 => String::new(),
            _ if is_first => String::new(),
            1 => "1 attempt".to_owned(),
            attempts => format!("{attempts} attempts"),
        },
        ended_at: maybe_when(delivery.ended_at.as_ref()),
        next_at: maybe_when(delivery.not_before.as_ref()).filter(|_| !delivery.last_error.is_empty()),
        channel: delivery.channel,
        why: delivery.last_error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(state: DeliveryState, attempts: u64, why: &str) -> Delivery {
        Delivery {
            channel: "ops".into(),
            state,
            message_id: None,
            attempts,
            last_error: why.into(),
            not_before: (state == DeliveryState::Open).then(|| "2026-11-30T08:00:00.000Z".into()),
            ended_at: None,
        }
    }

    #[test]
    fn a_delivery_is_told_in_words() {
        for (state, attempts, why, in_words, tried, has_next) in [
            (DeliveryState::LeftOut, 0, "", "not wanted", "", false),
            (
                DeliveryState::Waiting,
                0,
                "",
                "waits for quiet hours or a digest to end",
                "",
                false,
            ),
            (DeliveryState::Open, 0, "", "being sent", "", false),
            (DeliveryState::Open, 3, "busy", "put off", "3 attempts", true),
            (DeliveryState::Sent, 1, "", "delivered", "", false),
            (DeliveryState::Sent, 2, "", "delivered", "2 attempts", false),
            (DeliveryState::Sent, 1, "not b", "delivered in part", "", false),
            (DeliveryState::Failed, 1, "gone", "given up", "1 attempt", false),
        ] {
            let row = delivery_row(delivery(state, attempts, why));
            assert_eq!(
                (row.in_words, row.tried.as_str(), row.why.as_str()),
                (in_words, tried, why)
            );
            assert_eq!(row.next_at.is_some(), has_next, "{state:?}");
        }
    }

    #[test]
    fn the_filter_stays_in_the_address() {
        let asked = Asked {
            delivery: "failed".into(),
            since: "7 d".into(),
            ..Asked::default()
        };
        assert_eq!(
            asked.address(Some("12")),
            "/news?delivery=failed&since=7%20d&before=12"
        );
        assert_eq!(Asked::default().address(None), "/news");
    }
}
