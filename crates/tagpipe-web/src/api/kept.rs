//! Answers that whoever asked may keep, and ask whether they still hold.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// `value` as JSON with an `ETag`; 304 where `headers` name it.
pub(crate) fn kept(headers: &HeaderMap, value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be written",
        )
    })?;
    let digest = Sha256::digest(&body);
    let tag: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    // Weak: compression changes the bytes.
    let tag = format!("W/\"{tag}\"");
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == tag || known.trim() == "*");
    let keeping = [
        (
            header::ETAG,
            HeaderValue::from_str(&tag).expect("hexadecimal digits are a header's"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=5, must-revalidate"),
        ),
    ];
    Ok(if is_known {
        (StatusCode::NOT_MODIFIED, keeping).into_response()
    } else {
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        (keeping, json, body).into_response()
    })
}
