//! `/news`: what people may want to be told, and whom it has reached.

use askama::Template;

use super::Frame;
use crate::dashboard::show::When;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "news.html")]
pub(crate) struct NewsPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// What it is narrowed to.
    pub(crate) filter: NewsForm,
    /// Whether it is narrowed at all.
    pub(crate) is_narrowed: bool,
    /// Whether news goes to anybody.
    pub(crate) has_channel: bool,
    /// Newest first.
    pub(crate) news: Vec<NewsRow>,
    /// Address of the older ones.
    pub(crate) older: Option<String>,
    /// Address of the newest ones, if these are not they.
    pub(crate) newest: Option<String>,
}

/// The filter as it was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewsForm {
    /// Names of kinds to choose from, and how they are called.
    pub(crate) kinds: Vec<(&'static str, String)>,
    /// One of them; empty for all.
    pub(crate) kind: String,
    /// Least level; empty for all.
    pub(crate) level: String,
    /// State of a delivery; empty for all.
    pub(crate) delivery: String,
    /// How far back, such as `24h`; empty for all.
    pub(crate) since: String,
    /// What is wrong with it, if anything.
    pub(crate) fault: Option<String>,
}

/// A piece of news.
#[derive(Debug, Clone)]
pub(crate) struct NewsRow {
    /// Its number.
    pub(crate) id: i64,
    /// When.
    pub(crate) at: When,
    /// How much it matters.
    pub(crate) level: &'static str,
    /// What it is about, in words.
    pub(crate) kind: String,
    /// One line.
    pub(crate) title: String,
    /// More lines; may be empty.
    pub(crate) text: String,
    /// Names and values.
    pub(crate) facts: Vec<(String, String)>,
    /// The run it is about.
    pub(crate) run_id: Option<i64>,
    /// What became of it, a channel each.
    pub(crate) deliveries: Vec<DeliveryRow>,
}

/// What became of a piece of news on one channel.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryRow {
    /// The channel.
    pub(crate) channel: String,
    /// Its state, for the mark's colour.
    pub(crate) state: &'static str,
    /// The same in words.
    pub(crate) in_words: &'static str,
    /// How often it was tried, in words; empty if that says nothing.
    pub(crate) tried: String,
    /// When it arrived or was given up.
    pub(crate) ended_at: Option<When>,
    /// When it is tried again.
    pub(crate) next_at: Option<When>,
    /// Why it has not arrived; empty if it has.
    pub(crate) why: String,
}
