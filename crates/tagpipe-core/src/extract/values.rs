//! The values of cells: counts, places, grades, dates. Each is read exactly or not at all.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::model::{Grade, GradeValue};
use crate::profile::{GradeRules, ScaleEntry};

/// The largest number a database column holds.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Reads a count: digits, with commas between groups of three or without. `Err` says what is wrong.
pub(super) fn count(text: &str, zero: &[String]) -> Result<u64, &'static str> {
    let text = text.trim();
    if zero.iter().any(|zero| zero == text) {
        return Ok(0);
    }
    whole_number(text)
}

fn whole_number(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    let mut groups = text.split(',');
    let first = groups.next().unwrap_or_default();
    let mut value = push_digits(0, first)?;
    for (index, group) in groups.enumerate() {
        if group.len() != 3 || (index == 0 && !(1..=3).contains(&first.len())) {
            return Err("is not a whole number");
        }
        value = push_digits(value, group)?;
    }
    if value > NUMBER_MAX {
        Err(TOO_LARGE)
    } else {
        Ok(value)
    }
}

const TOO_LARGE: &str = "is larger than any count can be";

fn push_digits(start: u64, digits: &str) -> Result<u64, &'static str> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a whole number");
    }
    digits
        .bytes()
        .try_fold(start, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(TOO_LARGE)
}

/// Reads a place such as `1ST`; `0`, a zero text or nothing means not given.
pub(super) fn ordinal(text: &str, rules: &GradeRules, zero: &[String]) -> Result<Option<u64>, &'static str> {
    let text = text.trim();
    if text.is_empty() || zero.iter().any(|zero| zero == text) {
        return Ok(None);
    }
    let found = rules
        .ordinal
        .captures(text)
        .and_then(|groups| groups.get(rules.ordinal_group));
    let number = whole_number(found.ok_or("is not a place")?.as_str())?;
    Ok((number > 0).then_some(number))
}

/// Reads a grade text, which is clean; the code is the count column the certificate belongs to.
pub(super) fn grade(text: &str, rules: &GradeRules) -> Result<Grade, &'static str> {
    let found = rules
        .text
        .captures(text)
        .ok_or("is not a grade as grades.text describes it")?;
    let group = |index: Option<usize>| {
        index
            .and_then(|index| found.get(index))
            .map(|group| group.as_str())
    };
    let score = group(rules.groups.score)
        .map(|score| score.parse::<u32>().map_err(|_| "has a score that is no number"));
    let label = group(rules.groups.label).unwrap_or_default().trim();
    let entry = match (group(rules.groups.code), group(rules.groups.grade)) {
        (Some(code), _) => entry_of_code(code, rules).ok_or("has a code that is not in grades.scale")?,
        (None, Some(value)) => {
            let value = GradeValue::parse(value).ok_or("has a grade that is no number with one decimal")?;
            entry_of_grade(value, label, rules).ok_or("has a grade that is not in grades.scale")?
        }
        (None, None) => return Err("is not a grade as grades.text describes it"),
    };
    Ok(Grade {
        text: text.to_owned(),
        value: entry.value,
        label: if label.is_empty() {
            entry.label.clone()
        } else {
            label.to_owned()
        },
        score: score.transpose()?,
        code: entry.code,
    })
}

fn entry_of_code<'r>(code: &str, rules: &'r GradeRules) -> Option<&'r ScaleEntry> {
    rules
        .scale
        .iter()
        .find(|entry| entry.code.as_str().eq_ignore_ascii_case(code))
}

/// Of the entries with this number the one whose label the text's label begins with, else the one without.
fn entry_of_grade<'r>(value: GradeValue, label: &str, rules: &'r GradeRules) -> Option<&'r ScaleEntry> {
    let same_number = || rules.scale.iter().filter(|entry| entry.value == Some(value));
    let begins_with = |start: &str| {
        label
            .get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    same_number()
        .filter(|entry| !entry.label.is_empty() && begins_with(&entry.label))
        .max_by_key(|entry| entry.label.len())
        .or_else(|| same_number().find(|entry| entry.label.is_empty()))
}

/// Reads the day, in UTC, of an ISO time or date.
pub(super) fn iso_day(text: &str) -> Option<Date> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(TimeZone::UTC.to_datetime(time).date());
    }
    text.parse::<DateTime>().ok().map(DateTime::date)
}

/// Reads a day written in one of the profile's formats.
pub(super) fn written_day(text: &str, rules: &GradeRules) -> Option<Date> {
    rules
        .dates
        .iter()
        .find_map(|format| Date::strptime(format, text.trim()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::SiteProfile;
    use proptest::prelude::*;

    fn zero() -> Vec<String> {
        ["-", "–", ""].map(str::to_owned).to_vec()
    }

    #[test]
    fn counts_are_read_exactly_or_not_at_all() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("17", Ok(17)),
            (" 1,204 ", Ok(1204)),
            ("12,345,678", Ok(12_345_678)),
            ("-", Ok(0)),
            ("", Ok(0)),
            ("9223372036854775807", Ok(NUMBER_MAX)),
            ("9223372036854775808", Err(TOO_LARGE)),
            ("99999999999999999999999", Err(TOO_LARGE)),
            ("1,2", Err("is not a whole number")),
            ("1204,000", Err("is not a whole number")),
            (",204", Err("is not a whole number")),
            ("1,", Err("is not a whole number")),
            ("-1", Err("is not a whole number")),
            ("1.5", Err("is not a whole number")),
            ("１２", Err("is not a whole number")),
            ("1 204", Err("is not a whole number")),
            ("NaN", Err("is not a whole number")),
        ] {
            assert_eq!(count(text, &zero()), expected, "{text}");
        }
        assert_eq!(count("", &[]), Err("is empty"));
    }

    #[test]
    fn places_that_are_not_given_are_none() {
        let rules = SiteProfile::builtin().grades;
        for (text, expected) in [
            ("1ST", Ok(Some(1))),
            ("22ND", Ok(Some(22))),
            ("1,003RD", Ok(Some(1003))),
            ("4", Ok(Some(4))),
            ("0", Ok(None)),
            ("", Ok(None)),
            ("-", Ok(None)),
            ("first", Err("is not a place")),
            ("1STT", Err("is not a place")),
            ("9223372036854775808", Err(TOO_LARGE)),
        ] {
            assert_eq!(ordinal(text, &rules, &zero()), expected, "{text}");
        }
    }

    #[test]
    fn grade_texts_are_read_by_the_scale() {
        let rules = SiteProfile::builtin().grades;
        for (text, expected) in [
            ("8.5 NM MT+ (890)", Some((Some(85), "NM MT+", Some(890), "8.5"))),
            ("10 GEM", Some((Some(100), "GEM", None, "10"))),
            ("10 PRIS (990)", Some((Some(100), "PRIS", Some(990), "10P"))),
            ("10 Pristine", Some((Some(100), "Pristine", None, "10P"))),
            ("9 MINT (935)", Some((Some(90), "MINT", Some(935), "9"))),
            ("4.5 VG EX+", Some((Some(45), "VG EX+", None, "4.5"))),
            ("VA", Some((None, "VA", None, "VA"))),
            ("7", Some((Some(70), "", None, "7"))),
            // The band of the score is not judged.
            ("10 (990)", Some((Some(100), "", Some(990), "10"))),
            ("9.5 MINT+", None),
            ("11 X", None),
            ("GEM", None),
            ("", None),
            ("8.5 NM MT+ (99999)", None),
        ] {
            let read = grade(text, &rules).ok();
            let read = read.as_ref().map(|grade| {
                (
                    grade.value.map(GradeValue::tenths),
                    grade.label.as_str(),
                    grade.score,
                    grade.code.as_str(),
                )
            });
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn days_are_those_of_utc() {
        let day = |text: &str| iso_day(text).map(|day| day.to_string());
        for (text, expected) in [
            ("2025-08-20T00:00:00.000Z", Some("2025-08-20")),
            ("2025-08-20T23:30:00-02:00", Some("2025-08-21")),
            ("2025-08-20T23:30:00", Some("2025-08-20")),
            ("2025-08-20", Some("2025-08-20")),
            ("2025-02-30T00:00:00Z", None),
            ("soon", None),
        ] {
            assert_eq!(day(text).as_deref(), expected, "{text}");
        }
        let rules = SiteProfile::builtin().grades;
        let written = |text: &str| written_day(text, &rules).map(|day| day.to_string());
        assert_eq!(written("11-21-2023").as_deref(), Some("2023-11-21"));
        assert_eq!(written("2023-11-21").as_deref(), Some("2023-11-21"));
        assert_eq!(written("13-41-2023"), None);
    }

    fn grouped(number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    proptest! {
        #[test]
        fn every_count_is_read_back(number in 0..=NUMBER_MAX) {
            prop_assert_eq!(count(&number.to_string(), &[]), Ok(number));
            prop_assert_eq!(count(&grouped(number), &[]), Ok(number));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let rules = SiteProfile::builtin().grades;
            let _ = (count(&text, &[]), ordinal(&text, &rules, &[]), grade(&text, &rules));
            let _ = (iso_day(&text), written_day(&text, &rules));
        }
    }
}
