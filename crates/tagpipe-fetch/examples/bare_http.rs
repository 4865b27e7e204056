//! What a report can be read with at most on one machine: reqwest, a tokenizer and nothing else. For `bench/compare`.
//!
//! `bare_http --url http://127.0.0.1:8000 --out rows.jsonl --concurrency 16 --delay 0`
//!
//! Knows the report's tables by heart and writes their rows as lines of JSON. No repetition, no robots.txt, no memory, no
//! check of anything: a page that fails is counted in the last line, and what lies below it is missing.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use html5gum::{StartTag, Token, Tokenizer};
use reqwest::Client;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use url::Url;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse(std::env::args().skip(1))?;
    // The ring provider is the one that is compiled in; a second call would find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut out = BufWriter::new(File::create(&options.out)?);
    let mut pace = (!options.delay.is_zero()).then(|| tokio::time::interval(options.delay));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut waiting = vec![Page {
        level: Level::Categories,
        url: options.site.join("/pop-report")?,
        known: Map::new(),
    }];
    let mut reads = JoinSet::new();
    let (mut requests, mut failed) = (0_u64, 0_u64);
    loop {
        while reads.len() < options.concurrency
            && let Some(page) = waiting.pop()
        {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            requests += 1;
            reads.spawn(read(client.clone(), page));
        }
        let Some(read) = reads.join_next().await else {
            break;
        };
        match read? {
            Ok(harvest) => {
                out.write_all(&harvest.lines)?;
                waiting.extend(harvest.further);
            }
            Err(error) => {
                failed += 1;
                eprintln!("{error}");
            }
        }
    }
    writeln!(
        out,
        "{}",
        json!({ "table": "end", "requests": requests, "failed": failed })
    )?;
    out.flush()?;
    Ok(())
}

struct Options {
    site: Url,
    out: String,
    concurrency: usize,
    delay: Duration,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, Failure> {
        let (mut site, mut out, mut concurrency, mut delay) = (None, None, 16, Duration::ZERO);
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{name}` has no value"))?;
            match name.as_str() {
                "--url" => site = Some(Url::parse(&value)?),
                "--out" => out = Some(value),
                "--concurrency" => concurrency = value.parse()?,
                "--delay" => delay = Duration::try_from_secs_f64(value.parse()?)?,
                _ => return Err(format!("`{name}` is no option").into()),
            }
        }
        Ok(Options {
            site: site.ok_or("--url is missing")?,
            out: out.ok_or("--out is missing")?,
            concurrency,
            delay,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Categories,
    Years,
    Sets,
    Cards,
    GradeRows,
}

impl Level {
    fn table(self) -> &'static str {
        match self {
            Level::Categories => "categories",
            Level::Years => "years",
            Level::Sets => "sets",
            Level::Cards => "cards",
            Level::GradeRows => "grade_rows",
        }
    }

    fn below(self) -> Option<Level> {
        match self {
            Level::Categories => Some(Level::Years),
            Level::Years => Some(Level::Sets),
            Level::Sets => Some(Level::Cards),
            Level::Cards => Some(Level::GradeRows),
            Level::GradeRows => None,
        }
    }
}

/// A page to read, and what the rows on the way to it said.
struct Page {
    level: Level,
    url: Url,
    known: Map<String, Value>,
}

/// What a page gave.
#[derive(Default)]
struct Harvest {
    lines: Vec<u8>,
    further: Vec<Page>,
}

async fn read(client: Client, page: Page) -> Result<Harvest, Failure> {
    let answer = client.get(page.url.clone()).send().await?.error_for_status()?;
    let html = answer.bytes().await?;
    let shown = Shown::of(&html);
    let mut harvest = Harvest::default();
    for cells in &shown.rows {
        let Some((own, href)) = fields(page.level, &shown.headers, cells) else {
            continue;
        };
        let mut row = page.known.clone();
        row.extend(own);
        if let Some(level) = page.level.below() {
            harvest.further.push(Page {
                level,
                url: page.url.join(&href)?,
                known: names(page.level, &row),
            });
        }
        row.insert("table".to_owned(), page.level.table().into());
        serde_json::to_writer(&mut harvest.lines, &row)?;
        harvest.lines.push(b'\n');
    }
    if let Some(next) = shown.next {
        harvest.further.push(Page {
            url: page.url.join(&next)?,
            ..page
        });
    } else if shown.headers.is_empty() && shown.rows.is_empty() {
        return Err(format!("`{}` shows no table", page.url).into());
    }
    Ok(harvest)
}

/// What the rows below a row repeat of it.
fn names(level: Level, row: &Map<String, Value>) -> Map<String, Value> {
    let mut known = Map::new();
    for (name, value) in row {
        let name = match (level, name.as_str()) {
            (Level::Categories, "name") => "category",
            (Level::Sets, "name") => "set",
            (_, name @ ("category" | "year" | "brand" | "set" | "number" | "name" | "variation")) => name,
            _ => continue,
        };
        known.insert(name.to_owned(), value.clone());
    }
    known
}

/// A row's own fields and where it leads to; none for TOTALS and for the word that there are no rows.
fn fields(level: Level, headers: &[String], cells: &[Cell]) -> Option<(Map<String, Value>, String)> {
    let cell = |header: &str| {
        let at = headers.iter().position(|known| known == header)?;
        cells.get(at)
    };
    if cells.iter().take(2).any(|cell| cell.text.trim() == "TOTALS")
        || (level != Level::Categories && cells.len() < 2)
    {
        return None;
    }
    let first = cells.first()?;
    let own = match level {
        Level::Categories => json!({ "name": first.text.trim() }),
        Level::Years => json!({
            "year": cell("Year")?.text.trim(),
            "sets_count": cell("Sets")?.number(),
            "items_count": cell("Items")?.number(),
            "graded_count": cell("Graded")?.number(),
        }),
        Level::Sets => {
            let title = cell("Grade")?;
            json!({
                "brand": title.bold.trim(),
                "name": title.text[title.bold.len()..].trim(),
                "counts": counts(headers, cells),
                "total": cell("Total")?.number(),
            })
        }
        Level::Cards => {
            let name = cell("Name")?;
            json!({
                "number": cell("Card #")?.text.trim(),
                "name": name.text[..name.text.len() - name.caption.len()].trim(),
                "variation": name.caption.trim(),
                "counts": counts(headers, cells),
                "total": cell("Total")?.number(),
            })
        }
        Level::GradeRows => {
            let text = cell("TAG Grade")?.text.trim();
            let grade = Grade::of(text);
            json!({
                "cert_number": cell("Cert Number")?.text.trim(),
                "rank": cell("Rank")?.place(),
                "grade_text": text,
                "grade": grade.number,
                "grade_label": grade.label,
                "score": grade.score,
                "rank_by_grade": cell("Rank by Grade")?.place(),
                "chronology": cell("Chronology")?.place(),
                "chron_by_grade": cell("Chron by Grade")?.place(),
                "completed_on": cell("Completed")?.day(),
                "report_url": cell("View Report")?.href,
            })
        }
    };
    let href = cells.iter().find_map(|cell| cell.href.clone());
    let href = href.unwrap_or_else(|| format!("/pop-report/{}", first.text.trim()));
    match own {
        Value::Object(own) => Some((own, href)),
        _ => None,
    }
}

/// The count columns stand between the name and the total.
fn counts(headers: &[String], cells: &[Cell]) -> Map<String, Value> {
    let first = headers
        .iter()
        .position(|header| header == "VA")
        .unwrap_or(headers.len());
    headers
        .iter()
        .zip(cells)
        .skip(first)
        .filter(|(header, _)| *header != "Total")
        .map(|(header, cell)| (header.clone(), cell.number()))
        .filter(|(_, count)| *count > 0)
        .map(|(header, count)| (header, count.into()))
        .collect()
}

/// The parts of `8.5 NM MT+ (890)`.
struct Grade<'t> {
    number: Option<f64>,
    label: Option<&'t str>,
    score: Option<u32>,
}

impl Grade<'_> {
    fn of(text: &str) -> Grade<'_> {
        let (words, score) = match text.split_once(" (") {
            Some((words, score)) => (words, score.trim_end_matches(')').parse().ok()),
            None => (text, None),
        };
        let (number, label) = match words.split_once(' ') {
            Some((number, label)) => (number.parse().ok(), Some(label)),
            None => (words.parse().ok(), None),
        };
        Grade { number, label, score }
    }
}

/// A cell of a table, or a tile.
#[derive(Default)]
struct Cell {
    text: String,
    /// The part of the text that stands in `b`.
    bold: String,
    /// The part of the text that is set small.
    caption: String,
    href: Option<String>,
    value: Option<String>,
}

impl Cell {
    fn number(&self) -> u32 {
        number(&self.text).unwrap_or(0)
    }

    /// A place, from the raw value if the cell has one; 0 and a dash are none.
    fn place(&self) -> Option<u32> {
        number(self.value.as_deref().unwrap_or(&self.text)).filter(|place| *place > 0)
    }

    /// The day of an ISO time, or of `08-20-2025`.
    fn day(&self) -> Option<String> {
        if let Some(time) = &self.value {
            return time.get(..10).map(str::to_owned);
        }
        let mut parts = self.text.trim().split('-');
        let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
        Some(format!("{year}-{month}-{day}"))
    }
}

fn number(text: &str) -> Option<u32> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What a document shows: headers and rows of its table, or one row for each tile.
#[derive(Default)]
struct Shown {
    headers: Vec<String>,
    rows: Vec<Vec<Cell>>,
    next: Option<String>,
}

/// Where the text that comes next belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Header,
    /// A word that stands for an icon in a header.
    Icon,
    Cell,
    Bold,
    Caption,
}

impl Shown {
    fn of(html: &[u8]) -> Shown {
        let mut shown = Shown::default();
        let mut place = Place::Nowhere;
        for Ok(token) in Tokenizer::new(html) {
            match token {
                Token::StartTag(tag) => place = shown.open(&tag, place),
                Token::EndTag(tag) => place = close(&tag.name, place),
                Token::String(text) => shown.add(&String::from_utf8_lossy(&text), place),
                _ => {}
            }
        }
        shown
    }

    fn open(&mut self, tag: &StartTag<()>, place: Place) -> Place {
        match tag.name.as_slice() {
            b"th" => {
                self.headers.push(String::new());
                return Place::Header;
            }
            b"tr" if !self.headers.is_empty() => self.rows.push(Vec::new()),
            b"td" => {
                if let Some(row) = self.rows.last_mut() {
                    row.push(Cell {
                        value: attribute(tag, b"value"),
                        ..Cell::default()
                    });
                    return Place::Cell;
                }
            }
            b"div" if has_class(tag, "MuiGrid-grid-lg-2") => self.rows.push(vec![Cell::default()]),
            b"h6" => return Place::Cell,
            b"b" if place == Place::Cell => return Place::Bold,
            b"span" if place == Place::Cell && has_class(tag, "MuiTypography-caption") => {
                return Place::Caption;
            }
            b"span" if place == Place::Header && has_class(tag, "material-icons") => return Place::Icon,
            b"a" if attribute(tag, b"title").as_deref() == Some("Next page") => {
                self.next = attribute(tag, b"href");
            }
            b"a" => {
                if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut())
                    && cell.href.is_none()
                {
                    cell.href = attribute(tag, b"href");
                }
            }
            _ => {}
        }
        place
    }

    fn add(&mut self, text: &str, place: Place) {
        if place == Place::Header {
            if let Some(header) = self.headers.last_mut() {
                header.push_str(text.trim());
            }
            return;
        }
        let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) else {
            return;
        };
        match place {
            Place::Bold => cell.bold.push_str(text),
            Place::Caption => cell.caption.push_str(text),
            Place::Cell => {}
            Place::Nowhere | Place::Header | Place::Icon => return,
        }
        cell.text.push_str(text);
    }
}

fn close(name: &[u8], place: Place) -> Place {
    match (name, place) {
        (b"b", Place::Bold) | (b"span", Place::Caption) => Place::Cell,
        (b"span", Place::Icon) => Place::Header,
        (b"td" | b"th" | b"h6", _) => Place::Nowhere,
        _ => place,
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn has_class(tag: &StartTag<()>, class: &str) -> bool {
    tag.attributes.get(b"class".as_slice()).is_some_and(|classes| {
        classes
            .split(|byte| *byte == b' ')
            .any(|known| known == class.as_bytes())
    })
}
