//! The site's own address: documents, data for the app, assets, robots.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER,
    USER_AGENT,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use percent_encoding::percent_decode_str;

use super::{Now, Shared, assets, evil};
use crate::address::{Address, ROOT};
use crate::app;
use crate::chance::{Chance, Purpose};
use crate::config::{Latency, Rendering};
use crate::faults::{Answer, Fault};
use crate::render::{self, Rows, View};
use crate::request_log::{Received, RequestKind};
use crate::world::CertNumber;

const DEFAULT_ROBOTS: &str = "User-agent: *\nDisallow: /private\n";
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Routes nothing by pattern: segments hold escaped slashes, so paths are read as they were sent.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

/// A response that is decided but not yet sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) response: Response,
    kind: RequestKind,
    fault: Option<Fault>,
    delay: Duration,
}

impl Reply {
    pub(super) fn new(
        kind: RequestKind,
        status: StatusCode,
        content_type: HeaderValue,
        body: impl Into<Body>,
    ) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Self {
            response,
            kind,
            fault: None,
            delay: Duration::ZERO,
        }
    }

    pub(super) fn html(body: impl Into<Body>) -> Self {
        Self::new(RequestKind::Document, StatusCode::OK, HTML, body)
    }

    pub(super) fn redirect(location: HeaderValue) -> Self {
        let mut reply = Self::new(RequestKind::Document, StatusCode::FOUND, HTML, Body::empty());
        reply.response.headers_mut().insert(LOCATION, location);
        reply
    }

    fn struck_by(mut self, fault: Option<Fault>) -> Self {
        self.fault = fault;
        self
    }

    fn after(mut self, delay: Duration) -> Self {
        self.delay += delay;
        self
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let at = SystemTime::now();
    let now = shared.now();
    let reply = route(&shared, &now, &request);
    if now.config.record_requests {
        record(&shared, &request, &reply, at);
    }
    shared.pause(reply.delay).await;
    reply.response
}

fn record(shared: &Shared, request: &Request, reply: &Reply, at: SystemTime) {
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    shared.log.push(Received {
        at,
        path_and_query: request.uri().path_and_query().map_or("/", |it| it.as_str()),
        user_agent: agent.unwrap_or_default(),
        kind: reply.kind,
        status: reply.response.status().as_u16(),
        fault: reply.fault,
    });
}

fn route(shared: &Shared, now: &Now, request: &Request) -> Reply {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    match path {
        "/" => Reply::redirect(HeaderValue::from_static(ROOT)),
        "/robots.txt" => robots(now),
        "/_app/poll" => Reply::new(RequestKind::Poll, StatusCode::OK, JSON, "{}"),
        "/_app/page" => data(shared, now, request.headers(), query),
        _ => match path.split('/').nth(1) {
            Some("static") => assets::answer(path),
            Some("evil") => evil::answer(path, query, &shared.stopping),
            _ => page(shared, now, request.headers(), path, query),
        },
    }
}

fn robots(now: &Now) -> Reply {
    let text = now
        .config
        .robots_txt
        .clone()
        .unwrap_or_else(|| DEFAULT_ROBOTS.to_owned());
    Reply::new(RequestKind::Robots, StatusCode::OK, PLAIN, text)
}

/// The refusal that every page meets while the site is told to refuse all, by status or by captcha.
fn blanket_refusal(now: &Now, kind: RequestKind) -> Option<Reply> {
    if now.config.refuse_all {
        return Some(refusal(now, kind, Fault::RateLimited));
    }
    now.config.captcha.then(|| Reply::html(render::captcha()))
}

fn refusal(now: &Now, kind: RequestKind, fault: Fault) -> Reply {
    let (status, reason) = match fault {
        Fault::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "Service Temporarily Unavailable"),
    };
    let mut reply = Reply::new(kind, status, HTML, render::refusal(status.as_u16(), reason));
    if let Some(seconds) = now.config.faults.retry_after_s {
        reply.response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply.struck_by(Some(fault))
}

/// A document.
fn page(shared: &Shared, now: &Now, headers: &HeaderMap, path: &str, query: &str) -> Reply {
    if let Some(refusal) = blanket_refusal(now, RequestKind::Document) {
        return refusal;
    }
    let delay = Duration::from_millis(now.config.latency.document_ms);
    if let Some(number) = certificate(path) {
        return Reply::html(render::certificate_report(number)).after(delay);
    }
    let address = Address::resolve(&now.world, path, query);
    let kind = match now.config.rendering {
        Rendering::Server => Answer::Page,
        Rendering::Script => Answer::Shell,
    };
    let identity = identity(address, path, query);
    let fault = strike(shared, now, kind, identity, address);
    if let Some(fault @ (Fault::RateLimited | Fault::Unavailable)) = fault {
        return refusal(now, RequestKind::Document, fault).after(delay);
    }
    let html = if kind == Answer::Page {
        document(now, address, fault, identity)
    } else {
        shell()
    };
    let reply = match fault {
        Some(Fault::CutOff) => cut_off(html),
        _ => compressed(now, headers, Reply::html(Body::empty()), html.into_bytes()),
    };
    let late = if fault == Some(Fault::Slow) {
        now.config.faults.slow_ms()
    } else {
        0
    };
    reply.struck_by(fault).after(delay + Duration::from_millis(late))
}

fn document(now: &Now, address: Option<Address>, fault: Option<Fault>, identity: u64) -> String {
    let address = address.filter(|_| fault != Some(Fault::SoftNotFound));
    render::document(
        &View::new(&now.world, &now.config),
        address,
        rows_left(fault, identity),
    )
}

fn shell() -> String {
    let mut html = String::with_capacity(8192);
    render::push_shell(&mut html);
    html
}

/// What the app asks for: the content of the page whose path and query it passes on.
fn data(shared: &Shared, now: &Now, headers: &HeaderMap, query: &str) -> Reply {
    if let Some(refusal) = blanket_refusal(now, RequestKind::Data) {
        return Reply {
            kind: RequestKind::Data,
            ..refusal
        };
    }
    let wanted = parameter(query, "path");
    let wanted = percent_decode_str(wanted).decode_utf8_lossy();
    let (path, page_query) = wanted.split_once('?').unwrap_or((&wanted, ""));
    let mut address = Address::resolve(&now.world, path, page_query);
    if let Some(address) = &mut address {
        address.page = parameter(query, "page").parse().unwrap_or(1);
    }
    let identity = identity(address, path, page_query);
    let fault = strike(shared, now, Answer::Data, identity, address);
    let shown = address.filter(|_| fault != Some(Fault::SoftNotFound));
    let view = View::new(&now.world, &now.config);
    let json = app::data(&view, shown, rows_left(fault, identity), &now.config.latency);
    let delay = now
        .config
        .latency
        .of_data(Latency::draw(now.config.seed, identity, 0));
    let empty = Reply::new(RequestKind::Data, StatusCode::OK, JSON, Body::empty());
    compressed(now, headers, empty, json.into_bytes())
        .struck_by(fault)
        .after(delay)
}

fn parameter<'q>(query: &'q str, name: &str) -> &'q str {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .into_iter()
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value)
}

fn certificate(path: &str) -> Option<CertNumber> {
    CertNumber::parse(path.strip_prefix("/card/")?)
}

/// What tells pages apart for faults: what they are, not how their address was spelt.
fn identity(address: Option<Address>, path: &str, query: &str) -> u64 {
    let chance = Chance::new(0, Purpose::DocumentFault);
    match address {
        Some(Address { place, grade, page }) => {
            let grade = grade.map_or(0, |grade| grade.index() as u64 + 1);
            let place = place.identity().into_iter().fold(chance, Chance::of);
            place.of(grade).of(u64::from(page)).bits()
        }
        None => chance.of_text(path).of_text(query).bits(),
    }
}

/// The fault that strikes this answer. A missing row shows only where a pager tells of it, so elsewhere none is
/// left out.
fn strike(
    shared: &Shared,
    now: &Now,
    kind: Answer,
    identity: u64,
    address: Option<Address>,
) -> Option<Fault> {
    let faults = &now.config.faults;
    if !faults.any() {
        return None;
    }
    let attempt = shared.attempts.next(kind, identity);
    faults
        .strike(kind, identity, attempt)
        .filter(|fault| match fault {
            Fault::Partial => address.is_some_and(|address| render::row_count(&now.world, address) > 0),
            Fault::EmptyTable | Fault::SoftNotFound => address.is_some(),
            _ => true,
        })
}

fn rows_left(fault: Option<Fault>, identity: u64) -> Rows {
    match fault {
        Some(Fault::Partial) => Rows::Partial(identity >> 8),
        Some(Fault::EmptyTable) => Rows::Withheld,
        _ => Rows::All,
    }
}

/// Announces the whole body and breaks off after half of it.
fn cut_off(html: String) -> Reply {
    let whole = html.len();
    let mut body = Bytes::from(html);
    body.truncate(whole / 2);
    let parts = stream::unfold(Some(body), |left| async move {
        match left {
            Some(body) if !body.is_empty() => Some((Ok(body), Some(Bytes::new()))),
            _ => {
                // The half already written must leave before the connection is torn down.
                tokio::time::sleep(Duration::from_millis(2)).await;
                Some((Err(std::io::Error::other("cut off on purpose")), None))
            }
        }
    });
    let mut reply = Reply::html(Body::from_stream(parts));
    reply.response.headers_mut().insert(CONTENT_LENGTH, whole.into());
    reply
}

/// Puts `body` into `reply`, compressed if settings and client agree on it.
fn compressed(now: &Now, headers: &HeaderMap, mut reply: Reply, body: Vec<u8>) -> Reply {
    let accepts = |headers: &HeaderMap| {
        headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .any(|value| value.to_str().is_ok_and(|text| text.contains("gzip")))
    };
    reply
        .response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let packed = (now.config.compress && accepts(headers)).then(|| gzip(&body));
    if packed.is_some() {
        reply
            .response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *reply.response.body_mut() = Body::from(packed.unwrap_or(body));
    reply
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .expect("writing to memory cannot fail")
}
