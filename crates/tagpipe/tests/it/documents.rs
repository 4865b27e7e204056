//! Documents that are made from the program, or promise something about it, and must not drift.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tagpipe_demo::DemoConfig;

use crate::harness::Rig;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect("a document")
}

fn tagpipe(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tagpipe"))
        .args(arguments)
        .env_clear()
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_reference_is_the_programs_own() {
    let made = tagpipe(&["man", "--reference"]);
    assert!(
        document("docs/reference.md") == made,
        "docs/reference.md is not up to date; make it with scripts/reference"
    );
}

#[test]
fn man_pages_and_completions_know_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("man1");
    tagpipe(&["man", "--to", to.to_str().expect("a path")]);
    for page in [
        "tagpipe.1",
        "tagpipe-run.1",
        "tagpipe-config-show.1",
        "tagpipe-profile-try.1",
    ] {
        let text = std::fs::read_to_string(to.join(page)).expect(page);
        assert!(
            text.contains(".TH") && text.contains("Examples"),
            "{page}: {text}"
        );
    }
    assert!(tagpipe(&["man"]).contains(".TH tagpipe"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = tagpipe(&["completions", shell]);
        for word in ["orchestrate", "doctor", "errors", "max-duration", "num-runners"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let sourced = Command::new("bash")
        .args(["-c", "source <(\"$0\" completions bash) && complete -p tagpipe"])
        .arg(env!("CARGO_BIN_EXE_tagpipe"))
        .output()
        .expect("bash runs");
    assert!(
        sourced.status.success(),
        "{}",
        String::from_utf8_lossy(&sourced.stderr)
    );
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    for arguments in ["profile show", "man", "completions zsh", "man --reference"] {
        let output = Command::new("bash")
            .args([
                "-c",
                &format!("set -o pipefail; \"$0\" {arguments} | head -n 1 >/dev/null"),
            ])
            .arg(env!("CARGO_BIN_EXE_tagpipe"))
            .output()
            .expect("bash runs");
        assert!(
            output.stderr.is_empty(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{arguments}");
    }
}

/// Names of the fields of a value, nested ones with dots; lists by their first member.
fn fields(value: &Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = format!("{prefix}{key}");
                found.push(name.clone());
                fields(value, &format!("{name}."), found);
            }
        }
        Value::Array(list) => {
            if let Some(first) = list.first() {
                fields(first, prefix, found);
            }
        }
        _ => {}
    }
}

/// The promise of docs/json.md: in the JSON of each command there is every field that its sample shows.
#[tokio::test(flavor = "multi_thread")]
async fn json_has_every_field_that_was_promised() {
    let rig = Rig::new(DemoConfig {
        pages: 80,
        ..DemoConfig::default()
    })
    .await;
    let summary = rig.run(&[]).await.summary(0);
    let text = document("docs/json.md");
    let mut checked = 0;
    for section in text.split("\n## ").skip(1) {
        let Some((head, rest)) = section.split_once("```json\n") else {
            continue;
        };
        let sample = rest.split("```").next().expect("a block");
        let sample: Value = serde_json::from_str(sample).unwrap_or_else(|error| panic!("{head}: {error}"));
        let command = head
            .lines()
            .next()
            .expect("a heading")
            .trim_matches('`')
            .to_owned();
        let site = rig.site.site_url();
        let cert = rig
            .site
            .world()
            .grade_rows()
            .next()
            .expect("a certificate")
            .cert_number;
        let command = command.replace("CERT", &cert.to_string());
        let mut arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let actual = if arguments[..] == ["run"] {
            summary.clone()
        } else {
            arguments.push("--json");
            match arguments[0] {
                "probe" => arguments.extend(["--base-url", &site, "--fetch", "http"]),
                "doctor" => arguments.extend(["--base-url", &site, "--fetch", "http"]),
                _ => {}
            }
            let ended = rig.tagpipe(&arguments).await;
            assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
            serde_json::from_str(&ended.stdout).expect("JSON")
        };
        let (mut promised, mut present) = (Vec::new(), Vec::new());
        fields(&sample, "", &mut promised);
        fields(&actual, "", &mut present);
        for field in promised {
            assert!(
                present.contains(&field),
                "{command}: `{field}` is promised and not in {actual:#}"
            );
        }
        checked += 1;
    }
    assert!(checked >= 8, "{checked} commands");
}
