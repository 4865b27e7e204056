//! The rows that are stored and the rows that the site says there are, in one form.

use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tagpipe_core::model::clean_text;
use tagpipe_demo::{Grade, GradeRow, World};
use tagpipe_store::Store;
use tagpipe_store::entities::{cards, categories, grade_rows, sets, years};
use url::form_urlencoded;

/// All rows of the five tables, each as a line with every column, sorted.
#[derive(Debug)]
pub(crate) struct Content {
    tables: [(&'static str, Vec<String>); 5],
    /// Certificates that are kept although the site no longer shows them; they are in no table here.
    pub(crate) vanished: usize,
}

type OneName = Box<dyn Fn(&str) -> bool>;
type TwoNames = Box<dyn Fn(&str, &str) -> bool>;

/// The part of the site that a run was limited to: what lies below the rows that are not wanted is not read.
pub(crate) struct Wanted {
    pub(crate) category: OneName,
    pub(crate) year: OneName,
    /// By brand and name.
    pub(crate) set: TwoNames,
    /// By name and number.
    pub(crate) card: TwoNames,
    /// Addresses of cards whose certificates could not be read.
    pub(crate) unread: Vec<String>,
}

impl Wanted {
    pub(crate) fn everything() -> Wanted {
        Wanted {
            category: Box::new(|_| true),
            year: Box::new(|_| true),
            set: Box::new(|_, _| true),
            card: Box::new(|_, _| true),
            unread: Vec::new(),
        }
    }
}

impl Content {
    /// What the site says.
    pub(crate) fn promised(world: &World, wanted: &Wanted) -> Content {
        let year = |category: &str, year: &str| (wanted.category)(category) && (wanted.year)(year);
        let set = |brand: &str, name: &str| (wanted.set)(brand, name);
        let categories = world
            .category_rows()
            .map(|row| line(&json!([shown(&row.name), page(&row.url)])));
        let years = world
            .year_rows()
            .filter(|row| (wanted.category)(&row.category))
            .map(|row| {
                let address = page(&format!(
                    "/pop-report/{}/{}",
                    escaped(&row.category),
                    escaped(&row.year)
                ));
                line(&json!([
                    shown(&row.category),
                    row.year,
                    row.sets_count,
                    row.items_count,
                    row.graded_count,
                    address
                ]))
            });
        let sets = world
            .set_rows()
            .filter(|row| year(&row.category, &row.year))
            .map(|row| {
                let counts = counts(&json!(row.counts));
                let heading = [
                    shown(&row.category),
                    row.year,
                    shown(&row.brand),
                    shown(&row.name),
                ];
                line(&json!([heading, page(&row.url), counts, row.total]))
            });
        let cards = world
            .card_rows()
            .filter(|row| year(&row.category, &row.year) && set(&row.brand, &row.set))
            .map(|row| {
                let heading = [shown(&row.category), row.year, shown(&row.brand), shown(&row.set)];
                let own = [shown(&row.number), shown(&row.name), shown(&row.variation)];
                line(&json!([
                    heading,
                    own,
                    page(&row.url),
                    counts(&json!(row.counts)),
                    row.total
                ]))
            });
        let lost: HashSet<_> = world
            .card_rows()
            .filter(|row| wanted.unread.contains(&row.url))
            .map(|row| {
                [
                    row.category,
                    row.year,
                    row.brand,
                    row.set,
                    row.number,
                    row.name,
                    row.variation,
                ]
            })
            .collect();
        let grade_rows = world
            .grade_rows()
            .filter(|row| {
                year(&row.category, &row.year)
                    && set(&row.brand, &row.set)
                    && (wanted.card)(&row.name, &row.number)
                    && !lost.contains(
                        &[
                            &row.category,
                            &row.year,
                            &row.brand,
                            &row.set,
                            &row.number,
                            &row.name,
                            &row.variation,
                        ]
                        .map(String::clone),
                    )
            })
            .map(|row| {
                let heading = [&row.category, &row.year, &row.brand, &row.set].map(|text| shown(text));
                let own = [&row.number, &row.name, &row.variation].map(|text| shown(text));
                let (code, label) = code_and_label(&row);
                let certificate = json!([
                    row.cert_number.as_str(),
                    row.grade_text,
                    row.grade,
                    label,
                    code,
                    row.score,
                    row.completed_on.map(|day| day.to_string()),
                    row.report_url,
                ]);
                let ranks = [row.rank, row.rank_by_grade, row.chronology, row.chron_by_grade];
                line(&json!([heading, own, certificate, ranks]))
            });
        Content::sorted([
            categories.collect(),
            years.collect(),
            sets.collect(),
            cards.collect(),
            grade_rows.collect(),
        ])
    }

    /// What is stored.
    pub(crate) async fn stored(store: &Store) -> Content {
        let connection = store.connection();
        let categories = categories::Entity::find().all(connection).await.expect("rows");
        let years = years::Entity::find().all(connection).await.expect("rows");
        let sets = sets::Entity::find().all(connection).await.expect("rows");
        let cards = cards::Entity::find().all(connection).await.expect("rows");
        let all_grade_rows = grade_rows::Entity::find().all(connection).await.expect("rows");
        let (grade_rows, vanished): (Vec<_>, Vec<_>) = all_grade_rows
            .into_iter()
            .partition(|row| row.vanished_at.is_none());

        let of_category: HashMap<i64, String> =
            categories.iter().map(|row| (row.id, row.name.clone())).collect();
        let of_year: HashMap<i64, [String; 2]> = years
            .iter()
            .map(|row| (row.id, [of_category[&row.category_id].clone(), row.year.clone()]))
            .collect();
        let of_set: HashMap<i64, [String; 4]> = sets
            .iter()
            .map(|row| {
                let [category, year] = of_year[&row.year_id].clone();
                (row.id, [category, year, row.brand.clone(), row.name.clone()])
            })
            .collect();
        let of_card: HashMap<i64, (&[String; 4], [&str; 3])> = cards
            .iter()
            .map(|row| {
                (
                    row.id,
                    (
                        &of_set[&row.set_id],
                        [row.number.as_str(), &row.name, &row.variation],
                    ),
                )
            })
            .collect();
        // What is kept although the site no longer lists it is not what the site has.
        let category_lines = categories
            .iter()
            .filter(|row| row.vanished_at.is_none())
            .map(|row| line(&json!([row.name, page(&row.url)])));
        let year_lines = years.iter().filter(|row| row.vanished_at.is_none()).map(|row| {
            let [category, year] = &of_year[&row.id];
            let address = page(&row.url);
            line(&json!([
                category,
                year,
                row.sets_count,
                row.items_count,
                row.graded_count,
                address
            ]))
        });
        let set_lines = sets.iter().filter(|row| row.vanished_at.is_none()).map(|row| {
            line(&json!([
                of_set[&row.id],
                page(&row.url),
                counts(&row.counts),
                row.total
            ]))
        });
        let card_lines = cards.iter().filter(|row| row.vanished_at.is_none()).map(|row| {
            let (heading, own) = of_card[&row.id];
            line(&json!([
                heading,
                own,
                page(&row.url),
                counts(&row.counts),
                row.total
            ]))
        });
        let grade_lines = grade_rows.iter().map(|row| {
            let (heading, own) = of_card[&row.card_id];
            let certificate = json!([
                row.cert_number,
                row.grade_text,
                row.grade,
                row.grade_label,
                row.grade_code,
                row.score,
                row.completed_on.map(|day| day.to_string()),
                row.report_url,
            ]);
            let ranks = [row.rank, row.rank_by_grade, row.chronology, row.chron_by_grade];
            line(&json!([heading, own, certificate, ranks]))
        });
        let stored = Content::sorted([
            category_lines.collect(),
            year_lines.collect(),
            set_lines.collect(),
            card_lines.collect(),
            grade_lines.collect(),
        ]);
        Content {
            vanished: vanished.len(),
            ..stored
        }
    }

    fn sorted(mut lines: [Vec<String>; 5]) -> Content {
        lines.iter_mut().for_each(|lines| lines.sort_unstable());
        let [categories, years, sets, cards, grade_rows] = lines;
        Content {
            tables: [
                ("categories", categories),
                ("years", years),
                ("sets", sets),
                ("cards", cards),
                ("grade_rows", grade_rows),
            ],
            vanished: 0,
        }
    }

    /// Row by row, in both directions.
    #[track_caller]
    pub(crate) fn assert_equals(&self, promised: &Content) {
        for ((table, stored), (_, promised)) in self.tables.iter().zip(&promised.tables) {
            let missing = difference(promised, stored);
            let surplus = difference(stored, promised);
            assert!(
                missing.is_empty() && surplus.is_empty(),
                "{table}: {} rows of {} are missing: {:#?}\n{} rows of {} are not the site's: {:#?}",
                missing.len(),
                promised.len(),
                &missing[..missing.len().min(4)],
                surplus.len(),
                stored.len(),
                &surplus[..surplus.len().min(4)],
            );
        }
    }
}

/// What `of` has and `without` has not, of two sorted lists.
fn difference<'a>(of: &'a [String], without: &[String]) -> Vec<&'a str> {
    let mut others = without.iter().peekable();
    of.iter()
        .filter(|line| {
            while others.next_if(|other| other < line).is_some() {}
            others.next_if(|other| other == line).is_none()
        })
        .map(String::as_str)
        .collect()
}

fn line(columns: &Value) -> String {
    columns.to_string()
}

/// As tagpipe stores a text of the site: white space and control characters cleaned.
fn shown(text: &str) -> String {
    clean_text(text)
}

/// Codes and numbers in one order.
pub(crate) fn counts(value: &Value) -> Vec<(String, u64)> {
    let object = value.as_object().expect("counts are an object");
    let mut counts: Vec<_> = object
        .iter()
        .map(|(code, count)| (code.clone(), count.as_u64().expect("a number")))
        .collect();
    counts.sort();
    counts
}

/// The count column a certificate belongs to, and its label there.
fn code_and_label(row: &GradeRow) -> (&'static str, &'static str) {
    let grade = Grade::all()
        .find(|grade| grade.number() == row.grade && grade.label() == row.grade_label)
        .expect("a certificate has a grade of the scale");
    (grade.code(), grade.label().unwrap_or(grade.code()))
}

fn escaped(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn page(address: &str) -> String {
    place(address).0
}

/// What an address means, however it is spelt; and the number of the further document it asks for, if any.
pub(crate) fn place(address: &str) -> (String, Option<String>) {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| shown(&percent_decode_str(segment).decode_utf8_lossy()))
        .collect();
    let mut further = None;
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .filter_map(|(name, value)| {
            if name == "page" {
                further = Some(value.into_owned());
                return None;
            }
            (!value.is_empty()).then(|| (name.into_owned(), shown(&value)))
        })
        .collect();
    pairs.sort();
    (json!([segments, pairs]).to_string(), further)
}
