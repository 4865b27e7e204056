//! `docs/from-the-python-pipeline.md`: it speaks of everything that the old guide has, and what it says is so.
//!
//! Every command line of its `sh` blocks is run as it stands there, each block in a folder of its own with a copy of a
//! database that was read before. Every query is asked on the databases that it is meant for.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sea_orm::sqlx::{self, AssertSqlSafe, Row};
use serde_json::Value;
use tagpipe_demo::DemoConfig;
use tagpipe_store::DatabaseUrl;
use tagpipe_store::testing::TestPostgres;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::{Ended, Engine, Rig, Running, wait_until};

/// Options in the guide of the Python pipeline that `tagpipe` has, or a command has.
const OPTIONS: &[&str] = &[
    "--concurrency",
    "--delay",
    "--max-retries",
    "--retry-backoff",
    "--dry-run",
    "--log-level",
    "--start-from",
    "--year-filter",
    "--set-filter",
    "--card-filter",
    "--runner-id",
    "--categories",
    "--help",
    "--num-runners",
    "--check-interval",
    "--working-directory",
];

/// Options in the guide of the Python pipeline that go by another name, or that nothing needs.
const OPTIONS_GONE: &[&str] = &["--python-path", "--verbose"];

/// Environment variables in the guide of the Python pipeline.
const VARIABLES: &[&str] = &[
    "PIPELINE_MAX_CONCURRENCY",
    "PIPELINE_DELAY",
    "PIPELINE_CATEGORIES",
    "PIPELINE_MAX_RETRIES",
    "PIPELINE_RETRY_BACKOFF",
    "PIPELINE_SCHEDULE",
    "PIPELINE_TIMEZONE",
    "LOG_LEVEL",
    "POSTGRES_USER",
    "POSTGRES_DB",
];

/// Statements that the guide of the Python pipeline gives to `psql`.
const STATEMENTS: &[&str] = &[
    "SELECT * FROM audit_logs ORDER BY created_at DESC LIMIT 10;",
    "SELECT COUNT(*) FROM audit_logs WHERE created_at > NOW() - INTERVAL '1 hour';",
    "SELECT * FROM audit_logs WHERE level = 'ERROR' ORDER BY created_at DESC LIMIT 10;",
    "SELECT * FROM audit_logs LIMIT 1;",
    "\\dt audit_logs",
];

/// Commands, files and names of code in the guide of the Python pipeline.
const NAMES: &[&str] = &[
    "unified_pipeline.py",
    "multi_runner_orchestrator.py",
    "test_unified_pipeline.py",
    "docker-compose up -d",
    "docker-compose logs -f scraper",
    "docker-compose down",
    "docker-compose ps",
    "docker-compose ps db",
    "docker-compose exec db psql -U $POSTGRES_USER -d $POSTGRES_DB",
    "docker-compose logs scraper \\| grep ERROR",
    "grep -i error | tail -20",
    "grep \"runner_1\"",
    "docker stats",
    "ps aux | grep python",
    "env \\| grep POSTGRES",
    "pip install -r requirements.txt",
    "print('DB OK')",
    "ls -la src/scraper/unified_pipeline.py",
    "UnifiedPipeline(",
    "PipelineConfig(",
    "get_session()",
    "run_pipeline()",
    "AuditLogger(",
    "log_operation(",
    "log_error(",
    "SessionLocal",
    "MultiRunnerOrchestrator",
    "RunnerConfig",
    "run_orchestration()",
];

/// Options of other programs in the document.
const FOREIGN_OPTIONS: &[&str] = &["--csv", "--release", "--workspace", "--all-features"];

/// Lines that begin so are for programs that no test may start.
const NOT_RUN: &[&str] = &["cargo ", "scripts/", "apt-get "];

/// With a pause between requests, seven pages of the demo site are enough: the first one and the categories.
const SLOW: &[&str] = &["--delay", "--max-rate", "PIPELINE_DELAY"];
const FEW_PAGES: &str = "year_filter = \"1800\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn document() -> String {
    read("docs/from-the-python-pipeline.md")
}

/// The contents of all blocks that are marked so.
fn blocks(document: &str, mark: &str) -> Vec<String> {
    let open = format!("```{mark}");
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in document.lines() {
        match &mut block {
            Some(text) if line == "```" => {
                found.push(std::mem::take(text));
                block = None;
            }
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line == open => block = Some(String::new()),
            None => {}
        }
    }
    assert!(block.is_none(), "a block of {mark} is closed");
    assert!(!found.is_empty(), "there are blocks of {mark}");
    found
}

/// Every `--long-option` of a text.
fn options(text: &str) -> Vec<&str> {
    let is_part = |character: char| character.is_ascii_lowercase() || character == '-';
    text.match_indices("--")
        .filter(|(at, _)| !text[..*at].ends_with(|character: char| is_part(character) || character == '|'))
        .filter_map(|(at, _)| {
            let rest = &text[at..];
            let end = rest
                .find(|character: char| !is_part(character))
                .unwrap_or(rest.len());
            rest[2..end]
                .starts_with(|character: char| character != '-')
                .then_some(&rest[..end])
        })
        .collect()
}

/// What a link to a heading ends in.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches(['#', ' '])
        .to_lowercase()
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-'))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

async fn site() -> Rig {
    Rig::new(DemoConfig {
        pages: 60,
        ..DemoConfig::default()
    })
    .await
}

/// Lines of settings that make the demo site the site.
fn settings(rig: &Rig) -> String {
    format!(
        "base_url = \"{}\"\nfetch = \"http\"\ndelay = 0\n",
        rig.site.site_url()
    )
}

/// A folder in the rig's own, with settings and, if one was read, its database.
fn folder(rig: &Rig, name: &str, more_settings: &str) -> PathBuf {
    let folder = rig.folder().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("tagpipe.toml"), settings(rig) + more_settings).expect("a file");
    let database = rig.folder().join("tagpipe.db");
    if database.exists() {
        std::fs::copy(database, folder.join("tagpipe.db")).expect("a copy");
    }
    folder
}

/// A script with `tagpipe` on its `PATH` and nothing else in its environment but these variables.
fn script(folder: &Path, text: &str, variables: &[(&str, &str)]) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_tagpipe"));
    let mut path = program
        .parent()
        .expect("it is in a folder")
        .as_os_str()
        .to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command
        .args(["-c", text])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(folder: &Path, text: &str) -> Ended {
    Running::start(script(folder, text, &[])).ended().await
}

#[test]
fn everything_in_the_old_guide_is_spoken_of() {
    let document = document();
    let in_all = [OPTIONS, OPTIONS_GONE, VARIABLES, STATEMENTS, NAMES].concat();
    let missing: Vec<_> = in_all.iter().filter(|name| !document.contains(**name)).collect();
    assert!(missing.is_empty(), "not in the document: {missing:#?}");
}

#[test]
fn its_options_and_examples_are_there() {
    let (document, reference) = (document(), read("docs/reference.md"));
    let known = options(&reference);
    for option in OPTIONS {
        assert!(known.contains(option), "{option} is no option");
    }
    for option in OPTIONS_GONE {
        assert!(!known.contains(option), "{option} is an option now: say so");
    }
    for option in options(&document) {
        assert!(
            known.contains(&option) || OPTIONS_GONE.contains(&option) || FOREIGN_OPTIONS.contains(&option),
            "{option} is in the document and no option"
        );
    }
    for variable in VARIABLES {
        assert!(reference.contains(variable), "{variable} is no setting");
    }
    let mut code = String::new();
    for link in document.split("](").skip(1) {
        let (link, _) = link.split_once(')').expect("a link is closed");
        let (target, place) = link.split_once('#').unwrap_or((link, ""));
        let text = match target {
            "" => document.clone(),
            _ => read(&format!("docs/{target}")),
        };
        assert!(
            place.is_empty() || text.lines().any(|line| anchor(line) == place),
            "{link} leads nowhere"
        );
        if target.ends_with(".rs") {
            code.push_str(&text);
        }
    }
    for name in [
        "Config {",
        "run: RunSettings {",
        "retry: RetryPolicy {",
        "Pipeline::open(config)",
        "pipeline.run(Start::New, &shutdown)",
        "pipeline.close()",
        "AuditLogger::new(&store, \"custom_runner\")",
        ".log_operation(",
        ".log_error(",
        "AuditLevel::Info",
        "Store::open(&url, true)",
        "impl Fetcher for",
    ] {
        assert!(code.contains(name), "`{name}` is in no example");
    }
}

/// Runs the lines of a block, one after the other; `export` holds for those below.
async fn run_block(folder: PathBuf, block: String, database_url: String) -> usize {
    let mut exports = String::new();
    let mut count = 0;
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with("export ") {
            exports.push_str(line);
            exports.push('\n');
            continue;
        }
        if NOT_RUN.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        let first = line
            .split(' ')
            .find(|word| !word.contains('='))
            .unwrap_or_default();
        assert!(matches!(first, "tagpipe" | "psql"), "who runs `{line}`?");
        count += 1;
        if line.contains("# until Ctrl-C") {
            follow(&folder, line).await;
            continue;
        }
        let variables: &[(&str, &str)] = if first == "psql" {
            &[("DATABASE_URL", &database_url)]
        } else {
            &[]
        };
        let wanted = line.split_once("# exit code ").map_or(0, |(_, code)| {
            code.trim().parse().expect("an exit code is a number")
        });
        let ended = Running::start(script(&folder, &format!("{exports}{line}"), variables))
            .ended()
            .await;
        assert_eq!(
            ended.code,
            Some(wanted),
            "{line}\n{}\n{}",
            ended.stdout,
            ended.stderr
        );
    }
    count
}

/// A command that goes on until it is told to stop.
async fn follow(folder: &Path, line: &str) {
    let (line, _) = line.split_once('#').expect("it has a comment");
    let told = folder.join("told");
    // One that another command has told would be taken for this one's.
    std::fs::write(&told, "").expect("a file");
    let running = Running::start(script(folder, &format!("exec {} >told", line.trim()), &[]));
    wait_until(line, || std::fs::metadata(&told).is_ok_and(|file| file.len() > 0)).await;
    running.signal("INT").await;
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(0), "{line}\n{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_line_runs_as_it_stands() {
    let rig = site().await;
    rig.run(&[]).await.summary(0);
    let postgres = tokio::task::spawn_blocking(TestPostgres::start)
        .await
        .expect("a PostgreSQL");
    let DatabaseUrl::Postgres(url) = postgres.url() else {
        panic!("it is a PostgreSQL")
    };
    let migrated = rig
        .tagpipe(&["db", "migrate", "--database-url", url.as_str()])
        .await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);

    let document = document();
    let mut running = JoinSet::new();
    for (number, block) in blocks(&document, "sh").into_iter().enumerate() {
        let is_slow = SLOW.iter().any(|word| block.contains(word));
        let folder = folder(
            &rig,
            &format!("block{number}"),
            if is_slow { FEW_PAGES } else { "" },
        );
        running.spawn(run_block(folder, block, url.to_string()));
    }
    let count: usize = running.join_all().await.into_iter().sum();
    let written = document
        .lines()
        .filter(|line| line.starts_with("tagpipe ") || line.starts_with("psql "))
        .count();
    assert!(
        count >= written && count >= 40,
        "{count} lines were run, {written} are written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dot_env_is_taken() {
    let rig = site().await;
    for (number, block) in blocks(&document(), "env").into_iter().enumerate() {
        let folder = folder(&rig, &format!("env{number}"), "");
        std::fs::write(folder.join(".env"), &block).expect("a file");
        let shown = run(&folder, "tagpipe config show --json").await;
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        assert_eq!(shown["notes"], serde_json::json!([]), "{block}: {shown:#}");
        for line in block.lines() {
            let (name, value) = line.split_once('=').expect("a name and a value");
            let origin = format!("{name} in .env");
            let setting = shown["settings"]
                .as_array()
                .expect("settings")
                .iter()
                .find(|setting| setting["origin"] == origin.as_str())
                .unwrap_or_else(|| panic!("{line}: {shown:#}"));
            let value = if name == "POSTGRES_PASSWORD" { "***" } else { value };
            assert_eq!(setting["value"], value.trim_matches('"'), "{line}");
        }
        let is_postgres = block.contains("POSTGRES_HOST");
        let database = shown["database"].as_str().expect("a database");
        assert_eq!(
            database.starts_with("postgres://cards:"),
            is_postgres,
            "{database}"
        );
        let ended = run(
            &folder,
            "tagpipe run --max-pages 1 --database-url sqlite:tagpipe.db",
        )
        .await;
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    }
}

/// Runs a statement on the database of a rig and returns how many rows came, or what was counted.
async fn ask(rig: &Rig, sql: &str) -> i64 {
    let counts = sql.contains("COUNT(*)");
    let store = rig.open().await;
    let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    let (rows, counted) = if rig.postgres.is_some() {
        let rows = statement
            .fetch_all(store.connection().get_postgres_connection_pool())
            .await
            .unwrap_or_else(|error| panic!("PostgreSQL: {sql}: {error}"));
        let counted: Option<String> = rows.first().and_then(|row| row.try_get_unchecked(0).ok());
        (rows.len(), counted)
    } else {
        let rows = statement
            .fetch_all(store.connection().get_sqlite_connection_pool())
            .await
            .unwrap_or_else(|error| panic!("SQLite: {sql}: {error}"));
        let counted: Option<String> = rows.first().and_then(|row| row.try_get_unchecked(0).ok());
        (rows.len(), counted)
    };
    store.close().await;
    if counts {
        counted.expect("a count").parse().expect("a count is a number")
    } else {
        i64::try_from(rows).expect("few rows")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_answered() {
    let document = document();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(
            engine,
            DemoConfig {
                pages: 60,
                ..DemoConfig::default()
            },
        )
        .await;
        rig.run(&[]).await.summary(0);
        let own = match engine {
            Engine::Sqlite => "sql-sqlite",
            Engine::Postgres => "sql-postgresql",
        };
        let queries = [blocks(&document, "sql"), blocks(&document, own)].concat();
        assert!(queries.len() >= 4, "{queries:?}");
        for sql in queries {
            let rows = ask(&rig, &sql).await;
            // Nothing failed; everything else has an answer.
            assert_eq!(rows > 0, !sql.contains("'ERROR'"), "{engine:?}: {sql}");
        }
    }
}

/// What the document warns of. When one of these is mended, the document has to change.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_warns_of_is_so() {
    let rig = site().await;
    let here = folder(&rig, "host", "");
    std::fs::write(
        here.join(".env"),
        "POSTGRES_USER=a\nPOSTGRES_PASSWORD=b\nPOSTGRES_DB=c\n",
    )
    .expect("a file");
    let shown = run(&here, "tagpipe config show --json").await;
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["database"], "tagpipe.db");
    assert!(
        shown["notes"][0]
            .as_str()
            .is_some_and(|note| note.contains("POSTGRES_HOST")),
        "{shown}"
    );

    for (url, database) in [
        ("postgresql+psycopg2://a:b@db/c", Some("postgres://a:***@db/c")),
        ("postgresql://a:b@db/c", Some("postgres://a:***@db/c")),
        ("mysql://a:b@db/c", None),
        ("sqlite:///x.db", Some("/x.db")),
        ("sqlite:x.db", Some("x.db")),
    ] {
        let shown = run(&here, &format!("DATABASE_URL={url} tagpipe config show --json")).await;
        let told: Option<Value> = serde_json::from_str(&shown.stdout).ok();
        let told = told.as_ref().map(|told| &told["database"]);
        assert_eq!(
            told,
            database.map(Value::from).as_ref(),
            "{url}: {}",
            shown.stderr
        );
        assert_eq!(shown.code, Some(if database.is_some() { 0 } else { 2 }), "{url}");
    }

    let here = folder(&rig, "options", "");
    for option in OPTIONS_GONE {
        for command in ["run", "orchestrate"] {
            let ended = run(&here, &format!("tagpipe {command} {option} 3")).await;
            assert_eq!(ended.code, Some(2), "{command} {option}: {}", ended.stderr);
        }
    }

    let first = rig.start(&["--delay", "2"]);
    rig.wait_for_documents(1).await;
    let second = rig.run(&["--resume"]).await;
    assert!(
        second.failure(2).contains("is being worked on"),
        "{}",
        second.stderr
    );
    first.kill().await;

    let postgres = Rig::on(
        Engine::Postgres,
        DemoConfig {
            pages: 60,
            ..DemoConfig::default()
        },
    )
    .await;
    let DatabaseUrl::Postgres(url) = postgres.database_url() else {
        panic!("it is a PostgreSQL")
    };
    let url = url.to_string();
    let old = Command::new("psql")
        .args([
            &url,
            "-c",
            "CREATE TABLE audit_logs (id serial, created_at timestamptz, level text)",
        ])
        .output()
        .await
        .expect("psql runs");
    assert!(old.status.success(), "{}", String::from_utf8_lossy(&old.stderr));
    let ended = postgres.run(&[]).await;
    assert!(
        ended
            .failure(1)
            .contains("`audit_logs` that another program made"),
        "{}",
        ended.stderr
    );
    let doctor = postgres
        .tagpipe(&["doctor", "--offline", "--database-url", &url])
        .await;
    assert_eq!(doctor.code, Some(1), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("another program"), "{}", doctor.stdout);
}
