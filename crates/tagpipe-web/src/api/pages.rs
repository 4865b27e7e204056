//! Lists by the page.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

/// Rows on a page, if nobody asks for another number, and at most.
const ROWS: u32 = 50;
const ROWS_MAX: u32 = 500;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// Its rows.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; null at the end.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// Of one row more than are shown, if there are more.
    pub(crate) fn of(mut items: Vec<T>, limit: u32, place: impl Fn(&T) -> String) -> Page<T> {
        let shown = limit as usize;
        let has_more = items.len() > shown;
        items.truncate(shown);
        let next = items.last().filter(|_| has_more).map(place);
        Page { items, next }
    }
}

/// A page of a list that goes on by id.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// `next` of the page before.
    pub(crate) after: Option<i64>,
    /// Rows on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<u32>,
}

/// A page of a list with the newest first.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Before {
    /// `next` of the page before.
    pub(crate) before: Option<i64>,
    /// Rows on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<u32>,
}

/// The number of rows asked for, if it is within bounds.
pub(crate) fn rows(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(ROWS);
    match (1..=ROWS_MAX).contains(&limit) {
        true => Ok(limit),
        false => Err(Problem::wrong(format!(
            "`limit` is {limit}; it takes 1 to {ROWS_MAX}"
        ))),
    }
}
