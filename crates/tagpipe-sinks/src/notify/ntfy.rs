//! ntfy, by publishing JSON to the root of its server: <https://docs.ntfy.sh/publish/#publish-as-json>.

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};
use tagpipe_core::news::NewsLevel;
use tagpipe_core::text::cut;
use url::Url;

use super::http::{Poster, Receipt, address, secret_header};
use super::{Message, Notifier, NotifyError, Outcome, Secret};

/// What ntfy needs.
#[derive(Debug, Clone)]
pub struct NtfySettings {
    /// The topic's address. Whoever knows it may read and write the topic, unless the server asks for a token.
    pub url: Secret,
    /// An access token.
    pub token: Option<Secret>,
}

/// Longest title, in characters, and longest text, in bytes: longer ones become attachments.
const TITLE_MAX: usize = 200;
const TEXT_MAX: usize = 3800;

pub(super) struct Ntfy {
    poster: Poster,
    server: Url,
    topic: String,
    headers: HeaderMap,
}

impl Ntfy {
    pub(super) fn new(settings: &NtfySettings) -> Result<Ntfy, NotifyError> {
        let mut server = address(&settings.url, "the topic")?;
        let topic = server
            .path_segments()
            .and_then(|mut segments| segments.rfind(|segment| !segment.is_empty()))
            .map(str::to_owned)
            .ok_or_else(|| {
                NotifyError(
                    "the address of the topic ends with its name, as in https://ntfy.sh/my-topic".to_owned(),
                )
            })?;
        let folder = server
            .path()
            .trim_end_matches('/')
            .trim_end_matches(&topic)
            .to_owned();
        server.set_path(&folder);
        // What stands after `?` stays: ntfy takes an authorisation there, too.
        server.set_fragment(None);
        let headers = match &settings.token {
            None => HeaderMap::new(),
            Some(token) => {
                let header = secret_header(AUTHORIZATION, &format!("Bearer {}", token.reveal()))?;
                HeaderMap::from_iter([header])
            }
        };
        Ok(Ntfy {
            poster: Poster::new()?,
            server,
            topic,
            headers,
        })
    }
}

#[async_trait]
impl Notifier for Ntfy {
    async fn send(&self, message: &Message, _reached: &[String]) -> Outcome {
        let body = serde_json::to_vec(&payload(&self.topic, message)).expect("own types serialise");
        self.poster
            .post(&self.server, self.headers.clone(), body, Some(&RECEIPT))
            .await
    }
}

fn payload(topic: &str, message: &Message) -> Value {
    let (priority, tag) = match message.level() {
        NewsLevel::Info => (3, "information_source"),
        NewsLevel::Warning => (4, "warning"),
        NewsLevel::Error => (4, "x"),
        NewsLevel::Critical => (5, "rotating_light"),
    };
    let mut payload = json!({
        "topic": topic,
        "title": cut(&message.title(), TITLE_MAX),
        "message": message.plain_text_within(TEXT_MAX),
        "priority": priority,
        "tags": [tag],
        // A second message of the same sequence takes the place of the first.
        "sequence_id": message.id,
    });
    if let Some(link) = message.items.iter().find_map(|item| item.link.as_deref()) {
        payload["click"] = json!(link);
    }
    payload
}

/// The answer to a message that is published is the message: <https://docs.ntfy.sh/subscribe/api/#json-message-format>.
const RECEIPT: Receipt = Receipt {
    name: "the message with its `id`, as ntfy gives it",
    is_one: |answer| {
        let answer: Result<Value, _> = serde_json::from_str(answer);
        answer.is_ok_and(|answer| answer["id"].is_string())
    },
};

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn the_topic_is_the_end_of_its_address() {
        for (url, server, topic) in [
            ("https://ntfy.sh/cards", "https://ntfy.sh/", "cards"),
            ("http://127.0.0.1:8080/cards/", "http://127.0.0.1:8080/", "cards"),
            (
                "https://example.com/push/cards?auth=QmFzaWM",
                "https://example.com/push/?auth=QmFzaWM",
                "cards",
            ),
        ] {
            let ntfy = Ntfy::new(&NtfySettings {
                url: Secret::new(url),
                token: None,
            })
            .expect(url);
            assert_eq!((ntfy.server.as_str(), ntfy.topic.as_str()), (server, topic));
        }
        let nameless = NtfySettings {
            url: Secret::new("https://ntfy.sh/"),
            token: None,
        };
        assert!(Ntfy::new(&nameless).is_err());
    }

    #[test]
    fn only_a_published_message_is_a_receipt() {
        let published =
            r#"{"id":"hwQ2YpKdmg","time":1635528741,"event":"message","topic":"cards","message":"x"}"#;
        assert!((RECEIPT.is_one)(published));
        for other in [
            "",
            "ok",
            "[]",
            "{}",
            r#"{"id":7}"#,
            "<!doctype html><html></html>",
        ] {
            assert!(!(RECEIPT.is_one)(other), "{other}");
        }
    }

    #[test]
    fn a_message_keeps_its_sequence_and_its_bounds() {
        let titles: Vec<String> = (0..20).map(|_| "ü".repeat(190)).collect();
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        let payload = payload("cards", &message(&titles, 480));
        assert_eq!(payload["sequence_id"], "0197c2f0-0000-7000-8000-000000000001");
        let text = payload["message"].as_str().expect("a text");
        assert!(text.len() <= TEXT_MAX && text.ends_with("shows all"));
        assert_eq!(payload["click"], "https://tagpipe.example.com/runs/5");
    }
}
