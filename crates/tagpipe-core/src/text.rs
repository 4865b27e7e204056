//! Texts that come from strangers, made fit to be shown: each stays in its place, and none is endless.

/// Whether a character turns round the direction of what stands beside it, so that a reader sees another text than is there.
/// <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>
#[must_use]
pub fn is_turning(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// `text` as one line, with a space for each run of white space, and without characters that control or turn a text.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let words = words.map(|word| word.replace(is_turning, ""));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `text` with its lines, and in each as [`one_line`] has it. Empty lines are left out.
#[must_use]
pub fn lines(text: &str) -> String {
    let lines = text.lines().map(one_line);
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// `text`, at most `most` characters of it; what is cut off shows as an ellipsis.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    cut_by(text, most, |_| 1)
}

/// As [`cut`], where `size` says how much each character takes.
#[must_use]
pub fn cut_by(text: &str, most: usize, size: impl Fn(char) -> usize) -> String {
    if size_of(text, &size) <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(size('…'));
    let mut taken = 0;
    let mut short: String = text
        .chars()
        .take_while(|character| {
            taken += size(*character);
            taken <= room
        })
        .collect();
    short.push('…');
    short
}

/// Of a text that is too long, this many lines are there at least: a line that is longer than its share is cut.
const LINES_AT_LEAST: usize = 4;

/// The first lines of `text`, as many as `most` has room for by `size`, and how many are left out: `and 45 more`. Such a last line
/// that `text` has already is counted in, so that a text can be cut again.
#[must_use]
pub fn cut_lines(text: &str, most: usize, size: impl Fn(char) -> usize) -> String {
    if size_of(text, &size) <= most {
        return text.to_owned();
    }
    let mut lines: Vec<&str> = text.lines().collect();
    let mut left = lines.last().and_then(|line| left_out(line)).unwrap_or(0);
    if left > 0 {
        lines.pop();
    }
    let longest_end = format!("\n{}", and_more(left + lines.len()));
    let room = most.saturating_sub(size_of(&longest_end, &size));
    let share = room / lines.len().clamp(1, LINES_AT_LEAST);
    let mut told = String::new();
    let mut taken = 0;
    for (index, line) in lines.iter().enumerate() {
        let mut line = cut_by(line, share.saturating_sub(size('\n')), &size);
        line.push('\n');
        taken += size_of(&line, &size);
        if taken > room {
            left += lines.len() - index;
            break;
        }
        told.push_str(&line);
    }
    match left {
        0 => told.trim_end().to_owned(),
        left => told + &and_more(left),
    }
}

/// `and 45 more`.
#[must_use]
pub fn and_more(left: usize) -> String {
    format!("and {left} more")
}

/// What [`and_more`] was told.
fn left_out(line: &str) -> Option<usize> {
    line.strip_prefix("and ")?.strip_suffix(" more")?.parse().ok()
}

fn size_of(text: &str, size: impl Fn(char) -> usize) -> usize {
    text.chars().map(size).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_turns_round_what_stands_beside_it() {
        assert_eq!(
            one_line("\u{202e}gnp.x\u{2066}y\u{200f} z\u{7}!\r\n"),
            "gnp.xy z !"
        );
        assert_eq!(lines("a\u{202d}\n\n  b \t c\u{2028}d\r\n"), "a\nb c d");
        // What joins the parts of a letter or of a sign stays.
        assert_eq!(one_line("👩‍👩‍👧 हिन्दी"), "👩‍👩‍👧 हिन्दी");
    }

    #[test]
    fn a_cut_text_says_how_much_is_left_out() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut_by("üüü", 5, char::len_utf8), "ü…");
        let ten: Vec<String> = (0..10).map(|number| format!("line {number}")).collect();
        let ten = ten.join("\n");
        assert_eq!(cut_lines(&ten, 100, |_| 1), ten);
        let half = "line 0\nline 1\nline 2\nline 3\nline 4";
        assert_eq!(cut_lines(&ten, 50, |_| 1), format!("{half}\nand 5 more"));
        let more = format!("{ten}\nand 45 more");
        assert_eq!(cut_lines(&more, 50, |_| 1), format!("{half}\nand 50 more"));
        assert_eq!(cut_lines(&"x".repeat(100), 50, |_| 1).chars().count(), 38);
    }

    proptest! {
        /// Whatever is cut to whatever: it fits, each line is told or counted, and a second cut counts the same.
        #[test]
        fn every_line_is_told_or_counted(
            lines in proptest::collection::vec("[a-z&ü]{1,300}", 1..40),
            most in 60usize..2000,
            again in 60usize..2000,
        ) {
            let size = |character: char| if character == '&' { 5 } else { character.len_utf8() };
            let text = lines.join("\n");
            for short in [cut_lines(&text, most, size), cut_lines(&cut_lines(&text, most, size), again, size)] {
                let mut told: Vec<&str> = short.lines().collect();
                let left = told.last().and_then(|line| left_out(line)).unwrap_or(0);
                if left > 0 {
                    told.pop();
                }
                prop_assert_eq!(told.len() + left, lines.len());
                prop_assert!(told.len() >= lines.len().min(LINES_AT_LEAST), "{}", short);
            }
            prop_assert!(size_of(&cut_lines(&text, most, size), size) <= most);
        }
    }
}
