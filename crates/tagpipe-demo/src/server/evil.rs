//! Paths that mistreat their readers, for tests of a reader's defences. Nothing links to them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, StatusCode};
use futures_util::stream;
use tokio::sync::watch;

use super::site::Reply;
use crate::request_log::RequestKind;

/// Bytes of the huge body.
pub(super) const HUGE: usize = 200 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;
/// Invalid as UTF-8, although it says to be it.
const LATIN_1: &[u8] = b"<!DOCTYPE html><title>Pok\xe9mon</title><h1>Pok\xe9mon \xff\xfe</h1>";

/// Answers a path under `/evil/`.
pub(super) fn answer(path: &str, query: &str, stopping: &watch::Receiver<bool>) -> Reply {
    match path {
        "/evil/endless" => Reply::html(chunks(None, stopping.clone())),
        "/evil/huge" => huge(stopping.clone()),
        "/evil/loop" => redirect_loop(query),
        "/evil/elsewhere" => Reply::redirect(HeaderValue::from_static("http://localhost.invalid/pop-report")),
        "/evil/latin1" => Reply::html(Bytes::from_static(LATIN_1)),
        "/evil/slowloris" => Reply::html(drops(stopping.clone())),
        _ => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            Reply::new(RequestKind::Document, StatusCode::NOT_FOUND, html, "no such evil")
        }
    }
}

fn huge(stopping: watch::Receiver<bool>) -> Reply {
    let mut reply = Reply::html(chunks(Some(HUGE / CHUNK), stopping));
    reply.response.headers_mut().insert(CONTENT_LENGTH, HUGE.into());
    reply
}

/// Leads to itself, under an address that is new every time.
fn redirect_loop(query: &str) -> Reply {
    let turn: u64 = query
        .strip_prefix("n=")
        .and_then(|turn| turn.parse().ok())
        .unwrap_or(0);
    let next = format!("/evil/loop?n={}", turn.wrapping_add(1));
    Reply::redirect(HeaderValue::try_from(next).expect("digits are allowed in a header"))
}

/// So many chunks of text, or chunks until the site stops.
fn chunks(count: Option<usize>, stopping: watch::Receiver<bool>) -> Body {
    static TEXT: [u8; CHUNK] = [b'x'; CHUNK];
    let parts = stream::unfold((count, stopping), |(left, stopping)| async move {
        if left == Some(0) || *stopping.borrow() {
            return None;
        }
        let part = Ok::<_, std::convert::Infallible>(Bytes::from_static(&TEXT));
        Some((part, (left.map(|left| left - 1), stopping)))
    });
    Body::from_stream(parts)
}

/// A byte a second until the site stops.
fn drops(stopping: watch::Receiver<bool>) -> Body {
    let parts = stream::unfold(stopping, |mut stopping| async move {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = stopping.wait_for(|stop| *stop) => return None,
        }
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")),
            stopping,
        ))
    });
    Body::from_stream(parts)
}
