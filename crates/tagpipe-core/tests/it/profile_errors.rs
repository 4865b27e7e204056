//! What a person who edits a profile is told: file, line, field, value, and what would be right.

use tagpipe_core::profile::SiteProfile;

/// The built-in text with `from` replaced by `to`, once.
fn edited(from: &str, to: &str) -> String {
    let text = SiteProfile::builtin_text();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

fn error_of(text: &str) -> String {
    SiteProfile::parse(text, "my.toml")
        .expect_err("a fault was put in")
        .to_string()
}

#[test]
fn every_fault_is_named_with_its_place_and_its_remedy() {
    let faults = [
        ("format = 1", "format = 2"),
        ("format = 1 ", "# "),
        ("name = \"tag\"", "name = \"\""),
        ("icon_words = [", "icon_wrods = ["),
        ("interval = 4.5", "interval = \"4.5\""),
        ("interval = 4.5", "interval = -1.0"),
        ("brake_growth = 2.0", "brake_growth = 0.5"),
        ("give_up_after = 30", "give_up_after = 0"),
        ("max_bytes = 16777216", "max_bytes = 99999999999"),
        (
            "origin = \"https://my.taggrading.com\"",
            "origin = \"my.taggrading.com\"",
        ),
        (
            "origin = \"https://my.taggrading.com\"",
            "origin = \"https://my.taggrading.com/pop-report\"",
        ),
        ("fetch = \"browser\"", "fetch = \"chrome\""),
        (
            "row = \"tbody tr.MuiTableRow-root\"",
            "row = \"tbody tr:nth-child(2)\"",
        ),
        ("select = \"tbody td\"", "select = \"tbody td[\""),
        ("(?<of>[\\d,]+)", "([\\d,]+)"),
        ("(?<of>[\\d,]+)", "(?<of>[\\d,]+)(?<off>x)?"),
        ("(?<of>[\\d,]+)", "(?<of>[\\d,]+"),
        ("(?<label>[^(\\d][^(]*?)", "(?<lable>[^(\\d][^(]*?)"),
        ("{ code = \"VA\", label = \"VA\" }", "{ code = \"VA\" }"),
        (
            "{ code = \"1.5\", grade = \"1.5\" }",
            "{ code = \"1.5\", grade = \"one\" }",
        ),
        (
            "{ code = \"1.5\", grade = \"1.5\" }",
            "{ code = \"1\", grade = \"1.5\" }",
        ),
        (
            "{ code = \"1.5\", grade = \"1.5\" }",
            "{ code = \"1.5\", grade = \"1\" }",
        ),
        (
            "{ code = \"1.5\", grade = \"1.5\" }",
            "{ code = \"a very long grade code\", grade = \"1.5\" }",
        ),
        ("\"%m-%d-%Y\"", "\"%m-%d\""),
        ("counts_total = \"Total\"\n", ""),
        ("counts_total = \"Total\"", "counts_total = \"10\""),
        (
            "fields.year = { link = \"year\"",
            "counts_total = \"T\"\nfields.year = { link = \"year\"",
        ),
        ("fields.graded = { column = \"Graded\" }\n", ""),
        ("fields.graded = {", "fields.grades = {"),
        ("fields.name = { link = \"category\", select = \"h6\" }", ""),
        (
            "fields.name = { link = \"category\"",
            "fields.name = { link = \"brand\"",
        ),
        (
            "fields.sets = { column = \"Sets\" }",
            "fields.sets = { link = \"sets\" }",
        ),
        ("fields.sets = { column = \"Sets\" }", "fields.sets = { }"),
        (
            "fields.sets = { column = \"Sets\" }",
            "fields.sets = { column = \"\" }",
        ),
        ("select = \"h6\"", "select = \"h6\", after = \"b\""),
        (
            "url = \"/pop-report/{category}\"",
            "url = \"/pop-report/{categry}\"",
        ),
        ("url = \"/pop-report/{category}\"", "url = \"/pop-report\""),
        (
            "fields.name = { link = \"set\", column = \"Grade\", after = \"b\" }",
            "",
        ),
        ("[levels.cards]", "[levels.card]"),
    ];
    let report: Vec<_> = faults
        .iter()
        .map(|(from, to)| {
            format!(
                "{}\n  -> {}\n     {}",
                from.trim(),
                to.trim(),
                error_of(&edited(from, to))
            )
        })
        .collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn a_fault_is_found_at_its_line() {
    let text = edited("(?<of>[\\d,]+)", "([\\d,]+)");
    let line = text
        .lines()
        .position(|line| line.starts_with("pattern = "))
        .expect("there is one")
        + 1;
    assert_eq!(
        error_of(&text),
        format!("my.toml:{line}: pager.pattern: group `of` is missing; write (?<of>…)")
    );
}

#[test]
fn the_built_in_profile_is_right() {
    let profile = SiteProfile::builtin();
    assert_eq!(
        (profile.name.as_str(), profile.origin.as_str()),
        ("tag", "https://my.taggrading.com/")
    );
    assert_eq!(profile.scale().len(), 20);
    assert_eq!(profile.pace.interval.as_secs_f64(), 4.5);
    assert_eq!(profile.http.max_bytes, 16 << 20);
    assert!(!profile.browser.block.is_empty());
}

#[test]
fn what_has_a_default_may_be_left_out() {
    let text = SiteProfile::builtin_text();
    let without = |text: &str, section: &str| {
        let start = text.find(section).expect("there is one");
        let end = text[start + 1..]
            .find("\n[")
            .map_or(text.len(), |n| start + 1 + n);
        format!("{}{}", &text[..start], &text[end..])
    };
    let short = ["[http]", "[browser]", "[pager]"]
        .iter()
        .fold(text.to_owned(), |text, section| without(&text, section));
    let profile = SiteProfile::parse(&short, "short.toml").expect("all of these have defaults");
    assert_eq!(profile.http, SiteProfile::builtin().http);
}
