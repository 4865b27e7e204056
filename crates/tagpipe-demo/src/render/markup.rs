//! Writing text, attributes and numbers into HTML without an allocation for each.

use crate::world::Words;

/// Appends text, escaped for element content and for quoted attributes alike.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => "&quot;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Appends a name piece by piece.
pub(crate) fn push_words(out: &mut String, words: Words) {
    words
        .pieces()
        .into_iter()
        .for_each(|piece| push_escaped(out, piece));
}

/// Appends a number without separators.
pub(crate) fn push_number(out: &mut String, number: u64) {
    push_digits(out, number, 1);
}

/// Appends a number in at least `width` digits.
pub(crate) fn push_digits(out: &mut String, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut left = number;
    while left > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend(digits[start..].iter().map(|&digit| char::from(digit)));
}

/// Appends a number with thousands separators: `1,204`.
pub(crate) fn push_grouped(out: &mut String, number: u64) {
    if number < 1000 {
        push_number(out, number);
    } else {
        push_grouped(out, number / 1000);
        out.push(',');
        push_digits(out, number % 1000, 3);
    }
}

/// Appends `1ST`, `2ND`, `3RD`, `4TH`, `11TH`.
pub(crate) fn push_ordinal(out: &mut String, number: u64) {
    push_grouped(out, number);
    out.push_str(match (number % 100, number % 10) {
        (11..=13, _) => "TH",
        (_, 1) => "ST",
        (_, 2) => "ND",
        (_, 3) => "RD",
        _ => "TH",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn markup_in_text_is_escaped() {
        let text = r#"<b title="x">Sword & Shield's é</b>"#;
        let escaped = "&lt;b title=&quot;x&quot;&gt;Sword &amp; Shield's é&lt;/b&gt;";
        assert_eq!(written(|out| push_escaped(out, text)), escaped);
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (number, grouped) in [
            (0, "0"),
            (7, "7"),
            (999, "999"),
            (1204, "1,204"),
            (1_000_007, "1,000,007"),
        ] {
            assert_eq!(written(|out| push_grouped(out, number)), grouped);
        }
        for (number, ordinal) in [
            (1, "1ST"),
            (2, "2ND"),
            (3, "3RD"),
            (4, "4TH"),
            (11, "11TH"),
            (112, "112TH"),
            (21, "21ST"),
        ] {
            assert_eq!(written(|out| push_ordinal(out, number)), ordinal);
        }
        assert_eq!(written(|out| push_digits(out, 7, 2)), "07");
        assert_eq!(written(|out| push_number(out, u64::MAX)), u64::MAX.to_string());
    }
}
