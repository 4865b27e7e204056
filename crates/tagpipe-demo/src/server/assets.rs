//! What pages refer to: the app, images, a font, a tracker. A polite reader fetches the app at most.

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};

use super::site::Reply;
use crate::app::MAIN_JS;
use crate::request_log::RequestKind;

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const WOFF2: HeaderValue = HeaderValue::from_static("font/woff2");

/// Not a real font: it exists to be asked for, and browsers fall back to the next one.
const FONT: &[u8] = b"wOF2\0\0\0\0";
const TRACKER: &str = "/* Stands for a tracker: whoever fetches this would be counted. */\n";
const CAPTCHA: &str = "<!DOCTYPE html><title>challenge</title><p>I am not a robot</p>";

/// Answers a path under `/static/`.
pub(super) fn answer(path: &str) -> Reply {
    let mut reply = match path {
        "/static/js/main.js" => asset(JAVASCRIPT, MAIN_JS),
        "/static/tracker.js" => asset(JAVASCRIPT, TRACKER),
        "/static/font/report-sans.woff2" => asset(WOFF2, FONT),
        "/static/captcha.html" => asset(HTML, CAPTCHA),
        "/static/favicon.svg" => asset(SVG, picture(7)),
        _ => match picture_number(path) {
            Some(number) => asset(SVG, picture(number)),
            None => Reply::new(RequestKind::Asset, StatusCode::NOT_FOUND, HTML, "not found"),
        },
    };
    let headers = reply.response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    reply
}

fn asset(content_type: HeaderValue, body: impl Into<axum::body::Body>) -> Reply {
    Reply::new(RequestKind::Asset, StatusCode::OK, content_type, body)
}

fn picture_number(path: &str) -> Option<u32> {
    path.strip_prefix("/static/img/")?
        .strip_suffix(".svg")?
        .parse()
        .ok()
}

/// A card on a coloured ground, another hue for each number.
fn picture(number: u32) -> String {
    let hue = number.wrapping_mul(47) % 360;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 200 110\">\
         <rect width=\"200\" height=\"110\" fill=\"hsl({hue},45%,35%)\"/>\
         <rect x=\"72\" y=\"15\" width=\"56\" height=\"80\" rx=\"5\" fill=\"hsl({hue},50%,88%)\"/>\
         <circle cx=\"100\" cy=\"48\" r=\"17\" fill=\"hsl({hue},45%,55%)\"/>\
         <rect x=\"82\" y=\"76\" width=\"36\" height=\"6\" fill=\"hsl({hue},45%,55%)\"/></svg>"
    )
}
