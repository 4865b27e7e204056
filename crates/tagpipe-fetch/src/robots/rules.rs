//! The rules of one `robots.txt` for one product token: groups, the longest match, wildcards.
//!
//! Pure and total: any bytes are a file, if perhaps one without rules.

use std::time::Duration;

/// The name under which a site's `robots.txt` speaks to us.
pub const PRODUCT_TOKEN: &str = "tagpipe";

/// The longest crawl-delay that is believed.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);

/// What one site allows us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Robots {
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// In the common spelling (see [`spell`]), without a final `$`; `*` is a wildcard.
    pattern: Vec<u8>,
    /// Whether the pattern must reach the path's end (a final `$`).
    anchored: bool,
}

impl Robots {
    /// A site without rules.
    #[must_use]
    pub fn allow_all() -> Robots {
        Robots::default()
    }

    /// The rules of `body` for the crawler called `token`: those of its own groups together, else those of `*`.
    ///
    /// Rules before the first `User-agent` line belong to `*`, which is stricter than the RFC.
    #[must_use]
    pub fn parse(body: &[u8], token: &str) -> Robots {
        let mut own = Robots::default();
        let mut everyones = Robots::default();
        let mut has_own = false;
        let mut group = Group {
            own: false,
            everyone: true,
            open: false,
        };
        for (key, value) in lines(body) {
            if key == Key::UserAgent {
                group.name(value, token);
                has_own |= group.own;
                continue;
            }
            group.open = false;
            if group.own {
                own.take(key, value);
            }
            if group.everyone {
                everyones.take(key, value);
            }
        }
        if has_own { own } else { everyones }
    }

    /// Whether `path_and_query` (`/pop-report/Pokémon?page=2`, escaped or not) may be asked for.
    ///
    /// The longest matching rule decides; among equals, the one that allows.
    #[must_use]
    pub fn allows(&self, path_and_query: &str) -> bool {
        let path = spell(path_and_query.as_bytes());
        if path == b"/robots.txt" {
            return true;
        }
        self.rules
            .iter()
            .filter(|rule| rule.matches(&path))
            .max_by_key(|rule| (rule.pattern.len() + usize::from(rule.anchored), rule.allow))
            .is_none_or(|rule| rule.allow)
    }

    /// How long the site asks to wait between two requests, at most a day.
    #[must_use]
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    fn take(&mut self, key: Key, value: &[u8]) {
        match key {
            Key::Allow => self.rules.extend(Rule::new(true, value)),
            Key::Disallow => self.rules.extend(Rule::new(false, value)),
            Key::CrawlDelay if self.crawl_delay.is_none() => self.crawl_delay = parse_delay(value),
            Key::CrawlDelay | Key::UserAgent => {}
        }
    }
}

/// Whom the lines being read are for.
struct Group {
    own: bool,
    everyone: bool,
    /// Whether only `User-agent` lines were read yet, so that a further one joins them.
    open: bool,
}

impl Group {
    fn name(&mut self, agent: &[u8], token: &str) {
        if !self.open {
            *self = Group {
                own: false,
                everyone: false,
                open: true,
            };
        }
        // A product token ends where a version or a comment begins: `tagpipe/1.0`.
        let end = agent
            .iter()
            .position(|byte| !is_token(*byte))
            .unwrap_or(agent.len());
        self.own |= agent[..end].eq_ignore_ascii_case(token.as_bytes());
        self.everyone |= agent.starts_with(b"*");
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-'
}

impl Rule {
    /// An empty value is no rule: `Disallow:` forbids nothing.
    fn new(allow: bool, value: &[u8]) -> Option<Rule> {
        let (pattern, anchored) = match value.strip_suffix(b"$") {
            Some(pattern) => (pattern, true),
            None => (value, false),
        };
        (!value.is_empty()).then(|| Rule {
            allow,
            pattern: spell(pattern),
            anchored,
        })
    }

    fn matches(&self, path: &[u8]) -> bool {
        let mut parts = self.pattern.split(|byte| *byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = path.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&[u8]> = parts.collect();
        let last = if self.anchored { parts.pop() } else { None };
        for part in &parts {
            let Some(at) = find(rest, part) else { return false };
            rest = &rest[at + part.len()..];
        }
        match last {
            Some(last) => rest.ends_with(last),
            None => !self.anchored || rest.is_empty(),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    UserAgent,
    Allow,
    Disallow,
    CrawlDelay,
}

/// The lines that say something to a crawler; all others are passed over.
fn lines(body: &[u8]) -> impl Iterator<Item = (Key, &[u8])> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.split(|byte| matches!(byte, b'\n' | b'\r' | 0))
        .filter_map(|line| {
            let line = line.split(|byte| *byte == b'#').next()?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            let key = match line[..colon].trim_ascii().to_ascii_lowercase().as_slice() {
                b"user-agent" => Key::UserAgent,
                b"allow" => Key::Allow,
                b"disallow" => Key::Disallow,
                b"crawl-delay" => Key::CrawlDelay,
                _ => return None,
            };
            Some((key, line[colon + 1..].trim_ascii()))
        })
}

fn parse_delay(value: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    if seconds.is_nan() || seconds < 0.0 {
        return None;
    }
    Some(
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(LONGEST_DELAY)
            .min(LONGEST_DELAY),
    )
}

/// The common spelling of a path or pattern, in which equal ones are equal bytes (RFC 9309, 2.2.2): what need not be
/// escaped is not, what must be is, and with capital digits. Reserved characters keep the form they have.
fn spell(path: &[u8]) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%'
            && let Some(decoded) = escaped(tail)
        {
            if is_unreserved(decoded) {
                spelled.push(decoded)
            } else {
                push_escape(&mut spelled, decoded)
            }
            rest = &tail[2..];
            continue;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`') {
            spelled.push(byte);
        } else {
            push_escape(&mut spelled, byte);
        }
        rest = tail;
    }
    spelled
}

/// The byte that two hexadecimal digits at the start of `tail` stand for.
fn escaped(tail: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_escape(to: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    to.extend([
        b'%',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, cases: &[(&str, bool)]) {
        let robots = Robots::parse(body.as_bytes(), PRODUCT_TOKEN);
        for (path, expected) in cases {
            assert_eq!(robots.allows(path), *expected, "{path} under {body:?}");
        }
    }

    #[test]
    fn our_own_groups_count_together_and_only_they() {
        let body = "User-agent: *\nDisallow: /\n\nUser-agent: other\nuser-agent: TagPipe/1.0 # us\nDisallow: /a\n\
                    \nUser-agent: third\nDisallow: /c\n\nUser-agent: tagpipe\nDisallow: /b\n";
        check(
            body,
            &[
                ("/", true),
                ("/a", false),
                ("/b", false),
                ("/c", true),
                ("/robots.txt", true),
            ],
        );
    }

    #[test]
    fn without_a_group_of_our_own_everyones_counts() {
        check(
            "User-agent: tagpipes\nDisallow: /\nUser-agent: *\nDisallow: /a",
            &[("/a/b", false), ("/b", true)],
        );
        check("User-agent: tagpipes\nDisallow: /", &[("/a", true)]);
        check(
            "Disallow: /a\nUser-agent: x\nDisallow: /b",
            &[("/a", false), ("/b", true)],
        );
        check("User-agent: tagpipe\nUser-agent: *\nDisallow:", &[("/a", true)]);
    }

    #[test]
    fn the_longest_rule_decides_and_allow_wins_a_draw() {
        let body =
            "User-agent: *\nDisallow: /example/page\nAllow: /example/page.html\nDisallow: /x\nAllow: /x";
        check(
            body,
            &[
                ("/example/page.html", true),
                ("/example/page.gif", false),
                ("/x", true),
            ],
        );
        check(
            "User-agent: *\nDisallow: /\nAllow: /$",
            &[("/", true), ("/a", false)],
        );
        check(
            "User-agent: *\nAllow: /a*b\nDisallow: /a/",
            &[("/a/b", true), ("/a/c", false)],
        );
    }

    #[test]
    fn stars_and_dollar_match_as_in_the_rfc() {
        check(
            "User-agent: *\nDisallow: *.gif$",
            &[("/a.gif", false), ("/a.gif?x", true), ("/a.gif/b.gif", false)],
        );
        check(
            "User-agent: *\nDisallow: /*?page=",
            &[("/pop-report?page=2", false), ("/pop-report", true)],
        );
        check(
            "User-agent: *\nDisallow: /a***b",
            &[("/axxb", false), ("/ab", false), ("/a", true)],
        );
        check("User-agent: *\nDisallow: /a$b", &[("/a$bc", false), ("/a", true)]);
        check(
            "User-agent: *\nDisallow: /ab*b$",
            &[("/ab", true), ("/abb", false)],
        );
        check("User-agent: *\nDisallow: $", &[("/", true)]);
    }

    #[test]
    fn spelling_does_not_matter() {
        let body = "User-agent: *\nDisallow: /pop-report/Pokémon\nDisallow: /%7ejoe\nDisallow: /b%2fc\n\
                    Disallow: /Wei%c3%9f Schwarz";
        check(
            body,
            &[
                ("/pop-report/Pokémon/2021", false),
                ("/pop-report/Pok%C3%A9mon", false),
                ("/pop-report/Pok%c3%a9mon", false),
                ("/pop-report/Pokemon", true),
                ("/~joe", false),
                ("/b%2Fc", false),
                ("/b/c", true),
                ("/Weiß%20Schwarz", false),
            ],
        );
    }

    #[test]
    fn odd_files_are_read_for_what_they_say() {
        check(
            "\u{feff}USER-AGENT : *\r\nDISALLOW:/a\r\rDisallow /b\nDisallow: /c # d\n<html>",
            &[("/a", false), ("/b", true), ("/c", false)],
        );
        check(
            "<!doctype html><html><body>not found</body></html>",
            &[("/", true)],
        );
        check("", &[("/", true)]);
        let long = format!("User-agent: *\nDisallow: /{}$\nDisallow: /b", "x*".repeat(50_000));
        check(&long, &[("/b", false), ("/xx", true)]);
    }

    #[test]
    fn crawl_delay_is_our_groups_first() {
        let check = |body: &str, expected: Option<Duration>| {
            assert_eq!(
                Robots::parse(body.as_bytes(), PRODUCT_TOKEN).crawl_delay(),
                expected,
                "{body:?}"
            );
        };
        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        check("User-agent: *\nCrawl-delay: 4.5\nCrawl-delay: 9", seconds(4.5));
        check(
            "User-agent: *\nCrawl-delay: 9\nUser-agent: tagpipe\nDisallow: /a",
            None,
        );
        check("User-agent: *\nCrawl-delay: -1\nCrawl-delay: 2", seconds(2.0));
        check("User-agent: *\nCrawl-delay: nan", None);
        check("User-agent: *\nCrawl-delay: soon", None);
        check("User-agent: *\nCrawl-delay: inf", Some(LONGEST_DELAY));
        check("User-agent: *\nCrawl-delay: 1e300", Some(LONGEST_DELAY));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(body in proptest::collection::vec(any::<u8>(), 0..400), path in "\\PC{0,40}") {
            let _ = Robots::parse(&body, PRODUCT_TOKEN).allows(&path);
        }

        #[test]
        fn nearly_files_never_panic(
            body in "((user-agent|allow|disallow|crawl-delay): ?[/*$%a-f0-9.]{0,8}[\r\n]{1,2}){0,12}",
            path in "/[/*$%a-f0-9]{0,12}",
        ) {
            let _ = Robots::parse(body.as_bytes(), PRODUCT_TOKEN).allows(&path);
        }

        /// The wildcard walk against the plainest statement of what a pattern means.
        #[test]
        fn wildcards_match_like_the_definition(pattern in "/[ab*]{0,7}", end in "\\$?", path in "/[ab]{0,8}") {
            let rule = Rule::new(false, format!("{pattern}{end}").as_bytes()).expect("a rule");
            prop_assert_eq!(rule.matches(path.as_bytes()), defined(pattern.as_bytes(), !end.is_empty(), path.as_bytes()));
        }

        #[test]
        fn spelling_twice_is_spelling_once(path in proptest::collection::vec(any::<u8>(), 0..40)) {
            let once = spell(&path);
            prop_assert_eq!(spell(&once), once);
        }
    }

    fn defined(pattern: &[u8], anchored: bool, path: &[u8]) -> bool {
        match pattern.split_first() {
            None => !anchored || path.is_empty(),
            Some((b'*', rest)) => (0..=path.len()).any(|at| defined(rest, anchored, &path[at..])),
            Some((byte, rest)) => path.first() == Some(byte) && defined(rest, anchored, &path[1..]),
        }
    }
}
