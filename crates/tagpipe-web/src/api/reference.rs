//! The contract as JSON, and as a page to read.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use utoipa::openapi::OpenApi;

use crate::dashboard::views::Frame;
use crate::problem::Problem;

pub(super) async fn openapi() -> Response {
    match super::document().to_json() {
        Ok(json) => (
            [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "public, max-age=300"),
            ],
            json,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the contract could not be written");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the contract could not be written",
            )
            .into_response()
        }
    }
}

pub(super) async fn nothing() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is no such address; `/api` lists those there are",
    )
}

/// The reference.
#[derive(Template)]
#[template(path = "reference.html")]
struct Reference {
    frame: Frame,
    version: String,
    groups: Vec<Group>,
}

/// What belongs together.
struct Group {
    name: String,
    description: String,
    operations: Vec<Operation>,
}

/// One way to ask.
struct Operation {
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Parameter>,
    /// Fields of the body, if it takes one.
    body: Vec<Parameter>,
    answers: Vec<(String, String)>,
    takes_control: bool,
}

struct Parameter {
    name: String,
    place: String,
    kind: String,
    description: String,
    is_required: bool,
}

pub(super) async fn page() -> Response {
    match reference(super::document()).and_then(|page| Ok(page.render()?)) {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "the reference could not be written");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the reference could not be written",
            )
            .into_response()
        }
    }
}

/// Reads the contract's own JSON, so that the page says what programs are told.
fn reference(document: &OpenApi) -> Result<Reference, Box<dyn std::error::Error + Send + Sync>> {
    let document = serde_json::to_value(document)?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let empty = serde_json::Map::new();
    let tags = document["tags"].as_array().cloned().unwrap_or_default();
    let mut groups: Vec<Group> = tags
        .iter()
        .map(|tag| Group {
            name: text(&tag["name"]),
            description: text(&tag["description"]),
            operations: Vec::new(),
        })
        .collect();
    for (path, item) in document["paths"].as_object().unwrap_or(&empty) {
        for (method, operation) in item.as_object().unwrap_or(&empty) {
            let Some(group) = groups
                .iter_mut()
                .find(|group| operation["tags"][0] == group.name.as_str())
            else {
                continue;
            };
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            group.operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                summary: text(&operation["summary"]),
                description: text(&operation["description"]),
                parameters: parameters
                    .iter()
                    .map(|parameter| Parameter {
                        name: text(&parameter["name"]),
                        place: text(&parameter["in"]),
                        kind: kind_of(&parameter["schema"]),
                        description: text(&parameter["description"]),
                        is_required: parameter["required"] == true,
                    })
                    .collect(),
                body: fields_of(&document, schema),
                answers: operation["responses"]
                    .as_object()
                    .unwrap_or(&empty)
                    .iter()
                    .map(|(status, answer)| (status.clone(), text(&answer["description"])))
                    .collect(),
                takes_control: method != "get",
            });
        }
    }
    Ok(Reference {
        frame: Frame {
            title: "API reference".to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            reference: "/api",
            ..Frame::default()
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        groups,
    })
}

fn fields_of(document: &serde_json::Value, schema: &serde_json::Value) -> Vec<Parameter> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => {
            &document["components"]["schemas"][reference.rsplit('/').next().unwrap_or_default()]
        }
        None => schema,
    };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, field)| Parameter {
            name: name.clone(),
            place: "body".to_owned(),
            kind: kind_of(field),
            description: field["description"].as_str().unwrap_or_default().to_owned(),
            is_required: required.iter().any(|one| one == name.as_str()),
        })
        .collect()
}

fn kind_of(schema: &serde_json::Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    match &schema["type"] {
        serde_json::Value::Array(kinds) => kinds
            .iter()
            .filter_map(|kind| kind.as_str())
            .filter(|kind| *kind != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        kind => kind.as_str().unwrap_or_default().to_owned(),
    }
}
