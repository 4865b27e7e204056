//! Who asks: a token, sent by a program in `Authorization: Bearer`, by a browser in a cookie.
//!
//! Without any token, and on this machine's own address alone, everybody on the machine may do everything. With the first token,
//! or on any other address, nobody may do anything without one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tagpipe_store::{ApiToken, Scope, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::problem::Problem;
use crate::state::App;

/// The browser's cookie.
pub(crate) const COOKIE: &str = "tagpipe_token";

/// How long a revoked token may still be taken for a valid one. A stream that it has opened ends within twice that.
const KNOWN_FOR: Duration = Duration::from_secs(2);

/// How often the use of a token is noted.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// Who asks, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the token; `this machine` without one.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
}

/// Who is let in.
pub(crate) struct Guard {
    store: Store,
    /// Hash of the token that the settings give.
    fixed: Option<String>,
    /// Whether only this machine reaches the service.
    is_local: bool,
    known: Mutex<Option<(Instant, Arc<Vec<ApiToken>>)>>,
    /// When the use of each token was last noted.
    noted: Mutex<HashMap<i64, Instant>>,
}

impl Guard {
    pub(crate) fn new(store: Store, fixed: Option<&str>, is_local: bool) -> Guard {
        Guard {
            store,
            fixed: fixed.map(hashed),
            is_local,
            known: Mutex::new(None),
            noted: Mutex::default(),
        }
    }

    /// Whether a token is needed.
    pub(crate) async fn is_closed(&self) -> Result<bool, StoreError> {
        Ok(!self.is_local || self.fixed.is_some() || !self.tokens().await?.is_empty())
    }

    /// Whether there is a token that allows something.
    pub(crate) async fn has_token(&self) -> Result<bool, StoreError> {
        let tokens = self.tokens().await?;
        Ok(self.fixed.is_some() || tokens.iter().any(|token| token.revoked_at.is_none()))
    }

    /// Who the owner of `secret` is; `None` if there is no such token. Takes as long whichever it is.
    pub(crate) async fn identify(&self, secret: &str) -> Result<Option<Identity>, StoreError> {
        let hash = hashed(secret);
        let tokens = self.tokens().await?;
        let fixed = self
            .fixed
            .as_deref()
            .map(|fixed| ("settings", fixed, Scope::Control));
        let valid = tokens.iter().filter(|token| token.revoked_at.is_none());
        let all = valid
            .map(|token| (token.name.as_str(), token.secret_hash.as_str(), token.scope))
            .chain(fixed);
        let mut found = 0_u64;
        let mut candidates = Vec::new();
        for (number, (name, theirs, scope)) in (1..).zip(all) {
            let is_it: Choice = theirs.as_bytes().ct_eq(hash.as_bytes());
            found.conditional_assign(&number, is_it);
            candidates.push((name, scope));
        }
        let Some((name, scope)) = usize::try_from(found)
            .ok()
            .and_then(|number| candidates.get(number.checked_sub(1)?))
        else {
            return Ok(None);
        };
        if let Some(token) = tokens.iter().find(|token| token.name == *name) {
            self.note_use(token.id).await;
        }
        Ok(Some(Identity {
            name: format!("token {name}"),
            scope: *scope,
        }))
    }

    /// Notes that a token was used, at most once a minute, and without making anybody wait: a database that is being written to
    /// is no reason to refuse somebody who reads.
    async fn note_use(&self, id: i64) {
        let mut noted = self.noted.lock().await;
        if noted.get(&id).is_some_and(|at| at.elapsed() < NOTED_EVERY) {
            return;
        }
        noted.insert(id, Instant::now());
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.note_token_use(id).await {
                tracing::debug!(%error, "the use of a token was not noted");
            }
        });
    }

    /// The stored tokens, revoked ones included, as they were a moment ago.
    async fn tokens(&self) -> Result<Arc<Vec<ApiToken>>, StoreError> {
        let mut known = self.known.lock().await;
        if let Some((at, tokens)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return Ok(Arc::clone(tokens));
        }
        let tokens = Arc::new(self.store.tokens().await?);
        *known = Some((Instant::now(), Arc::clone(&tokens)));
        Ok(tokens)
    }
}

/// SHA-256 of a secret, in hexadecimal.
pub(crate) fn hashed(secret: &str) -> String {
    Sha256::digest(secret.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What is known of who asks.
#[derive(Debug, Clone)]
enum Asking {
    Known(Identity),
    /// Without a token where one is needed.
    Nobody,
    /// With one that allows nothing.
    Wrong,
}

/// Finds out who asks; what they may do is decided where they ask for it.
pub(crate) async fn authenticate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let secret = secret_of(request.headers());
    let asking = match &secret {
        Some(secret) => match app.guard.identify(secret).await? {
            Some(identity) => Asking::Known(identity),
            // Where no token is needed, an old cookie is no offence.
            None if app.guard.is_closed().await? => Asking::Wrong,
            None => local(&request)?,
        },
        None if app.guard.is_closed().await? => Asking::Nobody,
        None => local(&request)?,
    };
    if matches!(asking, Asking::Wrong)
        && let Err(after) = app.limits.wrong_token(&request)
    {
        return Err(Problem::too_many(after));
    }
    request.extensions_mut().insert(asking);
    let response = next.run(request).await;
    if is_stream(&response) {
        return Ok(until_refused(response, app, secret));
    }
    Ok(response)
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// A stream outlives its request: it ends when whoever watches it would not be let in any more.
fn until_refused(stream: Response, app: Arc<App>, secret: Option<String>) -> Response {
    let refused = async move {
        loop {
            sleep(KNOWN_FOR).await;
            let is_let_in = match &secret {
                Some(secret) => app.guard.identify(secret).await.map(|found| found.is_some()),
                None => Ok(false),
            };
            // A database that does not answer revokes nothing.
            if matches!(is_let_in, Ok(false)) && matches!(app.guard.is_closed().await, Ok(true)) {
                return;
            }
        }
    };
    stream.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(refused))))
}

/// Somebody on this machine. Also a page of another site, if its name is made to lead here: by this machine's own names alone
/// is nobody misled.
fn local(request: &Request) -> Result<Asking, Problem> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let name = host.map(|host| {
        host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                name
            } else {
                host
            }
        })
    });
    let is_own = name.is_none_or(|name| {
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || literal
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    });
    if !is_own {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "without a token, this service goes by the names localhost and 127.0.0.1 alone",
        ));
    }
    Ok(Asking::Known(Identity {
        name: "this machine".to_owned(),
        scope: Scope::Control,
    }))
}

fn secret_of(headers: &HeaderMap) -> Option<String> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim().to_owned());
    bearer.or_else(|| {
        let cookies = headers.get_all(header::COOKIE).iter();
        let pairs = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'));
        pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE)
            .map(|(_, secret)| secret.to_owned())
    })
}

fn allowed(parts: &Parts, scope: Scope) -> Result<Identity, Problem> {
    match parts.extensions.get::<Asking>() {
        Some(Asking::Known(identity)) if identity.scope >= scope => Ok(identity.clone()),
        Some(Asking::Known(identity)) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "{} has the scope `{}`; this takes `{}`",
                identity.name,
                identity.scope.as_str(),
                scope.as_str()
            ),
        )),
        Some(Asking::Wrong) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the token is unknown or was revoked; `tagpipe token add NAME` makes one",
        )),
        Some(Asking::Nobody) | None => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "a token is needed: `Authorization: Bearer …`; `tagpipe token add NAME` makes one",
        )),
    }
}

/// Somebody who may read.
#[derive(Debug, Clone)]
pub struct Reader(pub Identity);

/// Somebody who may control.
#[derive(Debug, Clone)]
pub struct Controller(pub Identity);

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Reader, Refusal> {
        allowed(parts, Scope::Read)
            .map(Reader)
            .map_err(|problem| Refusal::of(problem, parts))
    }
}

impl<S: Sync> FromRequestParts<S> for Controller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Controller, Refusal> {
        allowed(parts, Scope::Control)
            .map(Controller)
            .map_err(|problem| Refusal::of(problem, parts))
    }
}

impl<S: Sync> axum::extract::OptionalFromRequestParts<S> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Reader>, Infallible> {
        Ok(allowed(parts, Scope::Read).ok().map(Reader))
    }
}

/// Why somebody is not let in: a program gets a problem, a browser that wants a page is asked for a token.
#[derive(Debug)]
pub struct Refusal {
    problem: Problem,
    /// Where the browser wants to go.
    page: Option<String>,
}

impl Refusal {
    fn of(problem: Problem, parts: &Parts) -> Refusal {
        let wants_page = parts
            .headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let is_page = wants_page && !parts.uri.path().starts_with("/api/");
        Refusal {
            problem,
            page: is_page.then(|| {
                let place = parts.uri.path_and_query().map_or("/", |place| place.as_str());
                percent_encoding::utf8_percent_encode(place, percent_encoding::NON_ALPHANUMERIC).to_string()
            }),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self.page {
            Some(place) if self.problem.status() == StatusCode::UNAUTHORIZED => {
                Redirect::to(&format!("/login?next={place}")).into_response()
            }
            _ => self.problem.into_response(),
        }
    }
}
