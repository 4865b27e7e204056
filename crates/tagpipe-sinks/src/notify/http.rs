//! One POST and what its answer means, for all ways that go over HTTP.
//!
//! No redirect is followed: a message that was meant for one host is not carried to another. Addresses may be secrets, so they are
//! in no words, even where an answer repeats them.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use tagpipe_core::text::{cut, one_line};
use url::Url;

use super::certificate::Distrust;
use super::{NotifyError, Outcome, SEND_WITHIN, Secret};

/// For a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Of an answer, in bytes: enough to say why a message was refused, and for a receipt that repeats the whole message.
const ANSWER_MAX: usize = 600;
const RECEIPT_MAX: usize = 64 * 1024;

/// What is answered to a message that was taken, by those who answer everything else by status 200 as well.
pub(super) struct Receipt {
    /// In words.
    pub(super) name: &'static str,
    /// Whether an answer is one.
    pub(super) is_one: fn(&str) -> bool,
}

/// The shortest part of an address that is taken for a secret, in bytes: shorter ones are words such as `hook`.
const SECRET_MIN: usize = 8;

/// Posts JSON to addresses.
pub(super) struct Poster {
    client: Client,
}

impl Poster {
    pub(super) fn new() -> Result<Poster, NotifyError> {
        // Fails only when the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("tagpipe/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(SEND_WITHIN)
            .redirect(redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|error| NotifyError(format!("HTTP cannot be used: {}", words(&error))))?;
        Ok(Poster { client })
    }

    /// Posts `body`. It is taken if the status says so and, where there is a `receipt`, that is the answer.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        receipt: Option<&Receipt>,
    ) -> Outcome {
        let secrets = secrets_of(url, &headers);
        let request = self
            .client
            .post(url.clone())
            .headers(headers)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        match request.send().await {
            Ok(response) => outcome_of(response, receipt, &secrets).await,
            Err(error) => Outcome::later(failure_in_words(&error.without_url())),
        }
    }
}

/// Reads the address of a way: `http` or `https`, with a host.
pub(super) fn address(text: &Secret, what: &str) -> Result<Url, NotifyError> {
    let wrong = || {
        NotifyError(format!(
            "the address of {what} is none; it takes http:// or https://"
        ))
    };
    let url = Url::parse(text.reveal()).map_err(|_| wrong())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(wrong()),
    }
}

/// A header that is not shown where headers are.
pub(super) fn secret_header(name: HeaderName, text: &str) -> Result<(HeaderName, HeaderValue), NotifyError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        NotifyError(format!(
            "what is sent as `{name}` has characters that no header takes"
        ))
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Why there is no answer.
fn failure_in_words(error: &reqwest::Error) -> String {
    match Distrust::of(error) {
        Some(distrust @ (Distrust::Stranger | Distrust::Authority)) => format!(
            "{distrust}; the system's certificates say who is trusted, or the file that SSL_CERT_FILE names"
        ),
        Some(distrust) => distrust.to_string(),
        None if error.is_timeout() && error.is_connect() => {
            format!("there was no connection within {} s", CONNECT_TIMEOUT.as_secs())
        }
        None if error.is_timeout() => format!("there was no answer within {} s", SEND_WITHIN.as_secs()),
        None => words(error),
    }
}

async fn outcome_of(response: Response, receipt: Option<&Receipt>, secrets: &[String]) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return match receipt {
            None => Outcome::Delivered,
            Some(receipt) => outcome_by_receipt(response, receipt, secrets).await,
        };
    }
    let after = retry_after(response.headers(), Timestamp::now());
    let why = match status.is_redirection() {
        true => format!("HTTP status {status}: it is not followed; give the address that it leads to"),
        false => format!("HTTP status {status}{}", excerpt(response, secrets).await),
    };
    let may_be_taken_later = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    match may_be_taken_later {
        true => Outcome::Retry {
            after,
            why,
            reached: Vec::new(),
        },
        false => Outcome::Permanent { why },
    }
}

/// `Retry-After` in seconds or as a date.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Duration::try_from(date.timestamp().duration_since(now)).unwrap_or_default())
}

/// Whether a success is one. A web page in place of a receipt comes from something that stands before the other side, for as long as
/// that is not there; any other answer would be the same next time.
async fn outcome_by_receipt(mut response: Response, receipt: &Receipt, secrets: &[String]) -> Outcome {
    let status = response.status();
    let answer = beginning(&mut response, RECEIPT_MAX).await;
    if (receipt.is_one)(&answer) {
        return Outcome::Delivered;
    }
    let said = match shown(&without(secrets, &answer)) {
        nothing if nothing.is_empty() => "nothing".to_owned(),
        said => said,
    };
    let why = format!(
        "HTTP status {status}, but the answer is not {}: {said}",
        receipt.name
    );
    match answer.trim_start().starts_with('<') {
        true => Outcome::later(why),
        false => Outcome::Permanent { why },
    }
}

/// The beginning of an answer's body, fit to be shown.
async fn excerpt(mut response: Response, secrets: &[String]) -> String {
    let text = without(secrets, &beginning(&mut response, ANSWER_MAX).await);
    match shown(&text).as_str() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

/// The first `most` bytes of an answer's body. What cannot be read adds nothing.
async fn beginning(response: &mut Response, most: usize) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= most {
            bytes.truncate(most);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What of a request may be secret and may be repeated by an answer, such as `Cannot POST /services/T0/B0/x`; the longest first.
fn secrets_of(url: &Url, headers: &HeaderMap) -> Vec<String> {
    let in_headers = headers.values().filter(|value| value.is_sensitive());
    let in_headers = in_headers
        .filter_map(|value| value.to_str().ok())
        .flat_map(str::split_whitespace);
    let in_path = url.path().split('/');
    let in_query = url.query().into_iter().flat_map(|query| query.split(['&', '=']));
    let as_written = in_headers.chain(in_path).chain(in_query).chain(url.password());
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    let mut secrets: Vec<String> = as_written.map(str::to_owned).chain(decoded).collect();
    secrets.retain(|secret| secret.len() >= SECRET_MIN);
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// `text` with each of these masked.
fn without(secrets: &[String], text: &str) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret.as_str(), "***")
    })
}

/// A stranger's text as one short line.
pub(super) fn shown(text: &str) -> String {
    cut(&one_line(text), 200)
}

/// The last cause of an error, which says most.
pub(super) fn words(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    shown(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "2026-11-30T08:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Mon, 30 Nov 2026 08:01:30 GMT", Some(90)),
            ("Mon, 30 Nov 2026 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(
                retry_after(&headers, now),
                expected.map(Duration::from_secs),
                "{text}"
            );
        }
    }

    #[test]
    fn what_an_answer_repeats_of_the_request_is_masked() {
        let url = "https://u:hunter2hunter2@example.com/hook/T0B0secretslack?token=open%20sesame&v=1";
        let header = secret_header(HeaderName::from_static("authorization"), "Bearer tk_secretntfy");
        let headers = HeaderMap::from_iter([header.expect("a header")]);
        let secrets = secrets_of(&Url::parse(url).expect("an address"), &headers);
        for (said, shown) in [
            (
                "Cannot POST /hook/T0B0secretslack?v=1",
                "Cannot POST /hook/***?v=1",
            ),
            ("token=open%20sesame or open sesame", "token=*** or ***"),
            (
                "tk_secretntfy is unknown, hunter2hunter2 too",
                "*** is unknown, *** too",
            ),
            ("no such hook", "no such hook"),
        ] {
            assert_eq!(without(&secrets, said), shown);
        }
    }

    #[test]
    fn addresses_are_http_and_are_not_repeated() {
        for text in ["", "ftp://example.com/hunter2", "hunter2", "https://"] {
            let refused = address(&Secret::new(text), "the webhook").expect_err(text);
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        assert!(address(&Secret::new("https://example.com/x"), "the webhook").is_ok());
    }
}
