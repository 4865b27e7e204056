//! What goes to standard output: text, JSON, tables. A reader that stops reading, such as `head`, is no error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use tagpipe_core::text::is_turning;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::exit::Failure;

/// Writes `text` as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::could_not_run(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes a line, as `println!` does, and returns the failure if it cannot.
macro_rules! say {
    ($($part:tt)*) => {
        $crate::output::print(&format!("{}\n", format_args!($($part)*)))?
    };
}
pub(crate) use say;

/// Writes `value` as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|error| Failure::could_not_run(error.to_string()))?;
    print(&format!("{json}\n"))
}

/// Columns that lines may have; unlimited where nobody looks at a terminal.
pub(crate) fn width() -> usize {
    if !io::stdout().is_terminal() {
        return usize::MAX;
    }
    terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0).max(40))
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table without lines: a header, then rows. What does not fit the width is cut in the last column.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    /// Columns that are left out, one after the other, where the table is wider than a terminal.
    least_missed: &'static [&'static str],
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
            least_missed: &[],
        }
    }

    /// Leaves these columns out, one after the other, where the table would not fit.
    pub(crate) fn dropping(mut self, least_missed: &'static [&'static str]) -> Table {
        self.least_missed = least_missed;
        self
    }

    /// Adds a row; texts from the site lose their control characters.
    pub(crate) fn row(&mut self, cells: &[String]) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells.iter().map(|cell| harmless(cell)).collect());
    }

    /// The lines, each at most `width` columns wide on a terminal that shows wide characters as two.
    pub(crate) fn render(&self, width: usize) -> String {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| row[at].width());
                cells.chain([header[at].width()]).max().unwrap_or(0)
            })
            .collect();
        let shown = self.shown(&widths, width);
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (place, at) in shown.iter().copied().enumerate() {
                let cell = &row[at];
                if place > 0 {
                    line.push_str("  ");
                }
                let gap = " ".repeat(widths[at] - cell.width());
                match self.columns[at].1 {
                    Align::Left => line.extend([cell.as_str(), &gap]),
                    Align::Right => line.extend([gap.as_str(), cell]),
                }
            }
            text.push_str(&cut(line.trim_end(), width));
            text.push('\n');
        }
        text
    }
}

impl Table {
    /// The columns that are shown, by number.
    fn shown(&self, widths: &[usize], width: usize) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        for name in self.least_missed {
            let needed = shown
                .iter()
                .map(|at| widths[*at] + 2)
                .sum::<usize>()
                .saturating_sub(2);
            // The last column may be cut, down to a few words.
            let last = shown.last().map_or(0, |at| widths[*at].saturating_sub(LAST_MIN));
            if needed - last <= width {
                break;
            }
            shown.retain(|at| self.columns[*at].0 != *name);
        }
        shown
    }
}

/// Columns that a last column may be cut to.
const LAST_MIN: usize = 12;

/// `text` cut to `width` columns, with a mark where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// `text` in lines of at most `width` columns, broken between words where there are any.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for piece in pieces(word, width.max(1)) {
            let line = lines.last_mut().expect("there is always a last line");
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + piece.width() <= width {
                line.push_str(&" ".repeat(gap));
                line.push_str(&piece);
            } else {
                lines.push(piece);
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// A word, cut where it is wider than a line.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in word.chars() {
        let last = pieces.last_mut().expect("there is always a last piece");
        if last.width() + character.width().unwrap_or(0) > width && !last.is_empty() {
            pieces.push(character.to_string());
        } else {
            last.push(character);
        }
    }
    pieces
}

/// `text` without what would move a terminal's cursor, change its colours or turn round what stands beside it.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .filter(|character| !is_turning(*character))
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

/// Seconds in words: `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            ("run", Align::Right),
            ("name", Align::Left),
            ("what", Align::Left),
        ]);
        table.row(&["1".into(), "ヴァイス".into(), "x".repeat(30)]);
        table.row(&["12".into(), "Hockey".into(), "a\u{1b}[31m\u{202e}b".into()]);
        table
    }

    #[test]
    fn columns_line_up_with_wide_characters_too() {
        let text = table().render(usize::MAX);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "run  name      what");
        assert_eq!(lines[1], format!("  1  ヴァイス  {}", "x".repeat(30)));
        assert_eq!(lines[2], " 12  Hockey    a [31mb");
    }

    #[test]
    fn the_least_missed_columns_go_first() {
        for (width, expected) in [
            (80, "run  name      what"),
            (27, "run  name      what"),
            (26, "run  what"),
        ] {
            let text = table().dropping(&["name", "run"]).render(width);
            assert_eq!(text.lines().next(), Some(expected), "{width}");
        }
        assert_eq!(
            table().dropping(&["name", "run"]).render(4).lines().next(),
            Some("what")
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [10, 14, 20, 80] {
            for line in table().render(width).lines() {
                assert!(line.width() <= width, "{line}");
            }
        }
    }

    #[test]
    fn long_texts_are_broken_and_nothing_of_them_is_lost() {
        let text = format!("cards/hockey ヴァイス {} timed out", "x".repeat(50));
        for width in [5, 10, 30, 80] {
            let lines = wrapped(&text, width);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }

    #[test]
    fn durations_are_told_in_two_units_at_most() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (119.0, "119 s"),
            (7199.0, "119 min"),
            (11_100.0, "3 h 5 min"),
            (187_200.0, "2 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
