//! What people may want to be told: the kinds of news, how much they matter, and one piece of news as it is recorded.
//!
//! News is recorded whether or not anybody is to be told of it; who is told, when and how is for others to decide.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{cut, cut_lines, lines, one_line};

/// What a piece of news is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewsKind {
    /// A run came to its end, or to the end of its budget.
    RunFinished,
    /// A run stopped because it could not go on, or an order for one could not be carried out.
    RunFailed,
    /// A run was stopped before its end.
    RunInterrupted,
    /// Too many reads of a run came to nothing.
    ErrorRate,
    /// The site has been refusing for long.
    BrakeClosed,
    /// The site's layout no longer fits the profile.
    LayoutChanged,
    /// Sums of a run do not agree.
    Discrepancies,
    /// A planned time passed without a run.
    ScheduleMissed,
    /// An export or a backup that the service was asked for failed.
    JobFailed,
    /// A watched card or set changed.
    WatchChanged,
}

impl NewsKind {
    /// Every kind.
    pub const ALL: [NewsKind; 10] = [
        NewsKind::RunFinished,
        NewsKind::RunFailed,
        NewsKind::RunInterrupted,
        NewsKind::ErrorRate,
        NewsKind::BrakeClosed,
        NewsKind::LayoutChanged,
        NewsKind::Discrepancies,
        NewsKind::ScheduleMissed,
        NewsKind::JobFailed,
        NewsKind::WatchChanged,
    ];

    /// The name in settings, messages and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NewsKind::RunFinished => "run_finished",
            NewsKind::RunFailed => "run_failed",
            NewsKind::RunInterrupted => "run_interrupted",
            NewsKind::ErrorRate => "error_rate",
            NewsKind::BrakeClosed => "brake_closed",
            NewsKind::LayoutChanged => "layout_changed",
            NewsKind::Discrepancies => "discrepancies",
            NewsKind::ScheduleMissed => "schedule_missed",
            NewsKind::JobFailed => "job_failed",
            NewsKind::WatchChanged => "watch_changed",
        }
    }

    /// The kind of this name; hyphens will do as well.
    #[must_use]
    pub fn from_name(name: &str) -> Option<NewsKind> {
        let name = name.trim().to_ascii_lowercase().replace('-', "_");
        NewsKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for NewsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much a piece of news matters, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NewsLevel {
    /// As it should be.
    Info,
    /// It deserves a look.
    Warning,
    /// Something failed.
    Error,
    /// It will fail again until somebody does something.
    Critical,
}

impl NewsLevel {
    /// Every level, lowest first.
    pub const ALL: [NewsLevel; 4] = [
        NewsLevel::Info,
        NewsLevel::Warning,
        NewsLevel::Error,
        NewsLevel::Critical,
    ];

    /// The name in settings, messages and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NewsLevel::Info => "info",
            NewsLevel::Warning => "warning",
            NewsLevel::Error => "error",
            NewsLevel::Critical => "critical",
        }
    }

    /// The level of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<NewsLevel> {
        let name = name.trim().to_ascii_lowercase();
        NewsLevel::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

impl fmt::Display for NewsLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name and a value that belong to a piece of news, e.g. `Pages` and `1 204`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The name, capitalised as a heading.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A piece of news that is to be recorded. Its time and number are the database's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub kind: NewsKind,
    /// How much it matters.
    pub level: NewsLevel,
    /// One line that can be read alone.
    pub title: String,
    /// More, in lines; may be empty.
    pub text: String,
    /// Figures, in the order in which they are shown.
    pub facts: Vec<Fact>,
    /// The run it is about, if it is about one.
    pub run: Option<i64>,
    /// What tells it from every other one where it may be noticed more than once: of one key, the first is recorded.
    pub unique_key: Option<String>,
}

/// Longest title, text and value, in characters: parts of them come from the site.
const TITLE_MAX: usize = 200;
const TEXT_MAX: usize = 4000;
const VALUE_MAX: usize = 300;

impl News {
    /// News without text, facts, run or key. What is longer than anybody would read is cut, and nothing in it turns a text round.
    #[must_use]
    pub fn new(kind: NewsKind, level: NewsLevel, title: &str) -> News {
        News {
            kind,
            level,
            title: cut(&one_line(title), TITLE_MAX),
            text: String::new(),
            facts: Vec::new(),
            run: None,
            unique_key: None,
        }
    }

    /// The same, with a text of lines. Of one that is too long, the first lines are told, and how many more there are.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> News {
        self.text = cut_lines(&lines(text), TEXT_MAX, |_| 1);
        self
    }

    /// The same, with one fact more.
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: &str) -> News {
        self.facts.push(Fact {
            name: name.to_owned(),
            value: cut(&one_line(value), VALUE_MAX),
        });
        self
    }

    /// The same, about `run`.
    #[must_use]
    pub fn about_run(mut self, run: i64) -> News {
        self.run = Some(run);
        self
    }

    /// The same, recorded once for this key.
    #[must_use]
    pub fn once(mut self, key: &str) -> News {
        self.unique_key = Some(cut(key, VALUE_MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in NewsKind::ALL {
            assert_eq!(NewsKind::from_name(kind.as_str()), Some(kind));
            let stored = serde_json::to_value(kind).expect("a name");
            assert_eq!(stored, kind.as_str());
        }
        for level in NewsLevel::ALL {
            assert_eq!(NewsLevel::from_name(level.as_str()), Some(level));
        }
        assert_eq!(
            NewsKind::from_name("Layout-Changed"),
            Some(NewsKind::LayoutChanged)
        );
        assert_eq!(NewsKind::from_name("everything"), None);
    }

    #[test]
    fn a_title_is_one_line_and_nothing_is_endless() {
        let long = "ü\r\nBcc: x ".repeat(1000);
        let news = News::new(NewsKind::RunFailed, NewsLevel::Error, &long)
            .with_text(&long)
            .with_fact("Why", &long);
        assert!(!news.title.contains(['\r', '\n']));
        assert_eq!(news.title.chars().count(), TITLE_MAX);
        assert!(news.text.chars().count() <= TEXT_MAX);
        assert!(news.text.ends_with(" more"), "{}", news.text);
        assert_eq!(news.facts[0].value.chars().count(), VALUE_MAX);
        let turned = "a\u{202e}b";
        let news = News::new(NewsKind::RunFailed, NewsLevel::Error, turned)
            .with_text(turned)
            .with_fact("Why", turned);
        assert_eq!([&news.title, &news.text, &news.facts[0].value], ["ab"; 3]);
    }
}
