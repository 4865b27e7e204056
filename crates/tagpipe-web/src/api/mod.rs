//! The REST API, below `/api/v1`. One file for each resource; each handler stands beside what it takes and gives.
//!
//! Lists come by the page: `{"items": […], "next": …}`, where `next` is what to send as `after` or `before` for the next page,
//! and null at the end. Errors are problem details. Whatever changes something takes a token with the scope `control`.

mod asked;
pub(crate) mod audit;
pub(crate) mod catalogue;
mod health;
mod jobs;
pub(crate) mod kept;
pub(crate) mod news;
mod orders;
pub(crate) mod pages;
mod reference;
pub(crate) mod runs;
pub(crate) mod schedules;
mod system;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::metrics;
use crate::state::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tagpipe",
        description = "The TAG population report as tagpipe has read it, and the service that reads it.\n\nLists come by the \
                       page: `next` is what to send as `after` or `before` for the next one, and null at the end. Errors are \
                       problem details (RFC 9457). Reading takes a token with the scope `read`, whatever changes something one \
                       with the scope `control`; a service without any token, which this machine alone can reach, takes none.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/")),
    modifiers(&Security),
    security(("token" = [])),
    tags(
        (name = "runs", description = "Runs: start, watch, steer"),
        (name = "orders", description = "Runs that are wanted, by schedules or people"),
        (name = "schedules", description = "When runs begin"),
        (name = "jobs", description = "Exports and backups"),
        (name = "catalogue", description = "Categories, years, sets, cards, certificates"),
        (name = "audit", description = "What happened, and why"),
        (name = "news", description = "What people are told, and whether it has reached them"),
        (name = "system", description = "The service itself"),
    )
)]
struct Description;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Made by `tagpipe token add NAME --scope read|control`."))
            .build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::one))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::stop))
        .routes(routes!(runs::runners))
        .routes(routes!(runs::frontier))
        .routes(routes!(runs::failed))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::events))
        .routes(routes!(runs::at_work))
        .routes(routes!(orders::list))
        .routes(routes!(orders::one, orders::cancel))
        .routes(routes!(schedules::list, schedules::add))
        .routes(routes!(schedules::preview))
        .routes(routes!(schedules::one, schedules::put, schedules::remove))
        .routes(routes!(jobs::list, jobs::order))
        .routes(routes!(jobs::one, jobs::cancel))
        .routes(routes!(catalogue::categories))
        .routes(routes!(catalogue::category))
        .routes(routes!(catalogue::years))
        .routes(routes!(catalogue::year))
        .routes(routes!(catalogue::sets))
        .routes(routes!(catalogue::set))
        .routes(routes!(catalogue::cards))
        .routes(routes!(catalogue::card))
        .routes(routes!(catalogue::grade_rows))
        .routes(routes!(catalogue::card_history))
        .routes(routes!(catalogue::set_history))
        .routes(routes!(catalogue::search))
        .routes(routes!(catalogue::certificate))
        .routes(routes!(catalogue::discrepancies))
        .routes(routes!(audit::list))
        .routes(routes!(audit::events))
        .routes(routes!(news::list))
        .routes(routes!(system::status))
        .routes(routes!(system::settings))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
}

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(|| described().into_openapi());

/// The contract, as OpenAPI 3.1.
#[must_use]
pub fn document() -> &'static utoipa::openapi::OpenApi {
    &DOCUMENT
}

pub(crate) fn router() -> Router<Arc<App>> {
    let (routes, _) = described().split_for_parts();
    routes
        .route("/api/v1/openapi.json", get(reference::openapi))
        .route("/api", get(reference::page))
        .route("/metrics", get(metrics::scraped))
        .route("/api/{*rest}", axum::routing::any(reference::nothing))
}
