//! Which format is meant, from what was asked for and from the name of the file.

use super::{Compression, ExportError, FORMATS, Format};

/// A format and how its files are compressed.
#[derive(Clone, Copy)]
pub struct FileFormat {
    /// The format.
    pub format: &'static dyn Format,
    /// The compression of the whole file.
    pub compression: Compression,
}

impl std::fmt::Debug for FileFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.ending())
    }
}

impl FileFormat {
    /// The format that `asked` (`csv`, `csv.gz`) and the name of the file agree on.
    ///
    /// # Errors
    /// [`ExportError::Usage`] where they contradict each other, or none is known.
    pub fn choose(asked: Option<&str>, name: Option<&str>) -> Result<FileFormat, ExportError> {
        let named = name.map(of_name);
        let chosen = match (asked, named) {
            (Some(asked), None) => of_word(asked)?,
            (Some(asked), Some((compression, format))) => {
                agreed(of_word(asked)?, asked, compression, format, name)?
            }
            (None, Some((compression, Some(format)))) => FileFormat { format, compression },
            (None, None) => {
                return Err(ExportError::Usage(
                    "--format is missing: neither a folder nor standard output tells one".into(),
                ));
            }
            (None, Some(_)) => {
                let name = name.unwrap_or_default();
                return Err(ExportError::Usage(format!(
                    "`{name}` does not tell a format; end it in one of {}, or give --format",
                    all_endings()
                )));
            }
        };
        match (chosen.compression, chosen.format.why_not_compressed()) {
            (Compression::Gzip | Compression::Zstd, Some(why)) => Err(ExportError::Usage(format!(
                "`{}` cannot be had: {why}; leave `{}` out",
                chosen.ending(),
                chosen.compression.ending()
            ))),
            _ => Ok(chosen),
        }
    }

    /// What the names of its files end in, with the dot.
    #[must_use]
    pub fn ending(&self) -> String {
        let ending = self.format.endings().first().copied().unwrap_or_default();
        format!(".{ending}{}", self.compression.ending())
    }
}

fn agreed(
    asked: FileFormat,
    word: &str,
    compression: Compression,
    format: Option<&'static dyn Format>,
    name: Option<&str>,
) -> Result<FileFormat, ExportError> {
    let is_other_format = format.is_some_and(|format| format.name() != asked.format.name());
    let is_other_compression = asked.compression != Compression::None && asked.compression != compression;
    if is_other_format || is_other_compression {
        return Err(ExportError::Usage(format!(
            "--format {word} contradicts the name `{}`; change one of them",
            name.unwrap_or_default()
        )));
    }
    Ok(FileFormat { compression, ..asked })
}

/// The format that a word names: `csv`, `ndjson`, `csv.gz`.
fn of_word(word: &str) -> Result<FileFormat, ExportError> {
    let lower = word.to_lowercase();
    let (compression, name) = Compression::of(&lower);
    match with_ending(name) {
        Some(format) => Ok(FileFormat { format, compression }),
        None => {
            let names: Vec<_> = FORMATS.iter().map(|format| format.name()).collect();
            Err(ExportError::Usage(format!(
                "`{word}` is not a format; it takes {}",
                names.join(", ")
            )))
        }
    }
}

fn of_name(name: &str) -> (Compression, Option<&'static dyn Format>) {
    let lower = name.to_lowercase();
    let (compression, rest) = Compression::of(&lower);
    (
        compression,
        rest.rsplit_once('.').and_then(|(_, ending)| with_ending(ending)),
    )
}

fn with_ending(ending: &str) -> Option<&'static dyn Format> {
    FORMATS
        .iter()
        .copied()
        .find(|format| format.name() == ending || format.endings().contains(&ending))
}

fn all_endings() -> String {
    let endings: Vec<_> = FORMATS
        .iter()
        .map(|format| format!(".{}", format.endings()[0]))
        .collect();
    endings.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: Option<&str>, name: Option<&str>, expected: Result<&str, &str>) {
        match (FileFormat::choose(asked, name), expected) {
            (Ok(format), Ok(ending)) => assert_eq!(format.ending(), ending, "{asked:?} {name:?}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, _) => panic!("{asked:?} {name:?}: {got:?}"),
        }
    }

    #[test]
    fn name_and_wish_must_agree() {
        check(None, Some("cards.csv"), Ok(".csv"));
        check(None, Some("CARDS.CSV.GZ"), Ok(".csv.gz"));
        check(None, Some("cards.ndjson.zst"), Ok(".jsonl.zst"));
        check(None, Some("a.db"), Ok(".sqlite"));
        check(Some("parquet"), None, Ok(".parquet"));
        check(Some("csv.gz"), None, Ok(".csv.gz"));
        check(Some("csv"), Some("cards.txt"), Ok(".csv"));
        check(Some("csv"), Some("cards.txt.gz"), Ok(".csv.gz"));
        check(Some("csv"), Some("cards.csv.zst"), Ok(".csv.zst"));
        check(
            Some("csv"),
            Some("cards.parquet"),
            Err("contradicts the name `cards.parquet`"),
        );
        check(Some("csv.gz"), Some("cards.csv"), Err("contradicts"));
        check(
            Some("ods"),
            None,
            Err("`ods` is not a format; it takes csv, jsonl"),
        );
        check(None, Some("cards"), Err("does not tell a format"));
        check(None, Some("cards.parquet.gz"), Err("compressed inside"));
        check(Some("sqlite.zst"), None, Ok(".sqlite.zst"));
    }
}
