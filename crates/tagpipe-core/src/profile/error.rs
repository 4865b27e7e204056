//! Why a profile is refused, and where in its text.

use std::ops::Range;

/// A profile that cannot be used. Its text names file, line, field, value and what would be right:
/// ``my.toml:41: pager.pattern: group `of` is missing; write (?<of>…)``.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {field}: {problem}")]
pub struct ProfileError {
    /// Where the text came from, as the caller named it.
    pub file: String,
    /// Line in the text, from 1.
    pub line: usize,
    /// Path of the field, e.g. `levels.sets.url`.
    pub field: String,
    /// The offending value and what would be right.
    pub problem: String,
}

/// A profile's text with its name: turns places into lines and paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(
        &self,
        place: &Range<usize>,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> ProfileError {
        ProfileError {
            file: self.file.to_owned(),
            line: self.line_of(place.start),
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The error of a text that is not TOML, or whose keys and types are not a profile's.
    pub(super) fn shape_error(&self, error: &toml::de::Error) -> ProfileError {
        let place = error.span().unwrap_or(0..0);
        let mut problem = error.message().trim().replace('\n', ", ");
        if let Some(nearest) = nearest_of_message(&problem) {
            problem = format!("{problem}; did you mean `{nearest}`?");
        }
        self.error(&place, self.path_at(place.start), problem)
    }

    fn line_of(&self, offset: usize) -> usize {
        self.before(offset).bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    fn before(&self, offset: usize) -> &str {
        self.text.get(..offset).unwrap_or(self.text)
    }

    /// The path of the key at `offset`: the table's header and the key that starts its line.
    fn path_at(&self, offset: usize) -> String {
        let line_end = self
            .text
            .get(offset..)
            .and_then(|rest| rest.find('\n'))
            .map_or(self.text.len(), |n| offset + n);
        let mut key = None;
        for line in self.before(line_end).lines().rev() {
            let line = line.trim();
            if let Some(header) = header_of(line) {
                return key.map_or_else(|| header.to_owned(), |key| format!("{header}.{key}"));
            }
            key = key.or_else(|| {
                line.split_once('=')
                    .map(|(key, _)| key.trim())
                    .filter(|key| is_key(key))
            });
        }
        key.unwrap_or("the file").to_owned()
    }
}

/// The name in a line such as `[levels.sets]`, which an array over several lines may resemble.
fn header_of(line: &str) -> Option<&str> {
    let (header, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start_matches(']').trim_start();
    let is_whole_line = rest.is_empty() || rest.starts_with('#');
    Some(header.trim_matches('[')).filter(|header| is_whole_line && is_key(header))
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// The known key nearest to the one in a message such as ``unknown field `a`, expected one of `b`, `c` ``.
fn nearest_of_message(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut quoted = rest.split('`').step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted.filter(|name| !name.is_empty()))
}

/// The one of `known` that is most likely meant by `unknown`, if any is near enough.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near_enough = (unknown.len() / 2).clamp(1, 3);
    known
        .map(|name| (edit_distance(unknown, name), name))
        .filter(|(distance, _)| *distance <= near_enough)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance in bytes.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_fault_is_that_of_its_line() {
        let text = "a = 1\n[levels.sets]\nlist = [\n  1,\n[2],\n]\n[]\n";
        let source = Source {
            file: "my.toml",
            text,
        };
        for (place, expected) in [
            ("a =", "a"),
            ("list", "levels.sets.list"),
            ("[2]", "levels.sets.list"),
            ("[]", "levels.sets.list"),
        ] {
            let offset = text.find(place).expect("it stands there");
            assert_eq!(source.path_at(offset), expected, "{place}");
        }
        assert_eq!(
            Source {
                file: "my.toml",
                text: "[]"
            }
            .path_at(0),
            "the file"
        );
    }

    #[test]
    fn the_nearest_key_is_found_and_a_stranger_is_not() {
        let known = ["row", "cell", "header", "icon_words"];
        for (unknown, expected) in [
            ("rwo", None),
            ("rows", Some("row")),
            ("headers", Some("header")),
            ("icon_word", Some("icon_words")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(unknown, known.into_iter()), expected, "{unknown}");
        }
    }
}
