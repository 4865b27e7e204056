//! The rooms of ARCHITECTURE.md: which crate may use which. A new edge is decided, not stumbled into.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Each room, and the rooms it may use.
const ROOMS: [(&str, &[&str]); 8] = [
    ("core", &[]),
    ("fetch", &["core"]),
    ("store", &["core"]),
    ("engine", &["core", "fetch", "store"]),
    ("sinks", &["core"]),
    ("web", &["core", "engine", "sinks", "store"]),
    ("demo", &[]),
    ("", &["core", "demo", "engine", "fetch", "sinks", "store", "web"]),
];

/// The part of a crate's name that tells the room; the program's is empty.
fn room(name: &str) -> Option<&str> {
    name.strip_prefix("tagpipe")
        .map(|rest| rest.trim_start_matches('-'))
}

#[test]
fn rooms_use_each_other_as_decided() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(crates).expect("the crates' folder") {
        let folder = entry.expect("an entry").path();
        let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        let name = manifest["package"]["name"].as_str().expect("a name");
        let room_here = room(name).expect("a crate of ours");
        let (_, allowed) = ROOMS
            .iter()
            .find(|(known, _)| *known == room_here)
            .unwrap_or_else(|| panic!("`{name}` is no room of ARCHITECTURE.md"));
        for used in manifest["dependencies"].as_table().expect("a table").keys() {
            if let Some(used) = room(used) {
                assert!(allowed.contains(&used), "`{name}` must not use `{used}`");
            }
        }
        found.insert(room_here.to_owned());
    }
    assert_eq!(found.len(), ROOMS.len(), "{found:?}");
}
