//! Pages a second on one core, for each kind of page at a typical 22 KB, and the same for `scraper`
//! (html5ever) doing only the first part of the work: selecting the rows and the text of their cells.
//!
//! `cargo bench -p tagpipe-core --bench extract`

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scraper::{Html, Selector};
use tagpipe_core::extract::{Extracted, extract};
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;

const PAGE_BYTES: usize = 22_000;

fn identity() -> Identity {
    Identity {
        category: "Baseball".into(),
        year: "1989".into(),
        brand: "Donruss".into(),
        set: "Baseball's Best".into(),
        name: "Ken Griffey Jr.".into(),
        number: "33".into(),
        variation: String::new(),
    }
}

/// A page of `kind` with as many rows as 22 KB hold.
fn page(kind: PageKind, profile: &SiteProfile) -> String {
    let mut rows = String::new();
    let mut number = 0;
    while rows.len() < PAGE_BYTES - 3_000 {
        number += 1;
        rows.push_str(&row(kind, profile, number));
    }
    let content = match kind {
        PageKind::Categories => format!("<div class=\"MuiGrid-root MuiGrid-container\">{rows}</div>"),
        _ => format!(
            "<div class=\"MuiPaper-root MuiPaper-elevation1\"><table class=\"MuiTable-root\"><thead \
             class=\"MuiTableHead-root\"><tr class=\"MuiTableRow-root MuiTableRow-head\">{}</tr></thead><tbody \
             class=\"MuiTableBody-root\">{rows}</tbody></table></div>",
            headers(kind, profile)
        ),
    };
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Pop Report</title><style>.jss1 > td \
         {{ padding: 4px }}</style></head><body><noscript>You need to enable JavaScript.</noscript><div id=\"root\">\
         <header class=\"MuiPaper-root MuiAppBar-root\"><a href=\"/\">Home</a></header>{content}<div \
         class=\"MuiTablePagination-root\"><p class=\"MuiTypography-root MuiTablePagination-caption\">Rows per \
         page:</p><p class=\"MuiTypography-root MuiTablePagination-caption\">1-{number} of {number}</p><button \
         class=\"MuiIconButton-root Mui-disabled\" disabled><span class=\"material-icons\">chevron_right</span>\
         </button></div></div></body></html>"
    )
}

fn headers(kind: PageKind, profile: &SiteProfile) -> String {
    let (first, has_counts): (&[&str], bool) = match kind {
        PageKind::Categories => (&[], false),
        PageKind::Years => (&["Year", "Sets", "Items", "Graded"], false),
        PageKind::Sets => (&["Grade"], true),
        PageKind::Cards => (&["Card #", "Name"], true),
        PageKind::GradeRows => (
            &[
                "Rank",
                "TAG Grade",
                "View Report",
                "Rank by Grade",
                "Chronology",
                "Chron by Grade",
                "Completed",
                "Cert Number",
            ],
            false,
        ),
    };
    let codes = profile
        .scale()
        .iter()
        .map(|entry| entry.code.to_string())
        .chain(["Total".to_owned()]);
    let all = first
        .iter()
        .map(|text| (*text).to_owned())
        .chain(codes.filter(|_| has_counts));
    all.map(|text| {
        format!("<th class=\"MuiTableCell-root MuiTableCell-head\" scope=\"col\"><span class=\"MuiTableSortLabel-root\">{text}<span class=\"material-icons\">arrow_downward</span></span></th>")
    })
    .collect()
}

fn row(kind: PageKind, profile: &SiteProfile, number: usize) -> String {
    let td = |content: &str| format!("<td class=\"MuiTableCell-root MuiTableCell-body\">{content}</td>");
    let cells = match kind {
        PageKind::Categories => {
            return format!(
                "<div class=\"MuiGrid-root MuiGrid-item MuiGrid-grid-xs-6 MuiGrid-grid-lg-2\"><a \
                 href=\"/pop-report/Category {number}\"><img src=\"/img/{number}.png\" alt=\"\"><h6 \
                 class=\"MuiTypography-root MuiTypography-h6\">Category {number}</h6></a></div>"
            );
        }
        PageKind::Years => {
            let year = 1000 + number;
            td(&format!("<a href=\"/pop-report/Baseball/{year}\">{year}</a>"))
                + &td("12")
                + &td("204")
                + &td("1,204")
        }
        PageKind::Sets => {
            td(&format!(
                "<a href=\"/pop-report/Baseball/1989/Donruss?setName=Set+{number}\"><b>Donruss</b>Set {number}</a>"
            )) + &counts(profile, "")
        }
        PageKind::Cards => {
            let href = format!(
                "/pop-report/Baseball/1989/Donruss/Player {number}/{number}?setName=Baseball%27s+Best"
            );
            td(&number.to_string())
                + &td(&format!(
                    "<a class=\"MuiLink-root\" href=\"{href}\">Player {number}</a>"
                ))
                + &counts(profile, &href)
        }
        PageKind::GradeRows => {
            let place = |value: usize| {
                format!("<td class=\"MuiTableCell-root MuiTableCell-body\" value=\"{value}\">{value}TH</td>")
            };
            let cert = format!("X{number:07}");
            place(number)
                + &td("8.5 NM MT+ (890)")
                + &td(&format!(
                    "<a class=\"MuiButton-root\" href=\"/card/{cert}\">View</a>"
                ))
                + &place(number)
                + &place(number)
                + &place(number)
                + "<td class=\"MuiTableCell-root MuiTableCell-body\" value=\"2025-08-20T00:00:00.000Z\">08-20-2025</td>"
                + &td(&cert)
        }
    };
    format!("<tr class=\"MuiTableRow-root\">{cells}</tr>")
}

/// One count in five is above zero, and a link where the level has them.
fn counts(profile: &SiteProfile, href: &str) -> String {
    let mut cells = String::new();
    for (index, entry) in profile.scale().iter().enumerate() {
        let content = match (index % 5, href) {
            (0, "") => "17".to_owned(),
            (0, href) => format!("<a href=\"{href}&amp;grades={}\">17</a>", entry.code),
            _ => "-".to_owned(),
        };
        write!(
            cells,
            "<td class=\"MuiTableCell-root MuiTableCell-body\">{content}</td>"
        )
        .expect("a String takes all");
    }
    cells + "<td class=\"MuiTableCell-root MuiTableCell-body\">68</td>"
}

/// What `scraper` is asked for: the text of every cell of every row.
fn cells_by_scraper(html: &str, row: &Selector, cell: &Selector) -> usize {
    let document = Html::parse_document(html);
    let rows = document.select(row);
    rows.flat_map(|row| row.select(cell))
        .map(|cell| cell.text().collect::<String>().len())
        .sum()
}

fn benchmarks(criterion: &mut Criterion) {
    let profile = SiteProfile::builtin();
    let identity = identity();
    for kind in PageKind::ALL {
        let html = page(kind, &profile);
        let read = extract(&profile, kind, &identity, &html);
        let rows = match &read {
            Extracted::Page(page) if page.unreadable.is_empty() => page.rows.len(),
            other => panic!("{kind}: {other:?}"),
        };
        let row = Selector::parse(profile.rows_selector(kind)).expect("CSS");
        let cell = Selector::parse(if kind == PageKind::Categories {
            "h6"
        } else {
            "td.MuiTableCell-root"
        })
        .expect("CSS");
        let mut group = criterion.benchmark_group(format!("{kind} ({rows} rows, {} bytes)", html.len()));
        group.throughput(Throughput::Elements(1));
        group.bench_function("tagpipe", |bencher| {
            bencher.iter(|| extract(&profile, kind, &identity, black_box(&html)));
        });
        group.bench_function("scraper, cells only", |bencher| {
            bencher.iter(|| cells_by_scraper(black_box(&html), &row, &cell));
        });
        group.finish();
    }
}

/// From a link to the key of its page, and from a page to its address.
fn addresses(criterion: &mut Criterion) {
    let profile = SiteProfile::builtin();
    let identity = identity();
    let mut group = criterion.benchmark_group("addresses");
    for kind in [PageKind::Sets, PageKind::Cards, PageKind::GradeRows] {
        let href = profile.page_url(kind, &identity).expect("an address");
        assert_eq!(
            profile
                .identity_from_href(kind, &href)
                .as_ref()
                .map(|read| read.key(kind)),
            Some(identity.key(kind))
        );
        group.bench_function(format!("key of {kind}"), |bencher| {
            bencher.iter(|| {
                let identity = profile.identity_from_href(kind, black_box(&href));
                identity.map(|identity| identity.key(kind))
            });
        });
        group.bench_function(format!("address of {kind}"), |bencher| {
            bencher.iter(|| profile.page_url(kind, black_box(&identity)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = benchmarks, addresses
}
criterion_main!(benches);
