//! Names of backups. The name alone tells when one was taken and what is in it.

use std::fmt;

use jiff::Timestamp;

use super::manifest::Engine;

/// What a backup is called: `tagpipe-20261130T003000Z-4f2a`, its time in UTC and a tag, so that two of one second differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName {
    taken_at: Timestamp,
    tag: u16,
}

/// What belongs to a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Manifest,
    Object,
}

const TIME: &str = "%Y%m%dT%H%M%SZ";
const MANIFEST: &str = ".json";
/// How objects end.
const OBJECTS: [&str; 4] = [".sqlite.zst", ".sqlite.zst.age", ".pgdump.zst", ".pgdump.zst.age"];

impl BackupName {
    /// Of a backup taken at that second.
    #[must_use]
    pub fn new(taken_at: Timestamp, tag: u16) -> BackupName {
        BackupName {
            taken_at: Timestamp::from_second(taken_at.as_second()).unwrap_or(taken_at),
            tag,
        }
    }

    /// Reads a name, also with what follows it in the names of its parts.
    #[must_use]
    pub fn parse(text: &str) -> Option<BackupName> {
        let stem = OBJECTS
            .iter()
            .chain([&MANIFEST])
            .find_map(|end| text.strip_suffix(end));
        let rest = stem.unwrap_or(text).strip_prefix("tagpipe-")?;
        let (time, tag) = rest.split_once('-')?;
        let civil = jiff::civil::DateTime::strptime(TIME, time).ok()?;
        let taken_at = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
        let name = BackupName {
            taken_at,
            tag: u16::from_str_radix(tag, 16).ok()?,
        };
        // One spelling only: what is ours is exactly what we write.
        (name.to_string() == stem.unwrap_or(text)).then_some(name)
    }

    /// The backup that a file of this name belongs to; `None` if it is not tagpipe's.
    pub(super) fn of_file(file: &str) -> Option<(BackupName, Part)> {
        let name = BackupName::parse(file)?;
        let end = file.strip_prefix(&name.to_string())?;
        match end {
            MANIFEST => Some((name, Part::Manifest)),
            _ if OBJECTS.contains(&end) => Some((name, Part::Object)),
            _ => None,
        }
    }

    /// When it was taken, to the second.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// The file of its manifest.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{self}{MANIFEST}")
    }

    /// The file of its object.
    #[must_use]
    pub fn object(&self, engine: Engine, encrypted: bool) -> String {
        let kind = match engine {
            Engine::Sqlite => "sqlite",
            Engine::Postgresql => "pgdump",
        };
        let end = if encrypted { ".age" } else { "" };
        format!("{self}.{kind}.zst{end}")
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tagpipe-{}-{:04x}", self.taken_at.strftime(TIME), self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        let name = BackupName::new("2026-11-30T00:30:00.7Z".parse().unwrap(), 0x4f2a);
        assert_eq!(name.to_string(), "tagpipe-20261130T003000Z-4f2a");
        for file in [
            name.to_string(),
            name.manifest(),
            name.object(Engine::Sqlite, true),
        ] {
            assert_eq!(BackupName::parse(&file), Some(name.clone()), "{file}");
        }
        assert_eq!(
            BackupName::of_file(&name.object(Engine::Postgresql, false)),
            Some((name.clone(), Part::Object))
        );
        assert_eq!(BackupName::of_file(&name.to_string()), None);
    }

    #[test]
    fn what_is_not_ours_is_not_taken_for_it() {
        for file in [
            "tagpipe.db",
            "tagpipe-20261130T003000Z-4f2a.txt",
            "tagpipe-20261130T003000Z-4f2a.json.bak",
            "tagpipe-20261130T003000Z.json",
            "tagpipe-20261330T003000Z-4f2a.json",
            "tagpipe-20261130T003000Z-4F2A.json",
            "tagpipe-20261130T003000Z-f2a.json",
            "my-tagpipe-20261130T003000Z-4f2a.json",
        ] {
            assert_eq!(BackupName::of_file(file), None, "{file}");
        }
    }
}
