//! A service that answers without a network, and what is in its database.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use tagpipe_core::policy::RetryPolicy;
use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, DemoSite, Faults};
use tagpipe_engine::{
    Config, EffectiveSetting, Errand, Examined, FetchMode, Launcher, OrderError, Pipeline, PlannedJob,
    RunOptions, RunSettings, Service, Shutdown, Start,
};
use tagpipe_store::{JobKind, Scope, Store};
use tagpipe_web::{App, WebSettings, router, token_hash};
use tempfile::TempDir;
use tower::ServiceExt;

/// A service.
pub(crate) struct Rig {
    pub(crate) store: Store,
    router: Router,
    _folder: TempDir,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

/// A program that starts nothing.
struct NoProgram;

#[async_trait]
impl Launcher for NoProgram {
    fn check(&self, options: &RunOptions) -> Result<(), String> {
        match options.get("year_filter") {
            Some("19x6") => Err("`year_filter`: `19x6` is no year".into()),
            _ => Ok(()),
        }
    }

    fn command(&self, _: &Errand<'_>) -> Result<Command, String> {
        Err("there is no program".into())
    }

    async fn check_job(&self, _: &Store, _: JobKind, options: &RunOptions) -> Result<(), OrderError> {
        match options.get("name") {
            Some("../etc/passwd") => Err(OrderError::WrongOptions(
                "`name`: `../etc/passwd` is no name of a file".into(),
            )),
            _ => Ok(()),
        }
    }

    fn job_command(&self, _: JobKind, _: &RunOptions) -> Result<Command, String> {
        Err("there is no program".into())
    }

    fn planned_jobs(&self) -> Vec<PlannedJob> {
        Vec::new()
    }

    fn settings(&self) -> Vec<EffectiveSetting> {
        vec![EffectiveSetting {
            key: "delay".into(),
            value: Some("1.0".into()),
            origin: "default".into(),
        }]
    }

    async fn examine(&self) -> Vec<Examined> {
        vec![Examined {
            check: "browser".into(),
            state: "error".into(),
            finding: "no Chromium was found".into(),
            remedy: "install one".into(),
        }]
    }
}

impl Rig {
    /// A service over what a demo site has.
    pub(crate) async fn new() -> Rig {
        Rig::over(Faults::default()).await
    }

    /// A service over what was read of a demo site with these faults, each page once.
    pub(crate) async fn over(faults: Faults) -> Rig {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = DemoConfig {
            pages: 60,
            hostile: true,
            faults,
            ..DemoConfig::default()
        };
        let site = DemoSite::start(config, any, any).await.expect("a demo site");
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite:{}", folder.path().join("web.db").display());
        let origin = site.site_url().parse().expect("an address");
        let defaults = Config::for_profile(SiteProfile::builtin().with_origin(origin));
        let config = Config {
            database: database.parse().expect("an address"),
            fetch: FetchMode::Http,
            run: RunSettings {
                delay: Duration::ZERO,
                retry: RetryPolicy {
                    max_retries: 0,
                    ..defaults.run.retry
                },
                ..defaults.run
            },
            ..defaults
        };
        let mut pipeline = Pipeline::open(config).await.expect("it opens");
        pipeline
            .run(Start::New, &Shutdown::default())
            .await
            .expect("it runs");
        pipeline.close().await;
        let store = Store::open(&database.parse().expect("an address"), true)
            .await
            .expect("it opens");
        let settings = WebSettings {
            listen: any,
            api_token: None,
            tls: None,
            site: Some(site.site_url().parse().expect("an address")),
        };
        site.stop().await;
        let app = App::new(Service::new(store.clone(), Arc::new(NoProgram)), &settings);
        Rig {
            store,
            router: router(&app),
            _folder: folder,
        }
    }

    /// Makes a token whose secret is its name.
    pub(crate) async fn add_token(&self, name: &str, scope: Scope) {
        let made = self.store.add_token(name, scope, &token_hash(name)).await;
        assert!(made.expect("stored"), "{name} was there");
        // The guard takes what it knows of tokens for true for two seconds.
        tokio::time::sleep(Duration::from_millis(2_100)).await;
    }

    /// What a browser gets that asks for `path`, with this cookie.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.ask("GET", path, token, String::new()).await
    }

    /// What a browser gets that sends a form.
    pub(crate) async fn post(&self, path: &str, token: Option<&str>, form: &str) -> Answer {
        self.ask("POST", path, token, form.to_owned()).await
    }

    /// The cookie of somebody who signs in through a proxy that speaks `protocol` with the browser.
    pub(crate) async fn cookie_behind_proxy(&self, protocol: &str, token: &str) -> String {
        let request = Request::post("/actions/login")
            .header(header::HOST, "127.0.0.1")
            .header("x-forwarded-proto", protocol)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(format!("token={token}")))
            .expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("an answer");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("a text");
        cookie.to_owned()
    }

    async fn ask(&self, method: &str, path: &str, token: Option<&str>, form: String) -> Answer {
        let answer = self.begin(method, path, token, form).await;
        let (parts, body) = answer.into_parts();
        let bytes = to_bytes(body, 4 << 20).await.expect("a body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("text"),
        }
    }

    /// The answer with its body still to be read.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        form: String,
    ) -> axum::response::Response {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT, "text/html");
        if let Some(token) = token {
            request = request.header(header::COOKIE, format!("tagpipe_token={token}"));
        }
        if method == "POST" {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Body::from(form)).expect("a request");
        self.router.clone().oneshot(request).await.expect("an answer")
    }
}
