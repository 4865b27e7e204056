//! One Chromium tab: goes to addresses, keeps to its origin, and runs scripts in the page.
//!
//! Chromium asks before it loads a document, an image, a font, a film or a blocked address ([`TabEvents`]): a
//! document of another origin, one too many redirects and an answer that is a refusal are stopped there, before
//! anything is sent or shown. No picture and no font is ever loaded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tagpipe_core::outcome::Outcome;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::connection::{CommandError, Connection, Listener};
use super::process::Process;
use crate::http::exchange::{MOST_REDIRECTS, network};
use crate::shown::shown;
use crate::status::{self, Head};

/// A service worker would answer for the site from its own store, and ask for it past all that is decided here.
const NO_WORKERS: &str = "delete Navigator.prototype.serviceWorker";

/// Until a healthy tab has left its page.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// A tab, in a window of its own so that its page counts as visible.
pub(super) struct Tab {
    process: Arc<Process>,
    /// Chromium's id of it.
    pub(super) target: String,
    session: String,
    events: Arc<TabEvents>,
    /// When it was opened.
    pub(super) born: Instant,
    /// Pages shown so far.
    pub(super) pages: u32,
}

/// What a script in the page came to.
pub(super) enum Ran {
    /// Its value.
    Value(Value),
    /// The page went away under it, perhaps to a next document.
    Interrupted,
}

impl Tab {
    pub(super) async fn open(process: Arc<Process>, block: &[String]) -> Result<Tab, CommandError> {
        let connection = &process.connection;
        let created = connection
            .call(
                None,
                "Target.createTarget",
                json!({ "url": "about:blank", "newWindow": true }),
            )
            .await?;
        let target = text(&created["targetId"]);
        let attached = connection
            .call(
                None,
                "Target.attachToTarget",
                json!({ "targetId": target, "flatten": true }),
            )
            .await?;
        let session = text(&attached["sessionId"]);
        let events = Arc::new(TabEvents::new(&target, &session));
        connection.listen(&session, Arc::clone(&events) as Arc<dyn Listener>);
        let tab = Tab {
            target,
            session,
            events,
            born: Instant::now(),
            pages: 0,
            process,
        };
        for (method, params) in [
            ("Inspector.enable", json!({})),
            ("Page.enable", json!({})),
            ("Fetch.enable", intercepted(block)),
            (
                "Page.addScriptToEvaluateOnNewDocument",
                json!({ "source": NO_WORKERS }),
            ),
        ] {
            tab.call(method, params).await?;
        }
        Ok(tab)
    }

    /// Whether it shows no page.
    pub(super) fn has_left(&self) -> bool {
        self.events.now(|now| now.origin.is_none())
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Whether it can show no further page.
    pub(super) fn is_dead(&self) -> bool {
        self.process.has_ended() || self.events.now(|now| now.dead.is_some())
    }

    /// Takes it out of service: it will not be used for another page.
    pub(super) fn give_up(&self, why: &str) {
        self.events.change(|now| {
            now.dead.get_or_insert_with(|| why.to_owned());
        });
    }

    /// Goes to `url` and waits until its document begins to arrive.
    pub(super) async fn go(&self, url: &Url, deadline: Instant) -> Result<(), Outcome> {
        // To another place of the page that is still shown Chromium would go without loading it again.
        let mut address = url.clone();
        address.set_fragment(None);
        self.events.begin(url);
        let slow = || Outcome::Timeout {
            waited_for: format!("an answer of `{url}`"),
        };
        let command = self.call("Page.navigate", json!({ "url": address.as_str() }));
        let answer = timeout_at(deadline, command).await.map_err(|_| slow())?;
        if let Some(outcome) = self.events.refusal() {
            return Err(outcome);
        }
        let answer = answer.map_err(|error| self.broken(url, &error))?;
        if let Some(error) = answer["errorText"].as_str() {
            return Err(network(url, net_error(error)));
        }
        let Some(document) = answer["loaderId"].as_str() else {
            return Ok(());
        };
        let arrived = self.until(|now| now.document == document);
        timeout_at(deadline, arrived)
            .await
            .map_err(|_| slow())?
            .map_err(|outcome| outcome.at(url))
    }

    /// The document that is shown, to be compared with a later one.
    pub(super) fn document(&self) -> String {
        self.events.now(|now| now.document.clone())
    }

    /// Waits until another document than `old` is shown.
    pub(super) async fn next_document(&self, old: &str, url: &Url) -> Result<(), Outcome> {
        self.until(|now| now.document != old)
            .await
            .map_err(|stop| stop.at(url))
    }

    /// Runs `expression` in the current document, in a world of its own that the page's script cannot touch,
    /// and waits for the promise it returns.
    pub(super) async fn run(&self, expression: &str, url: &Url) -> Result<Ran, Outcome> {
        tokio::select! {
            biased;
            stop = self.stopped() => Err(stop.at(url)),
            ran = self.evaluate(expression, url) => ran,
        }
    }

    async fn evaluate(&self, expression: &str, url: &Url) -> Result<Ran, Outcome> {
        let world = self.call(
            "Page.createIsolatedWorld",
            json!({ "frameId": self.target, "worldName": "tagpipe" }),
        );
        let context = match world.await {
            Ok(world) => world["executionContextId"].clone(),
            Err(CommandError::Refused { .. }) => return Ok(Ran::Interrupted),
            Err(error) => return Err(self.broken(url, &error)),
        };
        let params = json!({
            "expression": expression,
            "contextId": context,
            "awaitPromise": true,
            "returnByValue": true,
        });
        match self.call("Runtime.evaluate", params).await {
            Ok(answer) if answer["exceptionDetails"].is_null() => {
                Ok(Ran::Value(answer["result"]["value"].clone()))
            }
            Ok(answer) => Err(Outcome::LayoutChanged {
                detail: exception(&answer["exceptionDetails"]),
            }),
            // The page moved on, and its world with it.
            Err(CommandError::Refused { .. }) => Ok(Ran::Interrupted),
            Err(error) => Err(self.broken(url, &error)),
        }
    }

    /// Leaves the page, so that its script neither runs nor asks the site for anything any longer.
    /// False when the tab does not do so and should not be used again.
    pub(super) async fn leave(&self) -> bool {
        self.events.begin_leaving();
        let command = self.call("Page.navigate", json!({ "url": "about:blank" }));
        let deadline = Instant::now() + LEAVE_LIMIT;
        let Ok(Ok(answer)) = timeout_at(deadline, command).await else {
            return false;
        };
        let document = text(&answer["loaderId"]);
        matches!(
            timeout_at(deadline, self.until(|now| now.document == document)).await,
            Ok(Ok(()))
        )
    }

    async fn call(&self, method: &'static str, params: Value) -> Result<Value, CommandError> {
        self.process
            .connection
            .call(Some(&self.session), method, params)
            .await
    }

    /// Waits for `state`; stops when the tab dies or the page goes astray.
    async fn until(&self, state: impl Fn(&Now) -> bool) -> Result<(), Stop> {
        let mut changes = self.events.now.subscribe();
        let reached = changes.wait_for(|now| state(now) || now.stop().is_some()).await;
        match reached {
            Ok(now) => now.stop().map_or(Ok(()), Err),
            Err(_) => Err(Stop::Dead("its tab is gone".to_owned())),
        }
    }

    /// Resolves only when no content can come any longer.
    async fn stopped(&self) -> Stop {
        match self.until(|_| false).await {
            Err(stop) => stop,
            Ok(()) => Stop::Dead("its tab is gone".to_owned()),
        }
    }

    fn broken(&self, url: &Url, error: &CommandError) -> Outcome {
        let dead = self.events.now(|now| now.dead.clone());
        network(url, dead.unwrap_or_else(|| error.to_string()))
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let connection = &self.process.connection;
        connection.forget(&self.session);
        connection.post(None, "Target.closeTarget", &json!({ "targetId": self.target }));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Documents, and what no report needs: of these, `Other` is a site's icon, `Ping` a beacon to a tracker.
const ASKED_ABOUT: [&str; 6] = ["Document", "Image", "Font", "Media", "Ping", "Other"];

/// What Chromium asks about before it loads it. Documents are asked about once more when their head is there.
fn intercepted(block: &[String]) -> Value {
    let mut patterns: Vec<Value> = ASKED_ABOUT
        .map(|kind| json!({ "resourceType": kind, "requestStage": "Request" }))
        .to_vec();
    patterns.push(json!({ "resourceType": "Document", "requestStage": "Response" }));
    patterns.extend(
        block
            .iter()
            .map(|address| json!({ "urlPattern": address, "requestStage": "Request" })),
    );
    json!({ "patterns": patterns })
}

/// `net::ERR_NAME_NOT_RESOLVED` as words.
fn net_error(text: &str) -> String {
    match text.strip_prefix("net::ERR_") {
        Some(name) => name.replace('_', " ").to_lowercase(),
        None => text.to_owned(),
    }
}

fn exception(details: &Value) -> String {
    let what = details["exception"]["description"]
        .as_str()
        .or(details["text"].as_str())
        .unwrap_or("an exception");
    let first_line = what.lines().next().unwrap_or_default();
    format!(
        "the profile's selectors or patterns do not work in the browser: {}",
        shown(first_line)
    )
}

/// Why waiting is over.
#[derive(Debug, Clone)]
enum Stop {
    Refused(Outcome),
    Dead(String),
}

impl Stop {
    fn at(self, url: &Url) -> Outcome {
        match self {
            Stop::Refused(outcome) => outcome,
            Stop::Dead(why) => network(url, why),
        }
    }
}

/// What becomes of a request that Chromium asks about.
enum Verdict {
    Continue,
    /// For this reason, one of Chromium's own.
    Fail(&'static str),
}

/// What the tab shows now.
#[derive(Debug, Default)]
struct Now {
    /// The one origin whose documents it may load; `None` while it shows no page.
    origin: Option<url::Origin>,
    /// Chromium's id of the document.
    document: String,
    redirects: usize,
    refusal: Option<Outcome>,
    dead: Option<String>,
}

impl Now {
    fn stop(&self) -> Option<Stop> {
        let dead = self.dead.clone().map(Stop::Dead);
        dead.or_else(|| self.refusal.clone().map(Stop::Refused))
    }
}

/// Hears what happens in the tab, and decides what it may load.
struct TabEvents {
    /// Id of the main frame, which Chromium gives the tab's own.
    main_frame: String,
    session: String,
    now: watch::Sender<Now>,
    /// The last address asked for in the main frame, to name it in errors.
    asked: Mutex<Option<Url>>,
}

impl TabEvents {
    fn new(target: &str, session: &str) -> TabEvents {
        TabEvents {
            main_frame: target.to_owned(),
            session: session.to_owned(),
            now: watch::Sender::new(Now::default()),
            asked: Mutex::default(),
        }
    }

    fn begin(&self, url: &Url) {
        self.change(|now| {
            now.origin = Some(url.origin());
            now.redirects = 0;
            now.refusal = None;
        });
    }

    fn begin_leaving(&self) {
        self.change(|now| {
            now.origin = None;
            now.refusal = None;
        });
    }

    fn now<T>(&self, read: impl Fn(&Now) -> T) -> T {
        read(&self.now.borrow())
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        self.now.send_modify(change);
    }

    fn refusal(&self) -> Option<Outcome> {
        self.now(|now| now.refusal.clone())
    }

    fn refuse(&self, outcome: Outcome) {
        self.change(|now| {
            now.refusal.get_or_insert(outcome);
        });
    }

    fn judge(&self, params: &Value) -> Verdict {
        // A document in a frame is somebody else's, and never the report.
        let is_page = params["resourceType"] == "Document" && params["frameId"] == self.main_frame.as_str();
        let url = Url::parse(params["request"]["url"].as_str().unwrap_or_default());
        let (true, Ok(url), true) = (is_page, url, self.now(|now| now.origin.is_some())) else {
            return Verdict::Fail("BlockedByClient");
        };
        let refusal = if params["responseErrorReason"].is_string() {
            None
        } else if params["responseStatusCode"].is_number() {
            judge_answer(&url, params)
        } else {
            self.judge_request(&url, params)
        };
        let Some(outcome) = refusal else {
            return Verdict::Continue;
        };
        self.refuse(outcome);
        Verdict::Fail("Aborted")
    }

    fn judge_request(&self, url: &Url, params: &Value) -> Option<Outcome> {
        let from = self.asked().replace(url.clone()).unwrap_or_else(|| url.clone());
        let same_origin = self.now(|now| now.origin.as_ref() == Some(&url.origin()));
        if !same_origin {
            return Some(network(
                &from,
                format!("a redirect to another site, `{url}`, is not followed"),
            ));
        }
        if params["redirectedRequestId"].is_string() {
            self.change(|now| now.redirects += 1);
        }
        let too_many = self.now(|now| now.redirects > MOST_REDIRECTS);
        too_many.then(|| {
            network(
                &from,
                format!("more than {MOST_REDIRECTS} redirects, at last to `{url}`"),
            )
        })
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Option<Url>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdict {
    fn command(&self, request: &Value) -> (&'static str, Value) {
        match self {
            Verdict::Continue => ("Fetch.continueRequest", json!({ "requestId": request })),
            Verdict::Fail(reason) => (
                "Fetch.failRequest",
                json!({ "requestId": request, "errorReason": reason }),
            ),
        }
    }
}

impl Listener for TabEvents {
    fn on_event(&self, connection: &Connection, method: &str, params: &Value) {
        let post = |method, params| connection.post(Some(&self.session), method, &params);
        match method {
            "Fetch.requestPaused" => {
                let (method, params) = self.judge(params).command(&params["requestId"]);
                post(method, params);
            }
            "Page.frameNavigated" if params["frame"]["parentId"].is_null() => {
                self.change(|now| now.document = text(&params["frame"]["loaderId"]));
            }
            // `true` also lets a page be left that would rather not be.
            "Page.javascriptDialogOpening" => post("Page.handleJavaScriptDialog", json!({ "accept": true })),
            "Inspector.targetCrashed" => {
                self.change(|now| now.dead = Some("its tab crashed".to_owned()));
            }
            "Inspector.detached" => {
                self.change(|now| {
                    now.dead.get_or_insert_with(|| "its tab was closed".to_owned());
                });
            }
            _ => {}
        }
    }
}

/// What the head of a document's answer leads to. A redirect is judged by the request that follows from it.
fn judge_answer(url: &Url, params: &Value) -> Option<Outcome> {
    let header = |wanted: &str| {
        let headers = params["responseHeaders"].as_array()?;
        let found = headers.iter().find(|header| {
            header["name"]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        })?;
        found["value"].as_str()
    };
    let status = params["responseStatusCode"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(0);
    if matches!(status, 301 | 302 | 303 | 307 | 308) && header("location").is_some() {
        return None;
    }
    let head = Head {
        status,
        retry_after: header("retry-after"),
        date: header("date"),
        content_type: header("content-type"),
    };
    status::refusal(&head, url, SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chromiums_errors_become_words() {
        assert_eq!(net_error("net::ERR_CONNECTION_REFUSED"), "connection refused");
        assert_eq!(net_error("something else"), "something else");
    }
}
