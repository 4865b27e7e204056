//! How values look on a page: numbers with separators, durations, times. Types with a `Display`, so that a template
//! says `{{ total }}` and every page shows the same thing in the same way.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// A count, shown with a thousands separator: `12,345`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// How long something took, in its two largest units: `2 h 05 min`, `3 min 20 s`, `4.2 s`, `180 ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Lasting(pub(crate) Duration);

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            // Cut, not rounded: 9.96 s must not read as 10.0 s beside a plain 10 s.
            1..10 => write!(f, "{seconds}.{} s", self.0.subsec_millis() / 100),
            10..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{} min {:02} s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(f, "{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
            _ => write!(f, "{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

/// A moment. The page shows it in UTC until the browser puts it into the viewer's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct When(pub(crate) Timestamp);

impl When {
    /// The moment that the store writes as `text`; none if it cannot be read as one.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// For the attribute `datetime`: RFC 3339 in UTC, to the second.
    #[must_use]
    pub(crate) fn iso(&self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The time of day alone, for lines that follow each other closely.
    #[must_use]
    pub(crate) fn clock(&self) -> String {
        self.0.strftime("%H:%M:%S").to_string()
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M UTC"))
    }
}

/// A part of a whole in per cent: `37 %`. A part that is there is never `0 %`, and less than the whole never `100 %`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    /// The part.
    pub(crate) part: u64,
    /// The whole.
    pub(crate) whole: u64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole == 0 {
            return f.write_str("–");
        }
        let percent = u128::from(self.part) * 100 / u128::from(self.whole);
        if percent == 0 && self.part > 0 {
            return f.write_str("< 1 %");
        }
        write!(f, "{percent} %")
    }
}

/// A size in bytes, by powers of 1,024: `312 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut scaled = self.0 as f64;
        let mut unit = 0;
        while scaled >= 1024.0 && unit + 1 < UNITS.len() {
            scaled /= 1024.0;
            unit += 1;
        }
        if unit == 0 || scaled >= 10.0 {
            write!(f, "{scaled:.0} {}", UNITS[unit])
        } else {
            write!(f, "{scaled:.1} {}", UNITS[unit])
        }
    }
}

/// A part of a [`Bar`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BarPart {
    /// What it stands for, which gives its colour: `done`, `same`, `hand`, `fail` or `again`.
    pub(crate) class: &'static str,
    /// Where it begins, in thousandths of the bar.
    pub(crate) x: u64,
    /// How wide it is, in thousandths of the bar.
    pub(crate) width: u64,
}

/// A bar of progress in parts, drawn as SVG: the security policy forbids widths in a style attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bar {
    /// Its parts from left to right; what they leave free is open.
    pub(crate) parts: Vec<BarPart>,
    /// What it says, for those who do not see it.
    pub(crate) label: String,
}

impl Bar {
    /// A bar of `whole`, with these counts in this order. A count that is there can be seen, however small it is.
    #[must_use]
    pub(crate) fn new(whole: u64, counts: &[(&'static str, u64)], label: String) -> Self {
        let mut x = 0;
        let mut parts = Vec::new();
        for &(class, count) in counts.iter().filter(|(_, count)| *count > 0) {
            let exact = u128::from(count) * 1000 / u128::from(whole.max(1));
            let width = u64::try_from(exact).unwrap_or(1000).max(4).min(1000 - x);
            parts.push(BarPart { class, x, width });
            x += width;
        }
        Self { parts, label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        for (count, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(Count(count).to_string(), shown);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (millis, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (4_290, "4.2 s"),
            (9_960, "9.9 s"),
            (59_900, "59 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 05 min"),
            (93_600_000, "1 d 02 h"),
        ] {
            assert_eq!(Lasting(Duration::from_millis(millis)).to_string(), shown);
        }
    }

    #[test]
    fn moments_are_shown_in_utc() {
        let when = When::parse("2026-03-29T01:30:15.123456Z").expect("a moment");
        assert_eq!(when.to_string(), "2026-03-29 01:30 UTC");
        assert_eq!(when.iso(), "2026-03-29T01:30:15Z");
        assert_eq!(when.clock(), "01:30:15");
        assert_eq!(When::parse("yesterday"), None);
    }

    #[test]
    fn shares_hide_neither_the_first_nor_the_last() {
        for (part, whole, shown) in [
            (0, 0, "–"),
            (0, 9, "0 %"),
            (1, 1_000, "< 1 %"),
            (999, 1_000, "99 %"),
            (7, 7, "100 %"),
        ] {
            assert_eq!(Share { part, whole }.to_string(), shown);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [(0, "0 B"), (1_536, "1.5 KiB"), (327_155_712, "312 MiB")] {
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }

    #[test]
    fn bars_show_small_parts_and_stay_within_their_whole() {
        let bar = Bar::new(
            100_000,
            &[("done", 99_999), ("fail", 1), ("hand", 0)],
            String::new(),
        );
        assert_eq!(
            bar.parts,
            [
                BarPart {
                    class: "done",
                    x: 0,
                    width: 999
                },
                BarPart {
                    class: "fail",
                    x: 999,
                    width: 1
                }
            ]
        );
        assert_eq!(Bar::new(0, &[("done", 3)], String::new()).parts[0].width, 1000);
    }
}
