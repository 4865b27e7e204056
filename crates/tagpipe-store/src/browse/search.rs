//! Finding cards by words.
//!
//! The index `card_search` is kept by triggers, so that no writer can forget it. What a word is, and that case and accents do
//! not matter, is said there and applied to what is asked for by the same code: SQLite's tokenizer, PostgreSQL's
//! `search_terms`. Here, text of strangers is only cut into bounded words without any sign that a query language knows.

use tagpipe_core::model::clean_text;
use unicode_normalization::char::is_combining_mark;

use super::catalogue::Card;
use crate::connect::Store;
use crate::dialect::Dialect;
use crate::error::StoreError;

/// Words of a query beyond this are not looked at.
const WORDS_MAX: usize = 8;
/// Characters of a word beyond this are not looked at: PostgreSQL's index keeps as many.
const WORD_CHARACTERS_MAX: usize = 64;

impl Store {
    /// Up to `limit` cards with all of `words`, by id, those after the card `after`; with `category_id`, of that category.
    ///
    /// A word stands for every word that begins with it, in any order, of number, name, variation, brand, set, year and
    /// category. At most eight words count. Nothing is found by no word.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn search(
        &self,
        words: &str,
        category_id: Option<i64>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Card>, StoreError> {
        let words = words_of(words);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let (found, query) = match self.dialect {
            Dialect::Sqlite => (
                "SELECT rowid FROM card_search WHERE card_search MATCH $1 AND rowid > $2",
                words
                    .iter()
                    .map(|word| format!("\"{word}\"*"))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            Dialect::Postgres => (
                "SELECT card_id FROM card_search WHERE words @@ search_query($1) AND card_id > $2",
                words.join(" "),
            ),
        };
        let mut values = vec![
            self.dialect.text(&query),
            after.unwrap_or(i64::MIN).into(),
            i64::from(limit).into(),
        ];
        let of_category = category_id.map_or("", |id| {
            values.push(id.into());
            "AND years.category_id = $4"
        });
        self.cards_where(
            &format!("cards.id IN ({found}) {of_category} ORDER BY cards.id LIMIT $3"),
            values,
        )
        .await
    }
}

/// The words that are asked for: letters, digits and the marks that belong to them.
fn words_of(text: &str) -> Vec<String> {
    // Composed, as what is stored is.
    clean_text(text)
        .split(|character: char| !character.is_alphanumeric() && !is_combining_mark(character))
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(|word| word.chars().take(WORD_CHARACTERS_MAX).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bounded_and_have_no_sign_of_a_query_language() {
        let words = |text: &str| words_of(text).join("|");
        assert_eq!(words("  1989 Donruss, Griffey's "), "1989|Donruss|Griffey|s");
        assert_eq!(
            words("a\" OR * NEAR(b) ':* & c:d ^e -f {g} \\h"),
            "a|OR|NEAR|b|c|d|e|f"
        );
        assert_eq!(words("Pokemo\u{301}n"), "Pokem\u{f3}n");
        assert_eq!(words("\0 🃏 – \u{202e}"), "");
        assert_eq!(words_of(&"x".repeat(1000)), ["x".repeat(64)]);
        assert_eq!(words_of(&"x ".repeat(1000)).len(), 8);
    }
}
