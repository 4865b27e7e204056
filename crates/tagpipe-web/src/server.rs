//! The network: address, TLS, and stopping in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tagpipe_engine::{Shutdown, StopRequest};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::csrf::CsrfLayer;
use url::Url;

use crate::guard::{authenticate, limited, secured};
use crate::problem::Problem;
use crate::state::App;
use crate::{api, dashboard, metrics};

/// The longest body that is read, in bytes: what people send are options and names.
const BODY_MAX: usize = 64 * 1024;
/// How long answers under way have when the service stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often addresses that have been quiet are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Address and port to listen on; port 0 for a free one.
    pub listen: SocketAddr,
    /// A token that allows everything, beside those in the database.
    pub api_token: Option<String>,
    /// Certificate and key; without them, HTTP.
    pub tls: Option<TlsFiles>,
    /// The site's origin, for links to it.
    pub site: Option<Url>,
}

/// Certificate chain and private key, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why it cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use `{}` and `{}` for TLS: {source}", .files.certificate.display(), .files.key.display())]
    Tls {
        /// The files.
        files: TlsFiles,
        /// Why.
        source: std::io::Error,
    },
    /// Everybody could control it.
    #[error(
        "{0} can be reached from other machines, and there is no token; make one with `tagpipe token add NAME --scope control`, \
         or set `TAGPIPE_API_TOKEN`, or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The database.
    #[error(transparent)]
    Store(#[from] tagpipe_store::StoreError),
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The address, with the port that was free.
    pub address: SocketAddr,
    /// For a browser on this machine.
    pub url: String,
}

/// Everything that answers requests.
pub fn router(app: &Arc<App>) -> Router {
    let compressed = SizeAbove::new(1024).and(NotForContentType::new("text/event-stream"));
    Router::new()
        .merge(api::router())
        .merge(dashboard::router())
        .fallback(dashboard::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(app), authenticate))
        .layer(CsrfLayer::new().with_rejection_response(|_| {
            Problem::new(StatusCode::FORBIDDEN, "another site's page may not ask for this").into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(app), limited))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(middleware::from_fn(secured))
        .layer(middleware::from_fn_with_state(Arc::clone(app), metrics::counted))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(Arc::clone(app))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request failed; this is a fault of tagpipe",
    )
    .into_response()
}

/// Listens and answers until `shutdown` is asked for; `listening` is told where.
///
/// # Errors
/// [`ServeError`] says why it cannot listen.
pub async fn serve(
    app: Arc<App>,
    settings: &WebSettings,
    shutdown: &Shutdown,
    listening: impl FnOnce(&Served),
) -> Result<(), ServeError> {
    if !settings.listen.ip().is_loopback() && !app.guard.has_token().await? {
        return Err(ServeError::NoToken(settings.listen));
    }
    let address = settings.listen;
    let failed = |source| ServeError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let host = match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    };
    let handle = Handle::new();
    let service = router(&app).into_make_service_with_connect_info::<SocketAddr>();
    let stopping = stop_when_asked(handle.clone(), Arc::clone(&app), shutdown.clone());
    let forgetting = tokio::spawn(forget_quiet(Arc::clone(&app)));
    let served = Served {
        address,
        url: format!("{scheme}://{host}/"),
    };
    let ended = match &settings.tls {
        Some(files) => {
            let unusable = |source| ServeError::Tls {
                files: files.clone(),
                source,
            };
            let config = RustlsConfig::from_pem_file(&files.certificate, &files.key)
                .await
                .map_err(unusable)?;
            listening(&served);
            let server = axum_server::from_tcp_rustls(listener, config).map_err(failed)?;
            let stopping = tokio::spawn(stopping);
            let ended = server.handle(handle).serve(service).await;
            stopping.abort();
            ended
        }
        None => {
            listening(&served);
            let server = axum_server::from_tcp(listener).map_err(failed)?;
            let stopping = tokio::spawn(stopping);
            let ended = server.handle(handle).serve(service).await;
            stopping.abort();
            ended
        }
    };
    forgetting.abort();
    ended.map_err(failed)
}

/// Streams have no end of their own: they are ended first.
async fn stop_when_asked(handle: Handle<SocketAddr>, app: Arc<App>, shutdown: Shutdown) {
    shutdown.wait_for(StopRequest::Graceful).await;
    app.streams.end();
    handle.graceful_shutdown(Some(STOP_WITHIN));
}

async fn forget_quiet(app: Arc<App>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        app.limits.forget_quiet();
    }
}
