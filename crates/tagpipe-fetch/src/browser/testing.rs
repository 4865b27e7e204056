//! A visitor for tests: opens pages in a real Chromium, reads, clicks and types as a person would, and remembers what
//! must not happen: errors on the console, requests to other hosts, dialogs.
//!
//! It shares process and pipe with the reading of the site, and none of its restrictions: what a page asks for is
//! loaded. Everything here panics instead of returning errors: a test whose browser does not work has failed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;

use super::BrowserSettings;
use super::connection::{CommandError, Connection, Listener};
use super::process::Process;

/// Nothing that a test waits for takes longer, also on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a page.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// CSS pixels.
const HEIGHT: u32 = 900;

/// Narrower windows are those of telephones.
const PHONE_BELOW: u32 = 600;

/// Finds the one visible element of a selector, brings it into sight and tells its middle, if nothing covers it.
const MIDDLE: &str = r#"(selector) => {
    const all = [...document.querySelectorAll(selector)].filter((one) => one.getClientRects().length);
    if (all.length === 0) return "no such element";
    const element = all[0];
    element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const box = element.getClientRects()[0];
    const x = box.left + box.width / 2;
    const y = box.top + box.height / 2;
    const top = document.elementFromPoint(x, y);
    if (!element.contains(top) && !top?.contains(element)) return `covered by ${top?.outerHTML.slice(0, 200)}`;
    return { x, y };
}"#;

/// A Chromium, found as for the reading of the site. It ends when it is dropped.
pub struct Browser {
    process: Arc<Process>,
}

/// One open page.
pub struct Page {
    process: Arc<Process>,
    session: String,
    seen: Arc<Seen>,
}

/// What happened in a page since it was opened or [`Page::forget`] was called.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// Errors on the console, uncaught ones, what failed to load, and what the security policy forbade.
    pub errors: Vec<String>,
    /// Hosts with their ports of all requests over a network.
    pub hosts: BTreeSet<String>,
    /// Texts of the dialogs that opened; each was dismissed.
    pub dialogs: Vec<String>,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no Chromium or it does not start.
    pub async fn start() -> Browser {
        let settings = BrowserSettings {
            executable: None,
            tabs: 1,
            user_agent: "tagpipe-tests".to_owned(),
            timeout: PATIENCE,
            settle: Duration::ZERO,
            max_bytes: u64::MAX,
            block: Vec::new(),
            rules: std::collections::HashMap::new(),
            recycle_after_pages: u32::MAX,
            recycle_after_age: Duration::MAX,
            recycle_above_bytes: u64::MAX,
        };
        let process = Process::start(&settings).await.expect("a Chromium");
        Browser {
            process: Arc::new(process),
        }
    }

    /// Opens `url` in a window of this width in CSS pixels, for a viewer who prefers dark colours or light ones and no
    /// motion.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open(&self, url: &str, width: u32, dark: bool) -> Page {
        let connection = &self.process.connection;
        let created = connection
            .call(
                None,
                "Target.createTarget",
                json!({ "url": "about:blank", "newWindow": true }),
            )
            .await
            .expect("a tab");
        let attached = connection
            .call(
                None,
                "Target.attachToTarget",
                json!({ "targetId": created["targetId"], "flatten": true }),
            )
            .await
            .expect("a session");
        let session = attached["sessionId"].as_str().expect("its name").to_owned();
        let seen = Arc::new(Seen {
            session: session.clone(),
            sightings: Mutex::default(),
        });
        connection.listen(&session, Arc::clone(&seen) as Arc<dyn Listener>);
        let page = Page {
            process: Arc::clone(&self.process),
            session,
            seen,
        };
        for method in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            page.call(method, json!({})).await;
        }
        page.resize(width).await;
        page.prefer(dark).await;
        page.go(url).await;
        page
    }

    /// Ends it and waits until nothing of it is left.
    pub async fn close(self) {
        self.process.close().await;
    }
}

impl Page {
    /// Goes to `url` and waits until its document is there and its scripts have begun.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn go(&self, url: &str) {
        // The old document must not be taken for the new one.
        self.try_evaluate("window.__left = true").await;
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert_eq!(answer["errorText"], Value::Null, "{url}");
        self.wait_for("!window.__left && document.readyState === 'complete'")
            .await;
    }

    /// Makes its window this wide, in CSS pixels.
    pub async fn resize(&self, width: u32) {
        let metrics = json!({
            "width": width,
            "height": HEIGHT,
            "deviceScaleFactor": 1,
            "mobile": width < PHONE_BELOW,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Prefers dark colours or light ones, and no motion.
    pub async fn prefer(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }))
            .await;
    }

    /// The value of `expression` in the page, awaited if it is a promise.
    ///
    /// # Panics
    /// When it throws, or the page goes away meanwhile.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.try_evaluate(expression)
            .await
            .unwrap_or_else(|| panic!("the page went away from `{expression}`"))
    }

    /// Waits until `condition` is true in whichever document the page then shows.
    ///
    /// # Panics
    /// When it does not become so in time, with what the page shows.
    pub async fn wait_for(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        let question = format!("Boolean({condition})");
        while self.try_evaluate(&question).await != Some(Value::Bool(true)) {
            if Instant::now() > deadline {
                let shown = self
                    .try_evaluate("location.href + '\\n' + document.body?.innerText")
                    .await;
                let shown = shown.as_ref().and_then(Value::as_str).unwrap_or_default();
                panic!("waited in vain for `{condition}`; the page shows\n{shown}");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Clicks into the middle of the first visible element that `selector` matches.
    ///
    /// # Panics
    /// When there is none, or another element covers it.
    pub async fn click(&self, selector: &str) {
        let middle = self.evaluate(&format!("({MIDDLE})({})", json!(selector))).await;
        assert!(middle.is_object(), "`{selector}`: {middle}");
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({
                "type": kind,
                "x": middle["x"],
                "y": middle["y"],
                "button": "left",
                "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", params).await;
        }
    }

    /// Types `text` at the end of the field that `selector` matches.
    ///
    /// # Panics
    /// As [`Page::click`].
    pub async fn type_text(&self, selector: &str, text: &str) {
        self.click(selector).await;
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses and releases a key that writes nothing, such as `Tab`, or Enter.
    pub async fn press(&self, key: &str) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let code = match key {
                "Enter" => 13,
                "Tab" => 9,
                _ => 0,
            };
            let mut params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", params).await;
        }
    }

    /// Writes a picture of the whole page, as PNG.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub async fn screenshot(&self, path: &Path) {
        let metrics = self.call("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let params = json!({
            "format": "png",
            "captureBeyondViewport": true,
            "clip": { "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 },
        });
        let taken = self.call("Page.captureScreenshot", params).await;
        let bytes = BASE64
            .decode(taken["data"].as_str().expect("a picture"))
            .expect("base64");
        std::fs::write(path, bytes).expect("the picture is written");
    }

    /// What has happened so far.
    #[must_use]
    pub fn sightings(&self) -> Sightings {
        self.seen.sightings().clone()
    }

    /// Forgets what has happened so far.
    pub fn forget(&self) {
        *self.seen.sightings() = Sightings::default();
    }

    async fn call(&self, method: &'static str, params: Value) -> Value {
        let answer = self
            .process
            .connection
            .call(Some(&self.session), method, params)
            .await;
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// `None` when the page goes away under it.
    async fn try_evaluate(&self, expression: &str) -> Option<Value> {
        let params = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let connection = &self.process.connection;
        match connection
            .call(Some(&self.session), "Runtime.evaluate", params)
            .await
        {
            Ok(answer) => {
                let thrown = &answer["exceptionDetails"];
                assert!(thrown.is_null(), "`{expression}` throws {thrown}");
                Some(answer["result"]["value"].clone())
            }
            Err(CommandError::Refused { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.process.connection.forget(&self.session);
        let connection = &self.process.connection;
        connection.post(Some(&self.session), "Page.close", &json!({}));
    }
}

/// Hears what happens in a page.
struct Seen {
    session: String,
    sightings: Mutex<Sightings>,
}

impl Seen {
    fn sightings(&self) -> MutexGuard<'_, Sightings> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, text: String) {
        self.sightings().errors.push(text);
    }
}

impl Listener for Seen {
    fn on_event(&self, connection: &Connection, method: &str, params: &Value) {
        match method {
            "Runtime.consoleAPICalled" if ["error", "assert"].iter().any(|kind| params["type"] == *kind) => {
                self.error(params["args"].to_string());
            }
            "Runtime.exceptionThrown" => self.error(params["exceptionDetails"].to_string()),
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.error(params["entry"].to_string());
            }
            "Network.requestWillBeSent" => {
                let url = Url::parse(params["request"]["url"].as_str().unwrap_or_default());
                if let Ok(url) = url
                    && let Some(host) = url.host_str()
                {
                    let port = url.port_or_known_default().unwrap_or_default();
                    self.sightings().hosts.insert(format!("{host}:{port}"));
                }
            }
            "Page.javascriptDialogOpening" => {
                let text = params["message"].as_str().unwrap_or_default().to_owned();
                self.sightings().dialogs.push(text);
                let answer = json!({ "accept": false });
                connection.post(Some(&self.session), "Page.handleJavaScriptDialog", &answer);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_must_not_happen_is_seen() {
        let browser = Browser::start().await;
        let page = browser
            .open("data:text/html,<title>Calm</title>", 390, true)
            .await;
        let calm = page.sightings();
        assert!(calm.errors.is_empty() && calm.dialogs.is_empty() && calm.hosts.is_empty());
        // Nobody listens on port 1.
        let noisy = "data:text/html,<script>console.error('said'); alert('opened'); \
                     fetch('http://127.0.0.1:1/').catch(() => { throw new Error('thrown') })</script>";
        page.go(noisy).await;
        let deadline = Instant::now() + PATIENCE;
        while page.sightings().errors.len() < 3 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let seen = page.sightings();
        for word in ["said", "thrown", "ERR_"] {
            assert!(seen.errors.iter().any(|error| error.contains(word)), "{seen:#?}");
        }
        assert_eq!(seen.dialogs, ["opened"]);
        assert_eq!(seen.hosts, BTreeSet::from(["127.0.0.1:1".to_owned()]));
        browser.close().await;
    }
}
