//! `/login`.

use serde::Deserialize;

use crate::dashboard::answer::{Answered, Query, page as answer};
use crate::dashboard::views::LoginPage;

/// What may stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Where to go afterwards.
    next: String,
}

/// `GET /login`.
pub(crate) async fn page(Query(asked): Query<Asked>) -> Answered {
    answer(&LoginPage {
        next: ours(&asked.next),
        fault: None,
    })
}

/// `place` if it is a path of this service; otherwise the overview. What a browser takes for another host begins with two
/// slashes of either kind.
pub(crate) fn ours(place: &str) -> String {
    let is_path = place.starts_with('/') && !place[1..].starts_with(['/', '\\']);
    let is_plain = !place.contains(|character: char| character.is_control() || character == '\\');
    if is_path && is_plain {
        place.to_owned()
    } else {
        "/".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_nowhere_else() {
        for (place, taken) in [
            ("/runs/3?done=paused", "/runs/3?done=paused"),
            ("", "/"),
            ("//other.example", "/"),
            ("/\\other.example", "/"),
            ("https://other.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
        ] {
            assert_eq!(ours(place), taken);
        }
    }
}
