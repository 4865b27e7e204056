//! Text from the site or from Chromium, made fit for a message: one line, bounded, nothing a terminal would obey.

/// As many characters are kept.
const MOST_CHARS: usize = 300;

pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.trim().chars();
    let mut line: String = chars
        .by_ref()
        .take(MOST_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_excess_are_replaced() {
        assert_eq!(shown(" /Farfetch'd\u{1b}[2J\n "), "/Farfetch'd\u{fffd}[2J");
        let long = shown(&"é".repeat(1000));
        assert_eq!(
            (long.chars().count(), long.ends_with("é…")),
            (MOST_CHARS + 1, true)
        );
    }
}
