//! A witness of the frontier: triggers of the database write down every change of a page, whoever made it, and a
//! small model says whether such a history can be.
//!
//! The witness knows nothing of the program's words about itself: it sees what is stored, in the order in which the
//! row's lock lets it be. The model knows the life of a page as `tagpipe_core::lifecycle` draws it and the promise of
//! a lease; it sees one page after the other, so that the order between pages does not matter.

mod model;
mod witness;

pub(crate) use model::{Change, Image, Witnessed, check};
pub(crate) use witness::{install, witnessed};
