//! `tagpipe export`: what comes out is what is stored, whoever reads it; the same twice; and nothing half is ever seen.

mod fill;
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tagpipe_demo::DemoConfig;
use tagpipe_store::DatabaseUrl;

use self::fill::{HOSTILE, ROWS};
use self::readers::read_back;
use crate::harness::{Ended, Engine, Rig, Running, is_root, wait_until};

const FORMATS: [&str; 7] = ["csv", "jsonl", "json", "parquet", "arrow", "xlsx", "sqlite"];
const TABLES: [&str; 19] = [
    "catalogue",
    "categories",
    "years",
    "sets",
    "cards",
    "grade_rows",
    "card_population",
    "set_population",
    "grade_scale",
    "population_history",
    "catalogue_history",
    "certificate_history",
    "discrepancies",
    "runs",
    "runners",
    "audit_logs",
    "audit_operations",
    "audit_errors",
    "audit_results",
];

/// A rig whose site is not asked.
async fn rig(engine: Engine) -> Rig {
    let quiet = DemoConfig {
        pages: 10,
        ..DemoConfig::default()
    };
    Rig::on(engine, quiet).await
}

async fn filled(engine: Engine) -> Rig {
    let rig = rig(engine).await;
    let store = rig.open().await;
    fill::hostile(&store).await;
    store.close().await;
    rig
}

fn address(rig: &Rig) -> String {
    match rig.database_url() {
        DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    }
}

/// Runs `tagpipe export` on the rig's database.
async fn export(rig: &Rig, arguments: &[&str]) -> Ended {
    let address = address(rig);
    let all = [&["export", "--database-url", &address], arguments].concat();
    rig.tagpipe(&all).await
}

/// The same, which must succeed; its result.
async fn exported(rig: &Rig, arguments: &[&str]) -> Value {
    let ended = export(rig, &[arguments, &["--json"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn database(rig: &Rig) -> PathBuf {
    rig.folder().join("tagpipe.db")
}

/// Every file below a folder with its bytes, by its path from there.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let path = entry.path();
                let name = path
                    .strip_prefix(folder)
                    .expect("it is below")
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// What a schema file says is so: rows, sizes and checksums of its files.
fn assert_schema_is_true(folder: &Path, schema: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(schema)).expect("a schema file");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    for file in schema["files"].as_array().expect("files") {
        let bytes =
            std::fs::read(folder.join(file["name"].as_str().expect("a name"))).expect("a file that is named");
        assert_eq!(file["bytes"], bytes.len(), "{file}");
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(file["sha256"], hash, "{file}");
    }
    schema
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_comes_back_equal_to_the_database() {
    let rig = filled(Engine::Sqlite).await;
    for format in FORMATS {
        let all = TABLES.join(",");
        let result = exported(
            &rig,
            &["--table", &all, "--format", format, "--to", &format!("{format}/")],
        )
        .await;
        let folder = rig.folder().join(format);
        let schema = assert_schema_is_true(&folder, "schema.json");
        assert_eq!(schema["tables"].as_array().map(Vec::len), Some(TABLES.len()));
        let one_file = matches!(format, "xlsx" | "sqlite").then(|| folder.join(format!("tagpipe.{format}")));
        let pairs: Vec<_> = TABLES
            .iter()
            .map(|table| {
                let own = folder.join(format!("{table}.{format}"));
                (*table, one_file.clone().unwrap_or(own))
            })
            .collect();
        let rows = read_back(&database(&rig), format, &pairs).await;
        assert_eq!(result["rows"], rows, "{format}");
        assert!(rows > 12 * ROWS, "{format}: {rows} rows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_has_read_comes_out_as_the_site_has_it() {
    let site = DemoConfig {
        pages: 120,
        seed: 21,
        ..DemoConfig::default()
    };
    let rig = Rig::new(site).await;
    rig.run(&[]).await.summary(0);
    let ended = export(&rig, &["--to", "catalogue.parquet"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("run 1 ended reconciled; cards read 20"),
        "{}",
        ended.stdout
    );
    let pairs = [("catalogue", rig.folder().join("catalogue.parquet"))];
    let cards = read_back(&database(&rig), "parquet", &pairs).await;
    assert_eq!(cards, rig.site.world().card_rows().count() as u64);
    let schema = assert_schema_is_true(&rig.folder(), "catalogue.parquet.schema.json");
    assert_eq!(schema["standing"]["newest_run"]["state"], "reconciled");
    assert!(schema["standing"]["read_from"].as_str() <= schema["standing"]["read_until"].as_str());
    assert_eq!(schema["tables"][0]["rows"], cards);

    let since = exported(
        &rig,
        &[
            "--table",
            "cards",
            "--changed-since",
            "run 1",
            "--to",
            "new.jsonl",
        ],
    )
    .await;
    assert_eq!(since["rows"], 0, "{since:#}");
    let since = exported(
        &rig,
        &["--table", "cards", "--changed-since", "1h", "--to", "new.jsonl"],
    )
    .await;
    assert_eq!(since["rows"], cards, "{since:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_give_the_same_bytes_and_so_does_a_second_export() {
    let (lite, post) = tokio::join!(filled(Engine::Sqlite), filled(Engine::Postgres));
    for format in FORMATS {
        let all = TABLES.join(",");
        let to = |name: &str| format!("{name}-{format}/");
        for (rig, name) in [(&lite, "first"), (&lite, "second"), (&post, "first")] {
            exported(rig, &["--table", &all, "--format", format, "--to", &to(name)]).await;
        }
        let of = |rig: &Rig, name: &str| files(&rig.folder().join(to(name)));
        let first = of(&lite, "first");
        assert!(first.len() >= 2, "{:?}", first.keys());
        for (other, whose) in [(of(&lite, "second"), "again"), (of(&post, "first"), "PostgreSQL")] {
            assert!(first.keys().eq(other.keys()), "{format}, {whose}");
            for (name, bytes) in &first {
                assert!(*bytes == other[name], "{format}, {whose}: {name} differs");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_hold_the_same_and_are_the_same_twice() {
    let rig = filled(Engine::Sqlite).await;
    for (format, ending) in [
        ("csv", "csv.gz"),
        ("jsonl", "jsonl.zst"),
        ("json", "json.gz"),
        ("csv", "csv.zst"),
    ] {
        let [one, two] = ["one", "two"].map(|name| format!("{name}.{ending}"));
        for name in [&one, &two] {
            exported(&rig, &["--table", "cards", "--to", name]).await;
        }
        let rows = read_back(&database(&rig), format, &[("cards", rig.folder().join(&one))]).await;
        assert_eq!(rows, ROWS);
        let read = |name: &str| std::fs::read(rig.folder().join(name)).expect("a file");
        assert_eq!(read(&one), read(&two), "{ending}");
        let schema = assert_schema_is_true(&rig.folder(), &format!("{one}.schema.json"));
        assert_eq!(
            schema["compression"],
            if ending.ends_with("gz") { "gzip" } else { "zstd" }
        );
    }
    let ended = export(&rig, &["--to", "catalogue.parquet.gz"]).await;
    assert!(ended.failure(2).contains("compressed inside"), "{}", ended.stderr);
}

/// A million rows through two formats (`bench/export --verify` has all), and the same database for two processes that do not come to their end: to fill it
/// takes as long as to export it.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_come_back_and_nothing_half_is_seen_of_what_was_stopped() {
    let rig = rig(Engine::Sqlite).await;
    let store = rig.open().await;
    fill::many(&store, 62_500).await;
    store.close().await;
    for (signal, code) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
        let address = address(&rig);
        let arguments = [
            "export",
            "--database-url",
            &address,
            "--table",
            "card_population",
            "--to",
            "half.csv",
        ];
        let running = Running::start(rig.command(&arguments));
        wait_until("the file to be written", || {
            running.has_ended() || holds_a_nameless_file(running.pid)
        })
        .await;
        running.signal(signal).await;
        let ended = running.ended().await;
        assert_eq!(ended.code, code, "{}", ended.stderr);
        let left: Vec<_> = files(&rig.folder())
            .into_keys()
            .filter(|name| !name.starts_with("tagpipe.db"))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "after {signal}");
    }
    for format in ["csv", "parquet"] {
        let file = format!("many.{format}");
        let result = exported(&rig, &["--table", "card_population", "--to", &file]).await;
        assert_eq!(result["rows"], 1_000_000);
        let pairs = [("card_population", rig.folder().join(&file))];
        assert_eq!(read_back(&database(&rig), format, &pairs).await, 1_000_000);
    }
}

/// Whether a process has a file open that has no name: one that is being written.
fn holds_a_nameless_file(pid: u32) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| target.to_string_lossy().ends_with("(deleted)"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_for_each_part_have_safe_names_and_all_rows() {
    let rig = filled(Engine::Sqlite).await;
    let result = exported(
        &rig,
        &[
            "--table", "cards", "--split", "set", "--format", "jsonl", "--to", "parts",
        ],
    )
    .await;
    assert_eq!(result["rows"], ROWS);
    let folder = rig.folder().join("parts");
    let schema = assert_schema_is_true(&folder, "schema.json");
    let mut names: BTreeSet<String> = files(&folder).into_keys().collect();
    assert!(names.remove("schema.json"));
    assert_eq!(names.len() as u64, ROWS, "each set has one card: {names:?}");
    for name in &names {
        let parts: Vec<_> = name.split('/').collect();
        assert_eq!(parts.len(), 3, "{name}");
        let is_plain =
            |part: &str| part.chars().all(|one| one.is_alphanumeric() || one == '-') && part.len() < 120;
        assert!(is_plain(parts[0]) && is_plain(parts[1]), "{name}");
        assert!(
            is_plain(parts[2].strip_suffix(".jsonl").expect("an ending")),
            "{name}"
        );
    }
    let parts: BTreeSet<Vec<&str>> = schema["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| {
            let part = file["part"].as_array().expect("a part");
            part.iter().map(|text| text.as_str().expect("a text")).collect()
        })
        .collect();
    assert_eq!(parts.len() as u64, ROWS, "each file tells the names it is of");
    let outside: Vec<_> = files(&rig.folder())
        .into_keys()
        .filter(|name| !name.starts_with("parts/") && !name.starts_with("tagpipe.db"))
        .collect();
    assert_eq!(outside, Vec::<String>::new());

    let result = exported(
        &rig,
        &[
            "--table",
            "cards,sets",
            "--split",
            "category",
            "--format",
            "csv.gz",
            "--to",
            "both/",
        ],
    )
    .await;
    assert_eq!(result["rows"], 2 * ROWS);
    let folders: BTreeSet<String> = files(&rig.folder().join("both"))
        .into_keys()
        .filter_map(|name| Some(name.split_once('/')?.0.to_owned()))
        .collect();
    assert_eq!(folders, BTreeSet::from(["cards".to_owned(), "sets".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_takes_texts() {
    let rig = filled(Engine::Sqlite).await;
    for format in ["csv", "jsonl", "json"] {
        let ended = export(&rig, &["--table", "cards", "--format", format, "--to", "-"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let name = format!("cards.{format}");
        exported(&rig, &["--table", "cards", "--to", &name]).await;
        let file = std::fs::read_to_string(rig.folder().join(name)).expect("a file");
        assert!(ended.stdout == file, "{format}");
        assert!(ended.stderr.contains(&format!("{ROWS} rows")), "{}", ended.stderr);
    }
    let script = format!(
        "'{}' export --database-url sqlite:tagpipe.db --table cards --format csv --to - | head -n 1; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_tagpipe")
    );
    let head = tokio::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(rig.folder())
        .output()
        .await
        .expect("bash");
    let said = String::from_utf8_lossy(&head.stdout);
    assert!(
        said.starts_with("id,set_id,number,") && said.ends_with("\n0\n"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_together_is_refused_before_anything_is_written() {
    let rig = filled(Engine::Sqlite).await;
    let pipe = rig.folder().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let cases: &[(&[&str], &str)] = &[
        (&["--to", "out"], "`out` does not tell a format"),
        (&["--to", "out/"], "--format is missing"),
        (
            &["--to", "a.csv", "--format", "parquet"],
            "contradicts the name `a.csv`",
        ),
        (
            &["--to", "a.ods"],
            "does not tell a format; end it in one of .csv",
        ),
        (
            &["--to", "a.csv", "--table", "cards,sets"],
            "`a.csv` is one file, but csv takes one table",
        ),
        (&["--to", "a.csv", "--split", "set"], "--split makes many files"),
        (
            &["--to", "a.csv", "--table", "frontier"],
            "`frontier` is not a table or view that can be exported",
        ),
        (
            &["--to", "a.csv", "--table", "runs", "--categories", "Hockey"],
            "--categories does not apply",
        ),
        (
            &["--to", "a.csv", "--table", "years", "--set-filter", "x"],
            "--set-filter does not apply",
        ),
        (
            &["--to", "a.csv", "--table", "categories", "--year-filter", "1989"],
            "--year-filter does not apply",
        ),
        (
            &["--to", "a.csv", "--table", "runs", "--current"],
            "--current does not apply",
        ),
        (
            &["--to", "a.csv", "--table", "grade_scale", "--changed-since", "1h"],
            "--changed-since does not apply",
        ),
        (
            &[
                "--to", "a/", "--format", "csv", "--table", "runs", "--split", "year",
            ],
            "--split does not apply",
        ),
        (
            &["--to", "a.csv", "--changed-since", "yesterday"],
            "(set by --changed-since)",
        ),
        (
            &["--to", "a.csv", "--changed-since", "2999-01-01"],
            "lies in the future",
        ),
        (
            &["--to", "a.csv", "--changed-since", "run 99"],
            "there is no run 99",
        ),
        (
            &["--to", "a.csv", "--year-filter", "1990-1980"],
            "(set by --year-filter)",
        ),
        (
            &["--to", "-", "--format", "parquet"],
            "cannot be written to standard output",
        ),
        (
            &["--to", "-", "--format", "csv", "--json"],
            "both want standard output",
        ),
        (
            &["--to", "-", "--format", "csv", "--table", "sets,cards"],
            "standard output takes one table",
        ),
        (&["--to", "ftp://host/a.csv"], "ftp"),
        (&["--to", "tagpipe.db"], "is the database that is exported"),
        (&["--to", "pipe", "--format", "csv"], "is no regular file"),
    ];
    for (arguments, words) in cases {
        let ended = export(&rig, arguments).await;
        assert!(
            ended.failure(2).contains(words),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    let left: Vec<_> = files(&rig.folder().join("..").join("tmp")).into_keys().collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(files_beside_the_database(&rig), ["pipe"]);
}

/// Names in the rig's folder, the database's own left out.
fn files_beside_the_database(rig: &Rig) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(rig.folder())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("tagpipe.db"))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_excel_cannot_hold_leaves_no_file() {
    let rig = filled(Engine::Sqlite).await;
    let store = rig.open().await;
    sea_orm::ConnectionTrait::execute_unprepared(
        store.connection(),
        "UPDATE audit_logs SET message = replace(hex(zeroblob(20000)), '0', 'x') WHERE id = 7",
    )
    .await
    .expect("a long text");
    store.close().await;
    let ended = export(&rig, &["--table", "audit_logs", "--to", "audit.xlsx"]).await;
    let words = "`message` in `audit_logs`, row 8 of its sheet, has 40000 characters, and a cell of Excel takes 32767";
    assert!(ended.failure(1).contains(words), "{}", ended.stderr);
    assert_eq!(files_beside_the_database(&rig), Vec::<String>::new());
    assert!(files(&rig.folder().join("..").join("tmp")).is_empty());
    let result = exported(&rig, &["--table", "audit_logs", "--to", "audit.csv"]).await;
    assert_eq!(result["rows"], ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_takes_the_place_of_the_one_before() {
    let rig = filled(Engine::Sqlite).await;
    rig.write("cards.csv", "what was there before");
    std::fs::create_dir(rig.folder().join("folder")).expect("a folder");
    let url = format!(
        "file://{}",
        rig.folder().join("folder").join("cards.csv").display()
    );
    for to in ["cards.csv", &url] {
        let result = exported(&rig, &["--table", "cards", "--to", to]).await;
        assert_eq!(result["rows"], ROWS);
    }
    let files = files(&rig.folder());
    assert!(files["cards.csv"].starts_with(b"id,set_id,number,"));
    assert!(files["cards.csv"] == files["folder/cards.csv"]);
    assert!(files.contains_key("folder/cards.csv.schema.json"));
    // Into a folder that is there, a table takes its own name.
    exported(
        &rig,
        &["--table", "sets", "--format", "parquet", "--to", "folder"],
    )
    .await;
    assert!(rig.folder().join("folder/sets.parquet").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_for_what_is_put_together_is_told_and_nothing_is_left() {
    let rig = rig(Engine::Sqlite).await;
    let store = rig.open().await;
    fill::many(&store, 1_250).await;
    store.close().await;
    std::fs::create_dir(rig.folder().join("small")).expect("a folder");
    // In blocks of 1,024 bytes, without the signal that comes with it.
    let limited = "(trap '' XFSZ; ulimit -f 400; TMPDIR=small {run})";
    let full = "mount -t tmpfs -o size=300k tmpfs small && TMPDIR=small {run} && exit; left=$?; ls -A small; exit $left";
    let mut cases = vec![("sqlite", limited.to_owned(), &[][..])];
    if is_root() {
        let unshare = &["unshare", "--mount"][..];
        // A workbook also wants some to spare.
        let later = full.replace("300k", "3m");
        cases.extend([("sqlite", full.to_owned(), unshare), ("xlsx", later, unshare)]);
    }
    for (format, line, starter) in cases {
        let run = format!(
            "\"$0\" export --quiet --database-url sqlite:tagpipe.db --table card_population --to many.{format}"
        );
        let command = rig.shell(starter, &line.replace("{run}", &run));
        let ended = Running::start(command).ended().await;
        let said = ended.failure(1);
        let words = "cannot put the file together in `small/";
        assert!(
            said.contains(words) && said.contains("set TMPDIR"),
            "{line}: {said}"
        );
        assert_eq!(files_beside_the_database(&rig), ["small"]);
    }
    // What needs no such room asks for none.
    rig.write("no-folder", "");
    let line = "TMPDIR=no-folder \"$0\" export --database-url sqlite:tagpipe.db --table sets --to sets.csv";
    let ended = Running::start(rig.shell(&[], line)).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_file_never_describes_a_mixture() {
    let rig = filled(Engine::Sqlite).await;
    let arguments = ["--table", "cards,sets", "--format", "csv", "--to", "out/"];
    let make_a_folder_of = |name: &str| {
        std::fs::remove_file(rig.folder().join(name)).expect("a file");
        std::fs::create_dir(rig.folder().join(name)).expect("a folder");
    };
    exported(&rig, &arguments).await;
    let whole = files(&rig.folder().join("out"));
    // The first file cannot be written: the former export is still whole.
    std::fs::rename(rig.folder().join("out/cards.csv"), rig.folder().join("cards.csv")).expect("a file");
    std::fs::create_dir(rig.folder().join("out/cards.csv")).expect("a folder");
    export(&rig, &arguments).await.failure(1);
    std::fs::remove_dir(rig.folder().join("out/cards.csv")).expect("a folder");
    std::fs::rename(rig.folder().join("cards.csv"), rig.folder().join("out/cards.csv")).expect("a file");
    assert!(files(&rig.folder().join("out")) == whole);
    // The second one cannot: the first may be another one by now, and nothing claims to know.
    make_a_folder_of("out/sets.csv");
    export(&rig, &arguments).await.failure(1);
    assert!(!rig.folder().join("out/schema.json").exists());
    std::fs::remove_dir(rig.folder().join("out/sets.csv")).expect("a folder");
    exported(&rig, &arguments).await;
    assert_schema_is_true(&rig.folder().join("out"), "schema.json");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_views_agree_with_what_help_says() {
    let rig = rig(Engine::Sqlite).await;
    rig.open().await.close().await;
    let listed = exported(&rig, &["--list"]).await;
    let tables = listed.as_array().expect("a list");
    let names = |wanted: &dyn Fn(&Value) -> bool| names_of(tables, wanted);
    let all = BTreeSet::from(TABLES);
    assert_eq!(names(&|_| true), all);
    // The lists of the help text, in its words.
    let audit = ["audit_logs", "audit_operations", "audit_errors", "audit_results"];
    let by_category = without(
        &all,
        &[&["grade_scale", "discrepancies", "runs", "runners"][..], &audit].concat(),
    );
    let by_year = without(&by_category, &["categories", "catalogue_history"]);
    let by_set = without(&by_year, &["years"]);
    let lies_in = |levels: &'static [&'static str]| {
        move |table: &Value| {
            table["deepest_level"]
                .as_str()
                .is_some_and(|level| levels.contains(&level))
        }
    };
    assert_eq!(names(&lies_in(&["category", "year", "set"])), by_category);
    assert_eq!(names(&lies_in(&["year", "set"])), by_year);
    assert_eq!(names(&lies_in(&["set"])), by_set);
    assert_eq!(
        names(&|table| table["changed_since"] == true),
        without(&all, &["grade_scale"])
    );
    let report = ["categories", "years", "sets", "cards", "grade_rows"];
    let views = ["catalogue", "card_population", "set_population"];
    assert_eq!(
        names(&|table| table["current"] == true),
        report.into_iter().chain(views).collect()
    );
}

/// The names of the wanted tables.
fn names_of<'a>(tables: &'a [Value], wanted: &dyn Fn(&Value) -> bool) -> BTreeSet<&'a str> {
    let wanted = tables.iter().filter(|table| wanted(table));
    wanted
        .map(|table| table["name"].as_str().expect("a name"))
        .collect()
}

fn without(all: &BTreeSet<&'static str>, these: &[&str]) -> BTreeSet<&'static str> {
    all.iter().copied().filter(|name| !these.contains(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_reach_the_rows() {
    let rig = filled(Engine::Sqlite).await;
    // Of the hostile names, these begin with a digit.
    let digits = HOSTILE
        .iter()
        .filter(|name| name.starts_with(|one: char| one.is_ascii_digit()))
        .count();
    let result = exported(
        &rig,
        &[
            "--table",
            "sets",
            "--set-filter",
            "0012,1e5,2026-11-24",
            "--to",
            "sets.jsonl",
        ],
    )
    .await;
    // Each is the brand of one set and the name of another one.
    assert_eq!(result["rows"], 2 * digits, "{result:#}");
    let current = exported(&rig, &["--table", "cards", "--current", "--to", "cards.jsonl"]).await;
    assert_eq!(current["rows"], ROWS / 3, "{current:#}");
    let text = std::fs::read_to_string(rig.folder().join("cards.jsonl")).expect("a file");
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(row["vanished_at"], Value::Null);
    }
    let schema = assert_schema_is_true(&rig.folder(), "cards.jsonl.schema.json");
    assert_eq!(schema["selection"]["current"], json!(true));
}
