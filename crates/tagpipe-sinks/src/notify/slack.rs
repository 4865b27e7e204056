//! Slack, by an incoming webhook: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
//!
//! What stands in a message comes from strangers, too. It is sent as plain text and escaped, so that it formats nothing and calls
//! nobody: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tagpipe_core::news::NewsLevel;
use tagpipe_core::text::{and_more, cut_by, cut_lines};
use url::Url;

use super::http::{Poster, Receipt, address};
use super::message::in_words;
use super::{Item, Message, Notifier, NotifyError, Outcome, Secret};

/// What Slack needs.
#[derive(Debug, Clone)]
pub struct SlackSettings {
    /// The webhook's address, which is all that is needed to write to the channel.
    pub url: Secret,
}

/// Slack takes 50 blocks; an item has three at most.
const ITEMS_MAX: usize = 12;
/// What Slack takes in one text, in characters after escaping: of a header, a section, a field; and fields in a section.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 2900;
const FIELD_MAX: usize = 300;
const FIELDS_MAX: usize = 10;

pub(super) struct Slack {
    poster: Poster,
    url: Url,
}

impl Slack {
    pub(super) fn new(settings: &SlackSettings) -> Result<Slack, NotifyError> {
        Ok(Slack {
            poster: Poster::new()?,
            url: address(&settings.url, "Slack's webhook")?,
        })
    }
}

#[async_trait]
impl Notifier for Slack {
    async fn send(&self, message: &Message, _reached: &[String]) -> Outcome {
        let body = serde_json::to_vec(&payload(message)).expect("own types serialise");
        self.poster
            .post(&self.url, HeaderMap::new(), body, Some(&RECEIPT))
            .await
    }
}

/// Slack and Mattermost answer `ok`. Of those that take Slack's messages as well, Rocket.Chat answers `{"success":true}`, Zulip
/// `{"result":"success"}`, others `{"ok":true}`: <https://github.com/RocketChat/Rocket.Chat/issues/29230>,
/// <https://zulip.com/api/rest-error-handling>.
const RECEIPT: Receipt = Receipt {
    name: "`ok`, as Slack answers",
    is_one: |answer| {
        let is_yes = |answer: Value| {
            answer["ok"] == true || answer["success"] == true || answer["result"] == "success"
        };
        answer.trim() == "ok" || serde_json::from_str(answer).is_ok_and(is_yes)
    },
};

fn payload(message: &Message) -> Value {
    let title = format!("{} {}", sign(message.level()), message.title());
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title, HEADER_MAX) })];
    let told = message.items.len().min(ITEMS_MAX);
    for item in &message.items[..told] {
        blocks.extend(blocks_of(item, message.total() > 1));
    }
    let left = message.total().saturating_sub(told as u64);
    let mut footer = vec![plain(&format!("message {}", message.id), FIELD_MAX)];
    if left > 0 {
        footer.insert(0, plain(&and_more(left as usize), FIELD_MAX));
    }
    blocks.push(json!({ "type": "context", "elements": footer }));
    // The text is what notifications and screen readers get.
    json!({ "text": escaped(&title, SECTION_MAX), "mrkdwn": false, "blocks": blocks })
}

fn blocks_of(item: &Item, has_title: bool) -> Vec<Value> {
    let mut blocks = Vec::new();
    let text = match (has_title, item.text.as_str()) {
        (false, text) => text.to_owned(),
        (true, "") => item.title.clone(),
        (true, text) => format!("{}\n{text}", item.title),
    };
    let facts = item.facts.iter().take(FIELDS_MAX);
    let fields: Vec<Value> = facts
        .map(|fact| plain(&format!("{}: {}", fact.name, fact.value), FIELD_MAX))
        .collect();
    let mut section = json!({ "type": "section" });
    if !text.is_empty() {
        section["text"] = plain(&cut_lines(&text, SECTION_MAX, escaped_length), SECTION_MAX);
    }
    if !fields.is_empty() {
        section["fields"] = Value::Array(fields);
    }
    if section.get("text").is_some() || section.get("fields").is_some() {
        blocks.push(section);
    }
    let about = format!("{} · {} · {}", item.level, in_words(item.kind), item.at);
    let mut elements = vec![plain(&about, FIELD_MAX)];
    if let Some(link) = &item.link {
        // An address of the settings and a number: `|` and `>` would end it.
        let link = escaped(&link.replace('|', "%7C"), FIELD_MAX);
        elements.push(json!({ "type": "mrkdwn", "text": format!("<{link}|dashboard>"), "verbatim": true }));
    }
    blocks.push(json!({ "type": "context", "elements": elements }));
    blocks
}

fn plain(text: &str, most: usize) -> Value {
    json!({ "type": "plain_text", "text": escaped(text, most), "emoji": true })
}

/// `text` with Slack's control characters escaped, at most `most` characters long.
fn escaped(text: &str, most: usize) -> String {
    let mut all = String::new();
    for character in cut_by(text, most, escaped_length).chars() {
        match escape(character) {
            Some(escape) => all.push_str(escape),
            None => all.push(character),
        }
    }
    all
}

fn escape(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

/// In characters.
fn escaped_length(character: char) -> usize {
    escape(character).map_or(1, str::len)
}

fn sign(level: NewsLevel) -> &'static str {
    match level {
        NewsLevel::Info => "ℹ️",
        NewsLevel::Warning => "⚠️",
        NewsLevel::Error => "❌",
        NewsLevel::Critical => "🚨",
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    /// Every text of a block.
    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                if let (Some(Value::String(kind)), Some(Value::String(text))) =
                    (object.get("type"), object.get("text"))
                {
                    assert!(kind == "plain_text" || text.starts_with("<https://"), "{text}");
                    found.push(text.clone());
                }
                object.values().for_each(|value| texts(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
            _ => {}
        }
    }

    #[test]
    fn a_strangers_text_calls_nobody() {
        let hostile = "<!channel> & <https://evil.example|click> *bold*";
        let payload = payload(&message(&[hostile, hostile], 0));
        let mut found = Vec::new();
        texts(&payload, &mut found);
        assert!(found.len() > 5, "{found:?}");
        for text in found
            .iter()
            .filter(|text| !text.starts_with("<https://tagpipe.example.com/"))
        {
            assert!(!text.contains(['<', '>']), "{text}");
        }
        assert!(
            found.iter().any(|text| text.contains("&lt;!channel&gt; &amp;")),
            "{found:?}"
        );
    }

    #[test]
    fn a_long_text_is_cut_at_a_line_and_says_so() {
        let mut message = message(&["one"], 0);
        let lines: Vec<String> = (0..100)
            .map(|line| format!("{line} {}", "<&>".repeat(20)))
            .collect();
        message.items[0].text = lines.join("\n");
        let payload = payload(&message);
        let text = payload["blocks"][1]["text"]["text"].as_str().expect("a text");
        let told = text.lines().count() - 1;
        assert!(text.chars().count() <= SECTION_MAX && told >= 4, "{text}");
        assert!(text.ends_with(&format!("\nand {} more", 100 - told)), "{text}");
    }

    #[test]
    fn what_is_no_slack_gives_no_receipt() {
        for (answer, is_one) in [
            ("ok", true),
            ("ok\n", true),
            (r#"{"success":true}"#, true),
            (r#"{"ok": true}"#, true),
            (r#"{"result":"success","msg":""}"#, true),
            ("", false),
            ("invalid_payload", false),
            (r#"{"ok":false,"error":"channel_is_archived"}"#, false),
            (r#"{"success":false}"#, false),
            ("true", false),
            ("<!doctype html><title>ok</title>", false),
        ] {
            assert_eq!((RECEIPT.is_one)(answer), is_one, "{answer}");
        }
    }

    #[test]
    fn a_storm_stays_within_what_slack_takes() {
        let long = "&".repeat(5000);
        let titles: Vec<&str> = (0..20).map(|_| long.as_str()).collect();
        let payload = payload(&message(&titles, 480));
        let blocks = payload["blocks"].as_array().expect("blocks");
        assert!(blocks.len() <= 50, "{}", blocks.len());
        let header = blocks[0]["text"]["text"].as_str().expect("a header");
        assert!(header.chars().count() <= HEADER_MAX);
        let mut found = Vec::new();
        texts(&payload, &mut found);
        assert!(found.iter().all(|text| text.chars().count() <= 3000));
        assert!(found.iter().any(|text| text == "and 488 more"), "{found:?}");
    }
}
