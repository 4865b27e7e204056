//! Names of files for parts of the catalogue: readable, and safe whatever the site calls its categories, years and sets.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tagpipe_core::model::fold_name;

/// Bytes of a name, its checksum not counted; with it and an ending it stays below what file systems take.
const NAME_BYTES: usize = 100;

/// The texts that a folder or file is named after: of a set, brand and name.
pub type Texts = Vec<String>;

/// For each part, by number, the folders and the name of its file, made of the texts that each is named after.
///
/// A name has the letters and digits of its texts without case and accents, with `-` between words and `--` between texts, and
/// nothing else: it leads nowhere but into its folder. Where that loses anything but spaces, or two parts would have the same
/// one, a short checksum follows, so that what looks alike stays two.
#[must_use]
pub fn part_paths(parts: &[(i64, Vec<Texts>)]) -> HashMap<i64, Vec<String>> {
    let plain = |texts: &[Texts]| -> Vec<String> { texts.iter().map(|texts| name(texts)).collect() };
    let mut seen: HashMap<Vec<String>, u32> = HashMap::new();
    for (_, texts) in parts {
        *seen.entry(plain(texts)).or_default() += 1;
    }
    parts
        .iter()
        .map(|(id, texts)| {
            let mut path = plain(texts);
            // The schema file of a folder has a name of its own.
            let is_schema = path.len() == 1 && path[0] == "schema";
            if (is_schema || seen.get(&path).is_some_and(|times| *times > 1))
                && let Some(last) = path.last_mut()
            {
                last.push('-');
                last.push_str(&checksum(texts.iter().flatten()));
            }
            (*id, path)
        })
        .collect()
}

fn name(texts: &[String]) -> String {
    let mut name = String::new();
    let mut is_faithful = true;
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let folded = fold_name(text);
        let words = words(&folded);
        is_faithful &= !words.is_empty() && words.replace('-', " ") == folded;
        if !name.is_empty() {
            name.push_str("--");
        }
        name.push_str(&words);
    }
    if name.len() > NAME_BYTES {
        name.truncate(name.floor_char_boundary(NAME_BYTES));
        is_faithful = false;
    }
    if is_faithful && !name.is_empty() {
        return name;
    }
    if !name.is_empty() {
        name.push('-');
    }
    name + &checksum(texts.iter())
}

/// Letters and digits, with one `-` for whatever stands between them.
fn words(text: &str) -> String {
    let pieces: Vec<&str> = text
        .split(|one: char| !one.is_alphanumeric())
        .filter(|piece| !piece.is_empty())
        .collect();
    pieces.join("-")
}

fn checksum<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The paths of sets with these brands and names, all in one year.
    fn paths(sets: &[(&str, &str)]) -> Vec<String> {
        let parts: Vec<_> = (0..)
            .zip(sets)
            .map(|(id, (brand, name))| {
                let texts = [vec!["Hockey"], vec!["1989"], vec![brand, name]];
                let texts = texts
                    .iter()
                    .map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
                (id, texts.collect())
            })
            .collect();
        let paths = part_paths(&parts);
        parts.iter().map(|(id, _)| paths[id].join("/")).collect()
    }

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(
            paths(&[
                ("Topps", "Chrome Update"),
                ("Topps", ""),
                ("Pokémon", "Base Set 2")
            ]),
            [
                "hockey/1989/topps--chrome-update",
                "hockey/1989/topps",
                "hockey/1989/pokemon--base-set-2"
            ]
        );
    }

    #[test]
    fn names_that_look_alike_stay_two() {
        let sets = [
            ("A B", "C"),
            ("A", "B C"),
            ("a", "b c"),
            ("A-B", "C"),
            ("A/B", "C"),
            ("A B C", ""),
            ("../../etc/passwd", ""),
            ("etc passwd", ""),
            ("/", ""),
            ("\\", ""),
            ("", ""),
            ("\u{202e}gnp", ""),
            ("gnp", ""),
            ("Pokémon", ""),
            ("Pokemon", ""),
        ];
        let made: HashSet<_> = paths(&sets).into_iter().collect();
        assert_eq!(made.len(), sets.len(), "{made:?}");
    }

    #[test]
    fn a_category_called_schema_does_not_take_the_schema_files_name() {
        let paths = part_paths(&[(1, vec![vec!["Schema".to_owned()]])]);
        assert!(paths[&1][0].starts_with("schema-"), "{paths:?}");
    }

    proptest! {
        #[test]
        fn no_name_leads_anywhere(texts in proptest::collection::vec(".{0,300}", 1..3)) {
            let name = name(&texts);
            prop_assert!(!name.is_empty() && name.len() < 120);
            prop_assert!(name.chars().all(|one| one.is_alphanumeric() || one == '-'), "{}", name);
        }
    }
}
