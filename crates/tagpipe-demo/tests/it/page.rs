//! Reading the site's markup by plain string search, on purpose without any parser of the pipeline.

/// A cell: its text without tags, and its raw value if it carries one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) html: String,
    pub(crate) value: Option<String>,
}

/// The rows of the page's table, TOTALS and empty states included.
pub(crate) fn rows(html: &str) -> Vec<Vec<Cell>> {
    let body = between(html, "<tbody", "</tbody>").unwrap_or_default();
    body.split("<tr").skip(1).map(cells).collect()
}

/// The rows without TOTALS.
pub(crate) fn data_rows(html: &str) -> Vec<Vec<Cell>> {
    let mut rows = rows(html);
    rows.retain(|row| !is_totals(row));
    rows
}

pub(crate) fn totals_row(html: &str) -> Option<Vec<Cell>> {
    rows(html).into_iter().find(|row| is_totals(row))
}

fn is_totals(row: &[Cell]) -> bool {
    row.iter().take(2).any(|cell| cell.text == "TOTALS")
}

fn cells(row: &str) -> Vec<Cell> {
    row.split("<td").skip(1).map(cell).collect()
}

fn cell(cell: &str) -> Cell {
    let (attributes, rest) = cell.split_once('>').expect("a tag closes");
    let html = rest.split("</td>").next().unwrap_or_default();
    let value = between(attributes, "value=\"", "\"").map(str::to_owned);
    Cell {
        text: text(html),
        html: html.to_owned(),
        value,
    }
}

/// Header texts, icon words included.
pub(crate) fn headers(html: &str) -> Vec<String> {
    let head = between(html, "<thead", "</thead>").unwrap_or_default();
    let headers = head.split("<th ").skip(1);
    headers
        .map(|header| {
            text(
                header
                    .split_once('>')
                    .map_or("", |(_, rest)| rest.split("</th>").next().unwrap_or("")),
            )
        })
        .collect()
}

/// The text between tags.
pub(crate) fn text(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        rest = after.split_once('>').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    unescaped(&out)
}

pub(crate) fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// All `href`s of the page, unescaped.
pub(crate) fn links(html: &str) -> Vec<String> {
    html.split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(unescaped)
        .collect()
}

/// The pager's three numbers.
pub(crate) fn pager(html: &str) -> Option<(u32, u32, u32)> {
    let text = between(html, "MuiTablePagination-caption MuiTypography-body2\">", "<")?.replace(',', "");
    let (window, of) = text.split_once(" of ")?;
    let (from, to) = window.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?, of.parse().ok()?))
}

/// Where the pager's next link leads.
pub(crate) fn next_link(html: &str) -> Option<String> {
    let before = html.split("chevron_right").next()?;
    let step = &before[before.rfind("title=\"Next page\"")?.saturating_sub(2000)..];
    let tag = step
        .rfind("<a class")
        .max(step.rfind("<button"))
        .map(|at| &step[at..])?;
    tag.starts_with("<a ")
        .then(|| between(tag, "href=\"", "\"").map(unescaped))?
}

pub(crate) fn count(text: &str) -> u32 {
    match text {
        "" | "-" => 0,
        digits => digits.replace(',', "").parse().expect("a count is a number"),
    }
}

pub(crate) fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split(after).next()
}
