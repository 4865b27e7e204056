//! What is sent as one: one piece of news, or several as a digest.

use tagpipe_core::news::{Fact, NewsKind, NewsLevel};
use tagpipe_core::text::cut_lines;

/// One message. Sent again, it is the same in every part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Tells it from every other message: a UUID.
    pub id: String,
    /// All its news, counted by kind and level, what matters most first.
    pub counts: Vec<(NewsKind, NewsLevel, u64)>,
    /// The news that is told in full: the first pieces, what matters most first. At least one.
    pub items: Vec<Item>,
}

/// One piece of news in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number, which it keeps on all channels.
    pub id: i64,
    /// When it was recorded, in UTC.
    pub at: String,
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
    /// The run it is about.
    pub run: Option<i64>,
    /// Where people see more.
    pub link: Option<String>,
}

impl Message {
    /// How many pieces of news it tells of.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, _, pieces)| pieces).sum()
    }

    /// How many of them it does not tell in full.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.total().saturating_sub(self.items.len() as u64)
    }

    /// How much the most important of it matters.
    #[must_use]
    pub fn level(&self) -> NewsLevel {
        let levels = self.counts.iter().map(|(_, level, _)| *level);
        levels.max().unwrap_or(NewsLevel::Info)
    }

    /// When the newest of what it tells in full was recorded, in UTC.
    #[must_use]
    pub fn at(&self) -> &str {
        self.items.iter().map(|item| item.at.as_str()).max().unwrap_or("")
    }

    /// One line that can be read alone.
    #[must_use]
    pub fn title(&self) -> String {
        match self.items.as_slice() {
            [only] if self.total() <= 1 => only.title.clone(),
            _ => {
                let counts: Vec<String> = self
                    .counts
                    .iter()
                    .map(|(kind, level, pieces)| format!("{pieces} {} ({level})", in_words(*kind)))
                    .collect();
                format!("{} pieces of news: {}", self.total(), counts.join(", "))
            }
        }
    }

    /// All of it as plain text.
    #[must_use]
    pub fn plain_text(&self) -> String {
        self.plain_text_within(usize::MAX)
    }

    /// It as plain text of at most `most` bytes, some hundreds at least: as many whole pieces of news as there is room for, the
    /// first one shortened if need be, and how many are left out.
    #[must_use]
    pub fn plain_text_within(&self, most: usize) -> String {
        let mut parts: Vec<String> = Vec::new();
        if self.total() > 1 {
            parts.push(self.title());
        }
        let between = GAP.len();
        let taken = |parts: &[String]| parts.iter().map(|part| part.len() + between).sum::<usize>();
        let room = most.saturating_sub(untold(self.total()).len());
        let mut told = 0;
        for item in &self.items {
            let left = room.saturating_sub(taken(&parts) + between);
            let text = item.plain_text();
            match (text.len() <= left, told) {
                (true, _) => parts.push(text),
                (false, 0) => parts.push(item.plain_text_within(left)),
                (false, _) => break,
            }
            told += 1;
        }
        let left = self.total().saturating_sub(told);
        if left > 0 {
            parts.push(untold(left));
        }
        parts.join(GAP)
    }
}

/// Between pieces of news.
const GAP: &str = "\n\n";

fn untold(pieces: u64) -> String {
    format!("and {pieces} more; `tagpipe notify list` shows all")
}

impl Item {
    fn plain_text(&self) -> String {
        self.with_text(&self.text)
    }

    /// As plain text of at most `most` bytes. It is its text that is shortened, down to a half of them; then the rest is.
    fn plain_text_within(&self, most: usize) -> String {
        let rest = self.with_text("").len() + 1;
        let room = most.saturating_sub(rest).max(most / 2);
        let text = cut_lines(&self.text, room, char::len_utf8);
        cut_lines(&self.with_text(&text), most, char::len_utf8)
    }

    fn with_text(&self, text: &str) -> String {
        let mut lines = vec![
            self.title.clone(),
            format!("{} · {} · {}", self.level, in_words(self.kind), self.at),
        ];
        if !text.is_empty() {
            lines.push(text.to_owned());
        }
        lines.extend(
            self.facts
                .iter()
                .map(|fact| format!("{}: {}", fact.name, fact.value)),
        );
        lines.extend(self.link.clone());
        lines.join("\n")
    }
}

/// `run finished`.
pub(super) fn in_words(kind: NewsKind) -> String {
    kind.as_str().replace('_', " ")
}

#[cfg(test)]
pub(super) mod tests {
    use tagpipe_core::text::and_more;

    use super::*;

    pub(in crate::notify) fn item(id: i64, level: NewsLevel, title: &str) -> Item {
        Item {
            id,
            at: format!("2026-11-30T08:00:{id:02}.000Z"),
            kind: NewsKind::RunFailed,
            level,
            title: title.to_owned(),
            text: "a line\nanother".to_owned(),
            facts: vec![Fact {
                name: "Pages read".to_owned(),
                value: "12".to_owned(),
            }],
            run: Some(5),
            link: Some("https://tagpipe.example.com/runs/5".to_owned()),
        }
    }

    pub(in crate::notify) fn message(titles: &[&str], more: u64) -> Message {
        let items: Vec<Item> = titles
            .iter()
            .enumerate()
            .map(|(index, title)| item(index as i64 + 1, NewsLevel::Error, title))
            .collect();
        Message {
            id: "0197c2f0-0000-7000-8000-000000000001".to_owned(),
            counts: vec![(NewsKind::RunFailed, NewsLevel::Error, items.len() as u64 + more)],
            items,
        }
    }

    #[test]
    fn a_text_that_is_cut_says_what_it_leaves_out() {
        let titles: Vec<String> = (0..20).map(|_| "ü".repeat(190)).collect();
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        let storm = message(&titles, 480);
        let text = storm.plain_text_within(3800);
        assert!(text.len() <= 3800);
        let told = text.matches(&"ü".repeat(190)).count();
        assert!(told > 5, "{text}");
        let end = format!("and {} more; `tagpipe notify list` shows all", 500 - told);
        assert!(text.ends_with(&end), "{text}");

        let mut alone = message(&["one"], 0);
        let lines: Vec<String> = (0..100)
            .map(|line| format!("{line}: {}", "ü".repeat(100)))
            .collect();
        alone.items[0].text = format!("{}\nand 45 more", lines.join("\n"));
        let text = alone.plain_text_within(3800);
        assert!(text.len() <= 3800 && text.len() > 3400, "{}", text.len());
        let told = text.matches(&"ü".repeat(100)).count();
        let more = text
            .lines()
            .find(|line| line.starts_with("and "))
            .map(str::to_owned);
        assert_eq!(more, Some(and_more(145 - told)));
        assert!(
            text.ends_with("Pages read: 12\nhttps://tagpipe.example.com/runs/5"),
            "{text}"
        );

        alone.items[0].facts = vec![alone.items[0].facts[0].clone(); 100];
        assert!(alone.plain_text_within(1000).len() <= 1000);
    }

    #[test]
    fn one_piece_speaks_for_itself_and_many_are_counted() {
        assert_eq!(message(&["Run 5: gone"], 0).title(), "Run 5: gone");
        let storm = message(&["a", "b"], 498);
        assert_eq!(storm.title(), "500 pieces of news: 500 run failed (error)");
        assert!(
            storm
                .plain_text()
                .ends_with("and 498 more; `tagpipe notify list` shows all")
        );
        assert_eq!(storm.at(), "2026-11-30T08:00:02.000Z");
        // The one piece that is told is not all there is.
        assert_eq!(
            message(&["a"], 1).title(),
            "2 pieces of news: 2 run failed (error)"
        );
    }
}
