//! What an answer's head leads to, before its body is looked at: one table for HTTP and for the browser.
//!
//! Pure: the time of day is an argument. A refusal is an [`Outcome`]; `None` means "read on".

use std::time::{Duration, SystemTime};

use tagpipe_core::outcome::Outcome;
use url::Url;

use crate::shown::shown;

/// The most that a site's `Retry-After` is believed.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The parts of an answer's head that decide.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as sent.
    pub retry_after: Option<&'a str>,
    /// `Date`, as sent: a `Retry-After` that is a date is measured against the site's own clock.
    pub date: Option<&'a str>,
    /// `Content-Type`, as sent.
    pub content_type: Option<&'a str>,
}

/// What `head` leads to when it came from `url`; `None` when its body is a document to be read.
#[must_use]
pub fn refusal(head: &Head<'_>, url: &Url, now: SystemTime) -> Option<Outcome> {
    match head.status {
        200..=299 => wrong_type(head, url),
        404 | 410 => Some(Outcome::SuspectedSoft404),
        429 => Some(Outcome::RateLimited {
            retry_after: wait_of(head, now),
        }),
        status @ 400..=599 => Some(Outcome::Busy {
            status,
            retry_after: wait_of(head, now),
        }),
        status => Some(Outcome::Network {
            detail: format!("`{url}` answered with HTTP status {status}"),
        }),
    }
}

fn wrong_type(head: &Head<'_>, url: &Url) -> Option<Outcome> {
    let content_type = head.content_type?;
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let is_document =
        essence.is_empty() || essence.starts_with("text/") || essence == "application/xhtml+xml";
    (!is_document).then(|| Outcome::Network {
        detail: format!("`{url}` is not a page but `{}`", shown(&essence)),
    })
}

fn wait_of(head: &Head<'_>, now: SystemTime) -> Option<Duration> {
    let their_now = head
        .date
        .and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    parse_retry_after(head.retry_after?, their_now.unwrap_or(now))
}

/// The pause that a `Retry-After` of `value` asks for: seconds or an HTTP date (RFC 9110, 10.2.3).
///
/// More than [`LONGEST_RETRY_AFTER`] counts as that much; a date that is past, a negative number and
/// anything else count as no wish at all.
#[must_use]
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not fit are a number all the same, and far above the limit.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    until
        .duration_since(now)
        .ok()
        .map(|wait| wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let cases = [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("Sun, 06 Nov 2095 08:50:07 GMT", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(
                parse_retry_after(value, noon()),
                expected.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_date_is_measured_against_the_sites_own_clock() {
        let head = Head {
            status: 429,
            retry_after: Some("Sun, 06 Nov 1994 08:50:07 GMT"),
            date: Some("Sun, 06 Nov 1994 08:50:00 GMT"),
            content_type: None,
        };
        let url = Url::parse("http://a.test/").expect("a URL");
        let outcome = refusal(&head, &url, noon() + Duration::from_secs(9_999_999));
        assert_eq!(
            outcome,
            Some(Outcome::RateLimited {
                retry_after: Some(Duration::from_secs(7))
            })
        );
    }

    #[test]
    fn only_a_successful_page_is_read() {
        let url = Url::parse("http://a.test/x").expect("a URL");
        let check = |status, content_type, expected: Option<Outcome>| {
            let head = Head {
                status,
                content_type,
                ..Head::default()
            };
            assert_eq!(
                refusal(&head, &url, noon()),
                expected,
                "{status} {content_type:?}"
            );
        };
        let network = |detail: &str| {
            Some(Outcome::Network {
                detail: detail.to_owned(),
            })
        };
        check(200, Some("text/html; charset=utf-8"), None);
        check(200, Some("TEXT/plain"), None);
        check(200, Some("application/xhtml+xml"), None);
        check(200, None, None);
        check(
            200,
            Some("application/pdf"),
            network("`http://a.test/x` is not a page but `application/pdf`"),
        );
        check(404, None, Some(Outcome::SuspectedSoft404));
        check(410, None, Some(Outcome::SuspectedSoft404));
        check(429, None, Some(Outcome::RateLimited { retry_after: None }));
        for status in [400, 401, 403, 418, 500, 502, 503, 504] {
            check(
                status,
                None,
                Some(Outcome::Busy {
                    status,
                    retry_after: None,
                }),
            );
        }
        check(
            304,
            None,
            network("`http://a.test/x` answered with HTTP status 304"),
        );
    }

    proptest! {
        #[test]
        fn no_retry_after_is_longer_than_the_limit(value in ".{0,40}") {
            if let Some(wait) = parse_retry_after(&value, noon()) {
                prop_assert!(wait <= LONGEST_RETRY_AFTER);
            }
        }
    }
}
