//! Cards and sets that somebody wants to hear of, and what a run has changed of them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::news::{News, NewsKind, NewsLevel};
use tagpipe_core::text::{and_more, cut, one_line};
use tagpipe_core::watch::{Watch, Watched};

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::Dialect;
use crate::diff::{Change, DiffWalk, Difference, Span, Subject};
use crate::error::StoreError;

/// A watch as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredWatch {
    /// Its number.
    pub id: i64,
    /// What is watched.
    #[serde(flatten)]
    pub watch: Watch,
    /// When it was added, in UTC.
    pub created_at: String,
}

/// Changes of one watch that are told one by one; of the others, how many there are.
const TOLD_MAX: usize = 12;

/// Longest name in what is told, in characters: the site may have longer ones, and one of them is not to hide the rest.
const NAME_MAX: usize = 80;
/// Longest words for which cards or sets a watch is on, in characters: a title has room for how many changes there are as well.
const WHICH_MAX: usize = 120;

/// Rows of a history that are looked at in one step.
const STEP: u32 = 2000;

impl Store {
    /// Adds a watch. `false` if there is the same one already.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn add_watch(&self, watch: &Watch) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO watches (subject, category, year, set_name, card, created_at) VALUES ($1, $2, $3, $4, $5, {now}) \
             ON CONFLICT (subject, category, year, set_name, card) DO NOTHING",
            now = self.dialect.now(),
        );
        let text = |text: &str| self.dialect.text(text);
        let values = [
            watch.subject.as_str().into(),
            text(&watch.category),
            text(&watch.year),
            text(&watch.set),
            text(&watch.card),
        ];
        let is_new = self.write(self.dialect.statement(sql, values)).await? > 0;
        if is_new {
            let words = format!("the {} {watch} is watched", watch.subject.as_str());
            self.note_change("watch", words).await?;
        }
        Ok(is_new)
    }

    /// Removes the watch of this number. `false` if there is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn remove_watch(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM watches WHERE id = $1";
        let is_gone = self.write(self.dialect.statement(sql, [id.into()])).await? > 0;
        if is_gone {
            self.note_change("watch", format!("watch {id} is removed"))
                .await?;
        }
        Ok(is_gone)
    }

    /// All watches, oldest first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn watches(&self) -> Result<Vec<StoredWatch>, StoreError> {
        let sql = format!(
            "SELECT id, subject, category, year, set_name, card, {} AS created_at FROM watches ORDER BY id",
            self.dialect.iso("created_at"),
        );
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        rows.iter().map(stored_watch).collect()
    }

    /// What `run` has changed of what is watched, since it began or since that was told last: one piece of news for each watch
    /// that something of has changed. For whoever ends the run; nothing is committed to it any more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn watched_changes(&self, run: RunId) -> Result<Vec<News>, StoreError> {
        let watches = self.watches().await?;
        if watches.is_empty() {
            return Ok(Vec::new());
        }
        let Some(from_us) = self.watched_until_us(run).await? else {
            return Ok(Vec::new());
        };
        let span = Span {
            from_us,
            until_us: self.now_us().await?,
        };
        let mut found: Vec<Found> = watches.iter().map(|_| Found::default()).collect();
        let mut walk = DiffWalk::of_watches(span);
        while let Some(changes) = self.next_changes(&mut walk, STEP).await? {
            for change in changes.iter().filter(|change| change.run_id == Some(run)) {
                for (watch, found) in watches.iter().zip(&mut found) {
                    if watch.watch.concerns(change.subject.page_kind(), &change.identity) {
                        found.add(change);
                    }
                }
            }
        }
        Ok(watches
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.changes > 0)
            .map(|(watch, found)| found.news(watch, run))
            .collect())
    }

    async fn watched_until_us(&self, run: RunId) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT {} AS us FROM runs WHERE id = $1",
            self.dialect.as_us("coalesce(watched_until, started_at)")
        );
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        Ok(rows.first().map(|row| row.try_get("", "us")).transpose()?)
    }
}

/// Notes that the changes of `run` so far were told to those who watch, within a transaction that ends the run.
pub(crate) async fn note_watched(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE runs SET watched_until = {} WHERE id = $1",
        dialect.statement_time()
    );
    transaction
        .execute_raw(dialect.statement(sql, [run.into()]))
        .await?;
    Ok(())
}

/// What has changed of one watch.
#[derive(Default)]
struct Found {
    changes: usize,
    told: Vec<String>,
}

impl Found {
    fn add(&mut self, change: &Change) {
        self.changes += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(in_words(change));
        }
    }

    fn news(&self, watch: &StoredWatch, run: RunId) -> News {
        let subject = watch.watch.subject.as_str();
        let mut text = self.told.join("\n");
        if self.changes > self.told.len() {
            text.push('\n');
            text.push_str(&and_more(self.changes - self.told.len()));
        }
        let count = match self.changes {
            1 => "1 change".to_owned(),
            more => format!("{more} changes"),
        };
        News::new(
            NewsKind::WatchChanged,
            NewsLevel::Info,
            &format!(
                "Watched {subject} {}: {count}",
                cut(&watch.watch.in_words(), WHICH_MAX)
            ),
        )
        .with_text(&text)
        .with_fact("Watch", &format!("{}: {}", watch.id, watch.watch))
        .with_fact("Changes", &self.changes.to_string())
        .about_run(run)
    }
}

/// `1989 Hockey Topps, 156 Joe Sakic: 10P grown from 3 to 5`.
fn in_words(change: &Change) -> String {
    let of = &change.identity;
    let set = format!(
        "{} {} {} {}",
        name(&of.year),
        name(&of.category),
        name(&of.brand),
        name(&of.set)
    );
    let place = match change.subject {
        Subject::Card | Subject::Certificate => format!(
            "{}, {}",
            set.trim(),
            format!("{} {} {}", name(&of.number), name(&of.name), name(&of.variation)).trim()
        ),
        _ => set.trim().to_owned(),
    };
    let certificate = match change.cert_number.as_str() {
        "" => String::new(),
        number => format!(" certificate {}", name(number)),
    };
    let grade = match (change.subject, change.grade.as_str()) {
        (Subject::Certificate, _) | (_, "") => String::new(),
        (_, grade) => format!(" {}", name(grade)),
    };
    let what = match (change.change, change.before.as_str(), change.after.as_str()) {
        (Difference::New, _, "") => "new".to_owned(),
        (Difference::New, _, copies) => format!("new, {} graded", name(copies)),
        (change, "", "") => change.as_str().to_owned(),
        (change, before, after) => format!("{} from {} to {}", change.as_str(), name(before), name(after)),
    };
    format!("{place}:{certificate}{grade} {what}")
}

/// What the site calls something, as one short part of a line.
fn name(text: &str) -> String {
    cut(&one_line(text), NAME_MAX)
}

fn stored_watch(row: &QueryResult) -> Result<StoredWatch, StoreError> {
    let subject: String = row.try_get("", "subject")?;
    Ok(StoredWatch {
        id: row.try_get("", "id")?,
        watch: Watch {
            subject: Watched::from_name(&subject)
                .ok_or_else(|| StoreError::Bug(format!("`{subject}` cannot be watched")))?,
            category: row.try_get("", "category")?,
            year: row.try_get("", "year")?,
            set: row.try_get("", "set_name")?,
            card: row.try_get("", "card")?,
        },
        created_at: row.try_get("", "created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use tagpipe_core::model::Identity;

    use super::*;

    fn change(name: &str) -> Change {
        Change {
            subject: Subject::Card,
            change: Difference::New,
            identity: Identity {
                category: "Hockey".to_owned(),
                year: "1989".to_owned(),
                brand: "Topps".to_owned(),
                name: name.to_owned(),
                number: "156".to_owned(),
                ..Identity::default()
            },
            cert_number: String::new(),
            grade: String::new(),
            before: String::new(),
            after: String::new(),
            observed_at: "2026-11-30T08:00:00.000Z".to_owned(),
            run_id: Some(1),
        }
    }

    #[test]
    fn one_long_name_hides_nothing_else() {
        let mut found = Found::default();
        found.add(&change(&"x".repeat(10_000)));
        found.add(&change("Joe\u{202e}\nSakic"));
        (2..57).for_each(|number| found.add(&change(&format!("Player {number}"))));
        let watch = StoredWatch {
            id: 1,
            watch: Watch::parse(Watched::Set, &format!("{}/*/*", "y".repeat(1000))).expect("a watch"),
            created_at: String::new(),
        };
        let news = found.news(&watch, 1);
        let lines: Vec<&str> = news.text.lines().collect();
        assert_eq!(lines.len(), TOLD_MAX + 1, "{}", news.text);
        assert!(
            lines[0].ends_with("xxx…: new") && lines[0].chars().count() < 120,
            "{}",
            lines[0]
        );
        assert_eq!(lines[1], "1989 Hockey Topps, 156 Joe Sakic: new");
        assert_eq!(lines[TOLD_MAX], "and 45 more");
        assert!(news.title.ends_with("…: 57 changes"), "{}", news.title);
    }
}
