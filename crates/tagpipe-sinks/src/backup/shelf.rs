//! The backups in a folder: which are complete, which are not, and which to remove.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::manifest::BYTES_MAX;
use super::name::Part;
use super::{BackupError, BackupName, Manifest, Retention};
use crate::destination::{Destination, Entry, Trouble};

/// The backups in a folder.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: Destination,
    /// Complete ones, newest first.
    pub complete: Vec<Manifest>,
    /// What is left of others, newest first.
    pub incomplete: Vec<Incomplete>,
}

/// A backup that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// Which.
    pub name: BackupName,
    /// What is there of it.
    pub files: Vec<String>,
    /// What is wrong with it.
    pub why: String,
    /// Whether nobody is at work on it any more.
    pub is_abandoned: bool,
}

/// What a rule removes from a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removal {
    /// Complete backups that the rule does not keep.
    pub backups: Vec<Manifest>,
    /// What is left of others that nobody is at work on.
    pub abandoned: Vec<Incomplete>,
}

/// How long a backup without a manifest may still be under way. No upload takes two days.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(48);

impl Shelf {
    /// Looks through `folder`; `now` tells what was abandoned.
    ///
    /// # Errors
    /// [`BackupError::Destination`].
    pub async fn look(folder: &Destination, now: Timestamp) -> Result<Shelf, BackupError> {
        let mut shelf = Shelf {
            folder: folder.clone(),
            complete: Vec::new(),
            incomplete: Vec::new(),
        };
        for (name, parts) in parts_by_name(folder).await?.into_iter().rev() {
            match judged(folder, &name, &parts).await {
                Ok(manifest) => shelf.complete.push(manifest),
                // Removed by somebody else since it was listed.
                Err(BackupError::Destination(error)) if error.trouble == Trouble::NotThere => {}
                Err(BackupError::Destination(error)) if error.trouble != Trouble::PermissionDenied => {
                    return Err(error.into());
                }
                Err(error) => shelf.incomplete.push(Incomplete {
                    is_abandoned: is_abandoned(&name, &parts, now),
                    files: parts.into_iter().map(|(_, entry)| entry.name).collect(),
                    why: error.to_string(),
                    name,
                }),
            }
        }
        // Names tell the second alone.
        shelf.complete.sort_by_key(|manifest| Reverse(taken_at(manifest)));
        Ok(shelf)
    }

    /// The backup at `place`: the one that it names, else the newest in it. With its folder.
    ///
    /// # Errors
    /// [`BackupError::None`], [`BackupError::NotThere`], or what is wrong with it.
    pub async fn find(place: &Destination) -> Result<(Destination, Manifest), BackupError> {
        let named = place
            .split()
            .and_then(|(folder, name)| Some((folder, BackupName::parse(&name)?)));
        let Some((folder, name)) = named else {
            let newest = newest(place)
                .await?
                .ok_or_else(|| BackupError::None(place.to_string()))?;
            return Ok((place.clone(), newest));
        };
        let not_there = || BackupError::NotThere {
            name: name.to_string(),
            folder: folder.to_string(),
        };
        let parts = parts_by_name(&folder)
            .await?
            .remove(&name)
            .filter(|parts| has_manifest(parts))
            .ok_or_else(not_there)?;
        let manifest = judged(&folder, &name, &parts).await?;
        Ok((folder, manifest))
    }

    /// What `rule` removes. Only what is complete is weighed; never the newest, and nothing else than backups.
    #[must_use]
    pub fn removal(&self, rule: &Retention) -> Removal {
        let times: Vec<Timestamp> = self.complete.iter().map(taken_at).collect();
        self.removal_at(rule, &times)
    }

    /// What `rule` removes of the complete ones, whose times stand first in `times`.
    fn removal_at(&self, rule: &Retention, times: &[Timestamp]) -> Removal {
        let kept = rule.kept(times);
        Removal {
            backups: self
                .complete
                .iter()
                .zip(kept)
                .filter(|(_, kept)| !kept)
                .map(|(manifest, _)| manifest.clone())
                .collect(),
            abandoned: self
                .incomplete
                .iter()
                .filter(|one| one.is_abandoned)
                .cloned()
                .collect(),
        }
    }

    /// The same, after one more backup that is taken at `now`.
    #[must_use]
    pub fn removal_after_one_more(&self, rule: &Retention, now: Timestamp) -> Removal {
        let mut times: Vec<Timestamp> = self.complete.iter().map(taken_at).collect();
        times.push(now);
        self.removal_at(rule, &times)
    }

    /// Removes it, each backup's manifest first: what is cut short in between is no backup any more.
    ///
    /// # Errors
    /// [`BackupError::Destination`].
    pub async fn remove(&self, removal: &Removal) -> Result<(), BackupError> {
        let backups = removal
            .backups
            .iter()
            .flat_map(|manifest| [format!("{}.json", manifest.name), manifest.object.clone()]);
        let abandoned = removal.abandoned.iter().flat_map(|one| one.files.iter().cloned());
        for file in backups.chain(abandoned) {
            let place = self
                .folder
                .join(&file)
                .map_err(|error| BackupError::Fault(error.to_string()))?;
            place.delete().await?;
        }
        Ok(())
    }
}

/// The newest complete backup. The manifests of older ones are not read, but those of the same second: their names do not tell
/// which came later.
async fn newest(folder: &Destination) -> Result<Option<Manifest>, BackupError> {
    let mut newest: Option<Manifest> = None;
    for (name, parts) in parts_by_name(folder).await?.into_iter().rev() {
        if newest
            .as_ref()
            .is_some_and(|newest| taken_at(newest) > name.taken_at() && !is_of_second(newest, &name))
        {
            break;
        }
        // What has no manifest is under way or was given up; what has a wrong one is a matter for whoever asked.
        if has_manifest(&parts) {
            let manifest = judged(folder, &name, &parts).await?;
            if newest
                .as_ref()
                .is_none_or(|newest| taken_at(newest) < taken_at(&manifest))
            {
                newest = Some(manifest);
            }
        }
    }
    Ok(newest)
}

/// The files of each backup in a folder, oldest first. What is not tagpipe's is not looked at.
async fn parts_by_name(
    folder: &Destination,
) -> Result<BTreeMap<BackupName, Vec<(Part, Entry)>>, BackupError> {
    let mut found: BTreeMap<BackupName, Vec<(Part, Entry)>> = BTreeMap::new();
    for entry in folder.list().await? {
        if let Some((name, part)) = BackupName::of_file(&entry.name) {
            found.entry(name).or_default().push((part, entry));
        }
    }
    Ok(found)
}

fn has_manifest(parts: &[(Part, Entry)]) -> bool {
    parts.iter().any(|(part, _)| *part == Part::Manifest)
}

/// The manifest of a backup that is complete, as far as that is seen without opening it.
async fn judged(
    folder: &Destination,
    name: &BackupName,
    parts: &[(Part, Entry)],
) -> Result<Manifest, BackupError> {
    let damaged = |how: String| BackupError::Damaged {
        name: name.to_string(),
        how,
    };
    if !has_manifest(parts) {
        return Err(BackupError::NoManifest(name.to_string()));
    }
    let text = manifest_text(folder, name).await?;
    let manifest = Manifest::parse(name, &text)?;
    let object = parts.iter().find(|(_, entry)| entry.name == manifest.object);
    match object {
        None => Err(damaged(format!("its data `{}` is not there", manifest.object))),
        Some((_, entry)) if entry.size != manifest.stored.bytes => Err(damaged(format!(
            "its data has {} bytes in place of {}",
            entry.size, manifest.stored.bytes
        ))),
        Some(_) => Ok(manifest),
    }
}

async fn manifest_text(folder: &Destination, name: &BackupName) -> Result<Vec<u8>, BackupError> {
    let place = folder
        .join(&name.manifest())
        .map_err(|error| BackupError::Fault(error.to_string()))?;
    let mut download = place.read().await?;
    let mut text = Vec::new();
    while let Some(bytes) = download.next().await? {
        if text.len() + bytes.len() > BYTES_MAX {
            return Err(BackupError::Foreign {
                name: name.to_string(),
                how: "its manifest is longer than any".to_owned(),
            });
        }
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

/// Only what the name and whoever keeps it agree to be old: either may have a wrong clock.
fn is_abandoned(name: &BackupName, parts: &[(Part, Entry)], now: Timestamp) -> bool {
    let is_old = |time: Timestamp| now.duration_since(time) > ABANDONED_AFTER;
    !has_manifest(parts) && is_old(name.taken_at()) && parts.iter().all(|(_, entry)| is_old(entry.modified))
}

/// When a backup was taken: as its name says, and within that second as its manifest says.
fn taken_at(manifest: &Manifest) -> Timestamp {
    match BackupName::parse(&manifest.name) {
        Some(name) if !is_of_second(manifest, &name) => name.taken_at(),
        _ => manifest.started_at,
    }
}

fn is_of_second(manifest: &Manifest, name: &BackupName) -> bool {
    manifest.started_at.as_second() == name.taken_at().as_second()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::backup::{Engine, Sum};

    /// Puts a complete backup there that was begun at this time.
    fn put(folder: &Path, started_at: &str, tag: u16) -> String {
        let started_at: Timestamp = started_at.parse().unwrap();
        let name = BackupName::new(started_at, tag);
        let (format, version) = Manifest::layout();
        let nothing = Sum {
            bytes: 0,
            sha256: String::new(),
        };
        let manifest = Manifest {
            format,
            version,
            name: name.to_string(),
            object: name.object(Engine::Sqlite, false),
            stored: nothing.clone(),
            content: nothing,
            compression: "zstd".to_owned(),
            encryption: None,
            engine: Engine::Sqlite,
            engine_version: String::new(),
            namespace: None,
            tagpipe: String::new(),
            migrations: Vec::new(),
            tables: BTreeMap::new(),
            started_at,
            finished_at: started_at,
        };
        std::fs::write(folder.join(&manifest.object), "").unwrap();
        std::fs::write(
            folder.join(name.manifest()),
            serde_json::to_vec(&manifest).unwrap(),
        )
        .unwrap();
        manifest.name
    }

    /// Names tell the second alone, and their tags nothing: here they fall while the times rise, then the other way round.
    #[tokio::test]
    async fn of_one_second_the_time_in_the_manifest_decides() {
        for tags in [
            [0xffff, 0x8000, 0x0001],
            [0x0001, 0x8000, 0xffff],
            [0x8000, 0x0001, 0xffff],
        ] {
            let home = tempfile::tempdir().unwrap();
            let times = [
                "2026-11-30T00:30:00.1Z",
                "2026-11-30T00:30:00.2Z",
                "2026-11-30T00:30:00.9Z",
            ];
            let mut made = vec![put(home.path(), "2026-11-30T00:29:59.95Z", 0x4000)];
            made.extend(
                times
                    .iter()
                    .zip(tags)
                    .map(|(time, tag)| put(home.path(), time, tag)),
            );
            let folder = Destination::local(home.path());

            let shelf = Shelf::look(&folder, Timestamp::UNIX_EPOCH).await.unwrap();
            let listed: Vec<&str> = shelf.complete.iter().map(|one| one.name.as_str()).collect();
            let newest_first: Vec<&str> = made.iter().rev().map(String::as_str).collect();
            assert_eq!(listed, newest_first);
            let (_, newest) = Shelf::find(&folder).await.unwrap();
            assert_eq!(newest.name, newest_first[0]);
            // Whoever keeps the last two keeps the last two.
            let rule: Retention = "last=2".parse().unwrap();
            let removed = shelf.removal(&rule).backups;
            let removed: Vec<&str> = removed.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(removed, newest_first[2..]);
        }
    }
}
