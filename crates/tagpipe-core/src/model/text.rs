//! Cleaning of text that a stranger wrote, and folding for comparisons.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// `text` with white space collapsed to single spaces and trimmed, control characters replaced by U+FFFD
/// (a NUL would be refused by PostgreSQL, an escape could steer a terminal), composed to NFC.
#[must_use]
pub fn clean_text(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut pending_space = false;
    let composed = (!text.is_ascii()).then(|| text.nfc().collect::<String>());
    for character in composed.as_deref().unwrap_or(text).chars() {
        if character.is_whitespace() {
            pending_space = !cleaned.is_empty();
            continue;
        }
        if pending_space {
            cleaned.push(' ');
            pending_space = false;
        }
        cleaned.push(if character.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        });
    }
    cleaned
}

/// `name` without accents and case: `Pokémon` and `POKEMON` fold to the same text.
#[must_use]
pub fn fold_name(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.nfkd()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_collapses_and_controls_are_replaced() {
        assert_eq!(clean_text("  Light\n\t Blue\u{a0} "), "Light Blue");
        assert_eq!(clean_text("a\0b\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(clean_text("Pokemo\u{301}n"), "Pokem\u{f3}n");
    }

    #[test]
    fn folding_forgets_accents_and_case() {
        assert_eq!(fold_name("Pokémon"), "pokemon");
        assert_eq!(fold_name("Weiß Schwarz"), "weiß schwarz");
        assert_eq!(fold_name("ポケモン"), fold_name("ポケモン"));
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(text in any::<String>()) {
            let once = clean_text(&text);
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(clean_text(&once), once);
        }
    }
}
