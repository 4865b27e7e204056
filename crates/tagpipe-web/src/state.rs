//! What all handlers share.

use std::sync::Arc;

use tagpipe_engine::Service;
use tagpipe_store::Store;
use url::Url;

use crate::guard::{Guard, Limits};
use crate::metrics::Metrics;
use crate::server::WebSettings;
use crate::streams::Streams;

/// What all handlers share.
pub struct App {
    /// Acts.
    pub(crate) service: Arc<Service>,
    pub(crate) guard: Guard,
    pub(crate) limits: Limits,
    pub(crate) streams: Streams,
    pub(crate) metrics: Metrics,
    /// The site's origin, for links to it.
    pub(crate) site: Option<Url>,
    /// Whether cookies may only travel encrypted.
    pub(crate) is_encrypted: bool,
}

impl App {
    /// Of a service and the settings of its HTTP side.
    #[must_use]
    pub fn new(service: Arc<Service>, settings: &WebSettings) -> Arc<App> {
        let store = service.store().clone();
        Arc::new(App {
            guard: Guard::new(
                store,
                settings.api_token.as_deref(),
                settings.listen.ip().is_loopback(),
            ),
            limits: Limits::default(),
            streams: Streams::default(),
            metrics: Metrics::default(),
            site: settings.site.clone(),
            is_encrypted: settings.tls.is_some(),
            service,
        })
    }

    /// Reads.
    pub(crate) fn store(&self) -> &Store {
        self.service.store()
    }
}
