//! Who may do what: tokens and their scopes, the browser's own protection, limits, and headers that every answer bears.

mod headers;
mod identity;
mod limits;

pub(crate) use headers::secured;
pub(crate) use identity::{COOKIE, Guard, authenticate, hashed};
pub use identity::{Controller, Identity, Reader};
pub(crate) use limits::{Limits, limited};
