//! Ways to tell people what happened, one file each; [`notifier`] lists them.
//!
//! A way is told a whole [`Message`] and says what became of it. When messages are made of what news is in [`rules`]. What must
//! hold: whatever the other side does, [`Notifier::send`] ends within its times, keeps little of the answer, and says no secret in
//! its words; the id of a message is passed on, so that the other side can drop doubles.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod certificate;
mod email;
mod http;
mod message;
mod ntfy;
pub mod rules;
mod slack;
mod webhook;

pub use email::{EmailSettings, Security};
pub use message::{Item, Message};
pub use ntfy::NtfySettings;
use rules::Rules;
pub use slack::SlackSettings;
pub use webhook::{WebhookSettings, signature, signing_key};

/// Where news goes: a way, and what it is told.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name in settings, lists and logs.
    pub name: String,
    /// How it is reached.
    pub way: Way,
    /// What it is told, and when.
    pub rules: Rules,
}

/// A way to tell people something, with all it needs.
#[derive(Debug, Clone)]
pub enum Way {
    /// Mail by SMTP.
    Email(EmailSettings),
    /// An incoming webhook of Slack.
    Slack(SlackSettings),
    /// JSON to any address, signed.
    Webhook(WebhookSettings),
    /// A topic of ntfy.
    Ntfy(NtfySettings),
}

impl Way {
    /// Its name in settings.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Way::Email(_) => "email",
            Way::Slack(_) => "slack",
            Way::Webhook(_) => "webhook",
            Way::Ntfy(_) => "ntfy",
        }
    }
}

/// Makes the notifier of a way; nothing is sent yet.
///
/// # Errors
/// When the settings are wrong in a way that shows before anything is sent.
pub fn notifier(way: &Way) -> Result<Box<dyn Notifier>, NotifyError> {
    Ok(match way {
        Way::Email(settings) => Box::new(email::Email::new(settings)?),
        Way::Slack(settings) => Box::new(slack::Slack::new(settings)?),
        Way::Webhook(settings) => Box::new(webhook::Webhook::new(settings)?),
        Way::Ntfy(settings) => Box::new(ntfy::Ntfy::new(settings)?),
    })
}

/// How long it takes at most until a message is sent or is not: an answer that comes later is none.
pub const SEND_WITHIN: Duration = Duration::from_secs(10);

/// Somebody who can be told something.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Sends `message` once, within [`SEND_WITHIN`] and a moment for a farewell, except to recipients that have it already: those
    /// that earlier outcomes named as `reached`. Dropped before it ends, it may have been sent or not.
    async fn send(&self, message: &Message, reached: &[String]) -> Outcome;
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has taken it.
    Delivered,
    /// Some of the recipients have it; the others will never get it.
    DeliveredInPart {
        /// Who has not got it and why, in words.
        why: String,
    },
    /// It may be taken later.
    Retry {
        /// How long the other side asked to be left alone, if it did.
        after: Option<Duration>,
        /// Why it was not taken, in words.
        why: String,
        /// The recipients that have got it all the same.
        reached: Vec<String>,
    },
    /// It will never be taken as it is.
    Permanent {
        /// Why, in words.
        why: String,
    },
}

impl Outcome {
    /// Nobody has got it, and it may be taken at any later time.
    fn later(why: String) -> Outcome {
        Outcome::Retry {
            after: None,
            why,
            reached: Vec::new(),
        }
    }
}

/// Settings that no message can be sent with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotifyError(String);

/// A password, token or address that opens a door: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself, for whom it is meant for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
