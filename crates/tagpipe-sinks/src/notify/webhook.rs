//! JSON to any address, signed so that the receiver knows who sent it and when, after the Standard Webhooks specification:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
//!
//! How a receiver verifies it is in `docs/notifications.md`.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use sha2::Sha256;
use tagpipe_core::news::{Fact, NewsKind, NewsLevel};
use url::Url;

use super::http::{Poster, address};
use super::{Item, Message, Notifier, NotifyError, Outcome, Secret};

/// What a webhook needs.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Its address.
    pub url: Secret,
    /// What messages are signed with: `whsec_` and base64 of the key, or the key itself, at least 16 characters. Without one they
    /// are not signed.
    pub secret: Option<Secret>,
}

/// The least key, in bytes: nobody guesses 16 random ones.
const KEY_MIN: usize = 16;

pub(super) struct Webhook {
    poster: Poster,
    url: Url,
    key: Option<Vec<u8>>,
}

impl Webhook {
    pub(super) fn new(settings: &WebhookSettings) -> Result<Webhook, NotifyError> {
        let key = match &settings.secret {
            None => None,
            Some(secret) => Some(signing_key(secret.reveal()).ok_or_else(|| {
                NotifyError(
                    "the webhook's secret takes at least 16 characters, or whsec_ and base64 of at least 16 bytes"
                        .to_owned(),
                )
            })?),
        };
        Ok(Webhook {
            poster: Poster::new()?,
            url: address(&settings.url, "the webhook")?,
            key,
        })
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn send(&self, message: &Message, _reached: &[String]) -> Outcome {
        let body = body(message);
        let timestamp = Timestamp::now().as_second();
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        add("webhook-id", &message.id);
        add("webhook-timestamp", &timestamp.to_string());
        if let Some(key) = &self.key {
            add(
                "webhook-signature",
                &signature(key, &message.id, timestamp, &body),
            );
        }
        self.poster.post(&self.url, headers, body, None).await
    }
}

/// The key that a secret stands for; `None` if it is none.
#[must_use]
pub fn signing_key(secret: &str) -> Option<Vec<u8>> {
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => secret.as_bytes().to_vec(),
    };
    (key.len() >= KEY_MIN).then_some(key)
}

/// What stands in `webhook-signature`: `v1,` and base64 of the HMAC-SHA256 of id, timestamp (seconds since 1970) and body, with
/// full stops between them.
///
/// # Panics
/// Never: HMAC takes a key of any length.
#[must_use]
pub fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    timestamp: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    title: String,
    level: NewsLevel,
    total: u64,
    counts: Vec<Count>,
    news: Vec<Piece<'a>>,
}

#[derive(Serialize)]
struct Count {
    kind: NewsKind,
    level: NewsLevel,
    count: u64,
}

#[derive(Serialize)]
struct Piece<'a> {
    id: i64,
    at: &'a str,
    kind: NewsKind,
    level: NewsLevel,
    title: &'a str,
    text: &'a str,
    facts: &'a [Fact],
    run: Option<i64>,
    link: Option<&'a str>,
}

/// The same bytes each time that a message is sent.
fn body(message: &Message) -> Vec<u8> {
    let counts = message.counts.iter();
    let payload = Payload {
        r#type: "tagpipe.news",
        timestamp: message.at(),
        data: Data {
            id: &message.id,
            title: message.title(),
            level: message.level(),
            total: message.total(),
            counts: counts
                .map(|(kind, level, count)| Count {
                    kind: *kind,
                    level: *level,
                    count: *count,
                })
                .collect(),
            news: message.items.iter().map(piece).collect(),
        },
    };
    serde_json::to_vec(&payload).expect("own types serialise")
}

fn piece(item: &Item) -> Piece<'_> {
    Piece {
        id: item.id,
        at: &item.at,
        kind: item.kind,
        level: item.level,
        title: &item.title,
        text: &item.text,
        facts: &item.facts,
        run: item.run,
        link: item.link.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    /// Reckoned with Python's hmac and with `openssl dgst`, as `docs/notifications.md` shows.
    #[test]
    fn a_signature_is_what_other_programs_reckon() {
        let key = signing_key("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3").expect("a key");
        assert_eq!(key, b"0123456789abcdef01234567");
        let signed = signature(
            &key,
            "0197c2f0-0000-7000-8000-000000000001",
            1_796_025_600,
            b"{\"a\":1}",
        );
        assert_eq!(signed, "v1,PGgbqwLigg4F901FumAfDQNwpqFWtZ5b5aCAoOpRByY=");
    }

    #[test]
    fn short_or_broken_secrets_are_none() {
        for secret in ["", "short", "whsec_c2hvcnQ=", "whsec_?", "whsec_"] {
            assert_eq!(signing_key(secret), None, "{secret}");
        }
        assert!(signing_key("sixteen letters!").is_some());
    }

    #[test]
    fn the_body_is_the_same_each_time_and_says_how_much_it_leaves_out() {
        let storm = message(&["a \"quoted\" <b>", "ü"], 498);
        assert_eq!(body(&storm), body(&storm.clone()));
        let read: serde_json::Value = serde_json::from_slice(&body(&storm)).expect("JSON");
        assert_eq!(read["type"], "tagpipe.news");
        assert_eq!(read["data"]["total"], 500);
        assert_eq!(read["data"]["news"].as_array().map(Vec::len), Some(2));
        assert_eq!(read["data"]["news"][0]["title"], "a \"quoted\" <b>");
        assert_eq!(read["data"]["counts"][0]["kind"], "run_failed");
    }
}
