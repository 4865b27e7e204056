//! The questions of `docs/data.md`: every query runs as it stands there, on both databases, with the same answer.
//!
//! Two demo sites with the same content are read three times each, one into SQLite and one into PostgreSQL: at
//! rest, after its populations have moved, and on a day on which pages fail. The queries are asked after the second
//! run, when the database must hold what the site has, and after the third, when there is something to say of
//! failures.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sea_orm::sqlx::{self, AssertSqlSafe, Column, Row};
use tagpipe_core::model::clean_text;
use tagpipe_demo::{CardRow, DemoConfig, Faults, Grade, GradeRow, SetRow, World};
use tagpipe_store::Store;

use crate::harness::{Engine, Rig};

/// A heading under "Questions" and the query below it.
struct Question {
    heading: String,
    sql: String,
}

/// What a database said, every value as the text that it shows.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// The answers to all questions, in the order of the document.
type Answers = Vec<Answer>;

fn questions() -> Vec<Question> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data.md");
    let document = std::fs::read_to_string(path).expect("docs/data.md is there");
    let (_, after) = document
        .split_once("\n## Questions\n")
        .expect("it has a section of questions");
    let section = after.split("\n## ").next().unwrap_or(after);
    section
        .split("\n### ")
        .skip(1)
        .map(|part| {
            let (heading, body) = part.split_once('\n').expect("a heading is a line");
            let mut blocks = body.split("```sql\n").skip(1);
            let block = blocks
                .next()
                .unwrap_or_else(|| panic!("`{heading}` has no query"));
            assert!(blocks.next().is_none(), "`{heading}` has one query");
            let (sql, _) = block.split_once("```").expect("a block is closed");
            Question {
                heading: heading.to_owned(),
                sql: sql.to_owned(),
            }
        })
        .collect()
}

impl Question {
    /// Whether the order of its rows, or with a `LIMIT` their choice, depends on when they were written.
    fn is_ordered_by_time(&self) -> bool {
        self.order().contains("_at")
    }

    fn is_chosen_by_time(&self) -> bool {
        self.is_ordered_by_time() && self.order().contains("LIMIT")
    }

    fn order(&self) -> &str {
        self.sql.rsplit("ORDER BY").next().unwrap_or_default()
    }
}

impl Answer {
    /// Asks as any program does: the simple protocol, which shows every type as text. SQLite shows numbers as text, too.
    async fn of(store: &Store, engine: Engine, question: &Question) -> Answer {
        let sql = AssertSqlSafe(question.sql.clone());
        let why = |error: sqlx::Error| -> Answer { panic!("{engine:?}: `{}`: {error}", question.heading) };
        match engine {
            Engine::Sqlite => sqlx::raw_sql(sql)
                .fetch_all(store.connection().get_sqlite_connection_pool())
                .await
                .map_or_else(why, |rows| {
                    Answer::read(&rows, |row, at| row.try_get_unchecked(at))
                }),
            Engine::Postgres => sqlx::raw_sql(sql)
                .fetch_all(store.connection().get_postgres_connection_pool())
                .await
                .map_or_else(why, |rows| {
                    Answer::read(&rows, |row, at| row.try_get_unchecked(at))
                }),
        }
    }

    fn read<R: Row>(rows: &[R], value: impl Fn(&R, usize) -> Result<Option<String>, sqlx::Error>) -> Answer {
        let columns = rows.first().map_or(&[][..], |row| row.columns());
        Answer {
            columns: columns.iter().map(|column| column.name().to_owned()).collect(),
            rows: rows
                .iter()
                .map(|row| {
                    (0..columns.len())
                        .map(|at| value(row, at).expect("every value has a text"))
                        .collect()
                })
                .collect(),
        }
    }

    #[track_caller]
    fn column(&self, name: &str) -> Vec<Option<&str>> {
        let at = self.columns.iter().position(|column| column == name);
        let at = at.unwrap_or_else(|| panic!("there is a column {name} among {:?}", self.columns));
        self.rows.iter().map(|row| row[at].as_deref()).collect()
    }

    /// The values of these columns, row by row; empty for null.
    #[track_caller]
    fn columns<const N: usize>(&self, names: [&str; N]) -> Vec<[String; N]> {
        let columns = names.map(|name| self.column(name));
        (0..self.rows.len())
            .map(|row| std::array::from_fn(|at| columns[at][row].unwrap_or_default().to_owned()))
            .collect()
    }

    /// What must be equal on both databases: times only in being there, addresses without the site's port.
    fn comparable(&self, question: &Question, site: &str) -> Answer {
        let mut answer = self.clone();
        for (at, column) in self.columns.iter().enumerate() {
            for row in &mut answer.rows {
                if let Some(text) = &mut row[at] {
                    if column.ends_with("_at") {
                        "a time".clone_into(text);
                    } else {
                        *text = text.replace(site, "http://site");
                    }
                }
            }
        }
        if question.is_ordered_by_time() {
            answer.rows.sort();
        }
        answer
    }
}

async fn ask(rig: &Rig, engine: Engine, questions: &[Question]) -> Answers {
    let store = rig.open().await;
    let mut answers = Vec::new();
    for question in questions {
        answers.push(Answer::of(&store, engine, question).await);
    }
    store.close().await;
    answers
}

/// A site that moved and then failed, and what was answered.
struct Read {
    before: Arc<World>,
    after: Arc<World>,
    site: String,
    moved: Answers,
    failed: Answers,
}

async fn read(engine: Engine, questions: &[Question]) -> Read {
    let rig = Rig::on(
        engine,
        DemoConfig {
            churn: 0.3,
            ..DemoConfig::default()
        },
    )
    .await;
    rig.run(&[]).await.summary(0);
    let before = rig.site.world();
    rig.site.update(|config| config.epoch = 3);
    rig.run(&["--full"]).await.summary(0);
    let after = rig.site.world();
    let moved = ask(&rig, engine, questions).await;

    // Which answers are struck depends on the page and on how often it was asked for, not on the order of pages.
    rig.site.update(|config| {
        config.faults = Faults {
            cut_off: 0.1,
            // Not so many that pages without any of their rows come three in a row, which would be another layout.
            partial: 0.14,
            seed: 7,
            ..Faults::default()
        };
    });
    rig.run(&["--full", "--max-retries", "0"]).await.summary(3);
    let failed = ask(&rig, engine, questions).await;
    Read {
        before,
        after,
        site: rig.site.site_url(),
        moved,
        failed,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_have_the_same_answers_after_crawls_on_both_databases() {
    let questions = questions();
    assert!(questions.len() >= 14, "{} questions", questions.len());
    let on_sqlite = read(Engine::Sqlite, &questions).await;
    let on_postgres = read(Engine::Postgres, &questions).await;

    for (at, question) in questions.iter().enumerate() {
        let heading = &question.heading;
        let rounds = [
            (&on_sqlite.moved[at], &on_postgres.moved[at]),
            (&on_sqlite.failed[at], &on_postgres.failed[at]),
        ];
        assert!(
            rounds.iter().any(|(answer, _)| !answer.rows.is_empty()),
            "`{heading}` has an answer in the demo data"
        );
        for (sqlite, postgres) in rounds {
            assert_eq!(sqlite.columns, postgres.columns, "`{heading}`");
            assert_eq!(sqlite.rows.len(), postgres.rows.len(), "`{heading}`");
            if !question.is_chosen_by_time() {
                let sqlite = sqlite.comparable(question, &on_sqlite.site);
                let postgres = postgres.comparable(question, &on_postgres.site);
                for (sqlite, postgres) in sqlite.rows.iter().zip(&postgres.rows) {
                    assert_eq!(sqlite, postgres, "`{heading}`");
                }
            }
        }
    }
    for read in [&on_sqlite, &on_postgres] {
        let answer = |heading: &str| {
            let at = questions
                .iter()
                .position(|question| question.heading == heading)
                .unwrap_or_else(|| panic!("there is a question `{heading}`"));
            (&read.moved[at], &read.failed[at])
        };
        check_population(
            answer("How many copies of a card are there in each grade?").0,
            &read.after,
        );
        check_certificate(
            answer("What is the whole story of one certificate?").0,
            &read.after,
        );
        check_months(
            answer("How many certificates were completed in each month?").0,
            &read.after,
        );
        check_categories(
            answer("Which categories have the most graded copies?").0,
            &read.after,
        );
        check_most_certificates(answer("Which cards have the most certificates?").0, &read.after);
        check_single_copies(
            answer("Which cards have a single copy, and that one is a 10P?").0,
            &read.after,
        );
        check_growth(answer("Which sets grow fastest?").0, read);
        check_changes(answer("Which cards did the newest run find changed?").0, read);
        check_vanished(answer("Which certificates vanished?").0, read);
        let errors = answer("What went wrong lately?").1;
        assert_eq!(errors.rows.len(), 10, "the ten newest");
        assert!(
            errors.column("level").iter().all(|level| *level == Some("ERROR")),
            "{errors:?}"
        );
        let times = errors.column("created_at");
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
        let failed = answer("Which pages failed, and why?").1;
        assert!(!failed.rows.is_empty() && failed.column("last_error").iter().all(Option::is_some));
        assert!(
            !answer("Which sums do not agree?").1.rows.is_empty(),
            "short pages disagree with their parents"
        );
    }
}

/// The landmark whose population the document asks for.
fn is_asked_for(card: &CardRow) -> bool {
    (card.category.as_str(), card.year.as_str(), card.number.as_str()) == ("Pokémon", "2021", "27")
        && card.name == "Farfetch'd"
        && card.variation.is_empty()
}

fn check_population(answer: &Answer, world: &World) {
    let card = world
        .card_rows()
        .find(is_asked_for)
        .expect("the landmark stands in every world");
    let mut higher = card.total;
    let promised: Vec<_> = Grade::all()
        .filter(|grade| card.counts.of(*grade) > 0)
        .map(|grade| {
            let copies = card.counts.of(grade);
            higher -= copies;
            [grade.code().to_owned(), copies.to_string(), higher.to_string()]
        })
        .collect();
    assert!(promised.len() > 5, "many grades: {promised:?}");
    assert_eq!(answer.columns(["grade_code", "copies", "higher"]), promised);
}

fn check_certificate(answer: &Answer, world: &World) {
    let row = world
        .grade_rows()
        .find(|row| row.cert_number.as_str() == "X3032464")
        .expect("the certificate stands in every world");
    let of_card: Vec<GradeRow> = world
        .grade_rows()
        .filter(|other| card_of(other) == card_of(&row))
        .collect();
    let in_grade = of_card
        .iter()
        .filter(|other| (other.grade, other.grade_label) == (row.grade, row.grade_label))
        .count();
    let given = |place: Option<u32>| place.map_or_else(String::new, |place| place.to_string());
    let promised = [[
        row.cert_number.to_string(),
        clean_text(&row.category),
        row.year.clone(),
        clean_text(&row.brand),
        clean_text(&row.set),
        clean_text(&row.number),
        clean_text(&row.name),
        row.grade_text.clone(),
        row.completed_on.map_or_else(String::new, |day| day.to_string()),
        given(row.rank),
        of_card.len().to_string(),
        given(row.rank_by_grade),
        in_grade.to_string(),
        given(row.chronology),
        given(row.chron_by_grade),
        row.report_url.clone(),
    ]];
    let told = answer.columns([
        "cert_number",
        "category",
        "year",
        "brand",
        "set_name",
        "number",
        "name",
        "grade_text",
        "completed_on",
        "rank",
        "listed",
        "rank_by_grade",
        "in_grade",
        "chronology",
        "chron_by_grade",
        "report_url",
    ]);
    assert_eq!(told, promised);
}

fn card_of(row: &GradeRow) -> [&str; 7] {
    [
        &row.category,
        &row.year,
        &row.brand,
        &row.set,
        &row.number,
        &row.name,
        &row.variation,
    ]
}

fn check_months(answer: &Answer, world: &World) {
    let mut by_month: BTreeMap<String, u64> = BTreeMap::new();
    for day in world.grade_rows().filter_map(|row| row.completed_on) {
        *by_month.entry(day.to_string()[..7].to_owned()).or_default() += 1;
    }
    let mut in_all = 0;
    let promised: Vec<_> = by_month
        .into_iter()
        .map(|(month, certificates)| {
            in_all += certificates;
            [month, certificates.to_string(), in_all.to_string()]
        })
        .collect();
    assert_eq!(answer.columns(["month", "certificates", "in_all"]), promised);
}

fn check_categories(answer: &Answer, world: &World) {
    let mut promised: Vec<_> = world
        .category_rows()
        .map(|category| {
            let years: Vec<_> = world
                .year_rows()
                .filter(|year| year.category == category.name)
                .collect();
            let graded: u32 = years.iter().map(|year| year.graded_count).sum();
            let cards: u32 = years.iter().map(|year| year.items_count).sum();
            let sets: u32 = years.iter().map(|year| year.sets_count).sum();
            (
                graded,
                [
                    clean_text(&category.name),
                    years.len().to_string(),
                    sets.to_string(),
                    cards.to_string(),
                    graded.to_string(),
                ],
            )
        })
        .collect();
    promised.sort_by(|(more, one), (less, other)| less.cmp(more).then_with(|| one.cmp(other)));
    let promised: Vec<_> = promised.into_iter().map(|(_, row)| row).collect();
    assert_eq!(
        answer.columns(["category", "years", "sets", "cards", "graded"]),
        promised
    );
}

fn check_most_certificates(answer: &Answer, world: &World) {
    let mut totals: Vec<u32> = world.card_rows().map(|card| card.total).collect();
    totals.sort_unstable_by(|one, other| other.cmp(one));
    let promised: Vec<_> = totals
        .iter()
        .take(10)
        .map(|total| [total.to_string(), total.to_string()])
        .collect();
    assert_eq!(answer.columns(["listed", "promised"]), promised);
}

fn check_single_copies(answer: &Answer, world: &World) {
    let best = Grade::all().last().expect("the scale has an end");
    assert_eq!(best.code(), "10P");
    let promised = world
        .card_rows()
        .filter(|card| card.total == 1 && card.counts.of(best) == 1)
        .count();
    assert_eq!(answer.rows.len(), promised);
}

fn check_growth(answer: &Answer, read: &Read) {
    let was: Vec<SetRow> = read.before.set_rows().collect();
    let now: Vec<SetRow> = read.after.set_rows().collect();
    let mut promised: Vec<i64> = was
        .iter()
        .zip(&now)
        .map(|(was, now)| i64::from(now.total) - i64::from(was.total))
        .filter(|gained| *gained != 0)
        .collect();
    promised.sort_unstable_by(|one, other| other.cmp(one));
    promised.truncate(20);
    let told: Vec<i64> = answer
        .column("gained")
        .into_iter()
        .flatten()
        .map(|gained| gained.parse().expect("a number"))
        .collect();
    assert_eq!(told, promised);
}

fn check_changes(answer: &Answer, read: &Read) {
    let moved: Vec<_> = read
        .before
        .card_rows()
        .zip(read.after.card_rows())
        .filter(|(was, now)| was.counts != now.counts)
        .map(|(was, now)| {
            [
                clean_text(&now.category),
                clean_text(&now.name),
                clean_text(&now.number),
                clean_text(&now.variation),
                was.total.to_string(),
                now.total.to_string(),
            ]
        })
        .collect();
    let sorted = |mut rows: Vec<[String; 6]>| {
        rows.sort();
        rows
    };
    let told = answer.columns(["category", "name", "number", "variation", "before", "now"]);
    assert_eq!(sorted(told), sorted(moved));
}

fn check_vanished(answer: &Answer, read: &Read) {
    let stays: HashSet<_> = read.after.grade_rows().map(|row| row.cert_number).collect();
    let mut promised: Vec<_> = read
        .before
        .grade_rows()
        .filter(|row| !stays.contains(&row.cert_number))
        .map(|row| [row.cert_number.to_string(), row.grade_text])
        .collect();
    promised.sort();
    assert!(!promised.is_empty(), "some certificates were taken back");
    let mut told = answer.columns(["cert_number", "grade_text"]);
    told.sort();
    assert_eq!(told, promised);
}
