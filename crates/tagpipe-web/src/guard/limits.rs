//! How much one address may ask for.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::Problem;
use crate::state::App;

/// Requests a second that one address may make in the long run; as many more at once.
const REQUESTS_A_SECOND: NonZeroU32 = NonZeroU32::new(1000).expect("more than nothing");
/// Wrong tokens a minute; a few more at once.
const WRONG_TOKENS_A_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("more than nothing");

pub(crate) struct Limits {
    requests: DefaultKeyedRateLimiter<IpAddr>,
    wrong_tokens: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            requests: RateLimiter::keyed(Quota::per_second(REQUESTS_A_SECOND)),
            wrong_tokens: RateLimiter::keyed(Quota::per_minute(WRONG_TOKENS_A_MINUTE)),
            clock: DefaultClock::default(),
        }
    }
}

impl Limits {
    /// Counts a wrong token.
    ///
    /// # Errors
    /// The address has sent too many: in how many seconds it may send the next.
    pub(crate) fn wrong_token(&self, request: &Request) -> Result<(), u64> {
        self.check(&self.wrong_tokens, request)
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The address has made too many: in how many seconds it may make the next.
    fn request(&self, request: &Request) -> Result<(), u64> {
        self.check(&self.requests, request)
    }

    fn check(&self, limiter: &DefaultKeyedRateLimiter<IpAddr>, request: &Request) -> Result<(), u64> {
        let Some(ConnectInfo(address)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Ok(());
        };
        limiter.check_key(&address.ip()).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            wait.as_secs() + 1
        })
    }

    /// Forgets addresses that have been quiet.
    pub(crate) fn forget_quiet(&self) {
        self.requests.retain_recent();
        self.wrong_tokens.retain_recent();
    }
}

/// Refuses an address that asks for too much.
pub(crate) async fn limited(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    app.limits.request(&request).map_err(Problem::too_many)?;
    Ok(next.run(request).await)
}
