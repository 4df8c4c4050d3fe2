//! The description of the API: OpenAPI 3.1, made by the code that answers.
//!
//! To describe a new route:
//! 1. add an [`Operation`] to [`operations::all`], in the order of `routes.rs`: method, path below
//!    `/api/v1`, tag, id (a verb and what it is done to), one line of summary, and what it needs;
//! 2. name its query parameters (`.query`), its body (`.body`) and its good answer (`.ok`). Refusals come
//!    by themselves: what every route may say, and what follows from the account, a body, a query and the
//!    rights; say those that are its own with `.refuses`;
//! 3. give the shapes of body and answer to [`schemas::all`], each with an example.
//!
//! `admin::tests::openapi` fails for a route without a description, for a description without a route,
//! and where an example is not taken by the parser. Deliberately absent: a macro over the handlers. What
//! they take is judged by parsers that report every error at once, so there is no type that a macro could
//! read it from; bounds and words come from where those parsers have them.

#![expect(clippy::indexing_slicing, reason = "what is written to is an object made right here")]

mod links;
mod operations;
mod schemas;

use std::sync::LazyLock;

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use operations::{BODY_REFUSALS, Needs, Operation};
#[cfg(test)]
pub use schemas::CODES;

pub const BASE: &str = "/api/v1";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// Needs no token: it says nothing that the source does not, and people read it before they have one.
pub async fn document_json() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT.as_str()).into_response()
}

const ABOUT: &str = "Postrider delivers events as signed webhooks. This API configures where they go and \
shows what became of them.\n\nTimes are RFC 3339 in UTC with milliseconds. Lists give `items` and `next`; \
send `next` back as `cursor` to go on, until it is null; a page may be short, even empty, and still have a \
`next`. Refusals are problem bodies (RFC 9457) with a stable `code`; a 422 names each field that is wrong. \
What belongs to another account answers 404. A POST may carry an `Idempotency-Key`: sent again with it \
within 24 hours, it is answered again and not done again.";

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations::all() {
        let path = paths.entry(format!("{BASE}{}", operation.path)).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_ascii_lowercase(), describe(&operation));
        }
    }
    let tags: Vec<Value> = operations::TAGS
        .iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postrider",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http", "scheme": "bearer",
                "description": "A token of the account (`prt_…`), or the operator's.",
            }},
            "schemas": schemas::all(),
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = path_names(operation.path).map(path_parameter).collect();
    parameters.extend(operation.query.iter().map(|name| query_parameter(name)));
    parameters.extend(operation.headers.iter().map(|name| header_parameter(name)));
    let about = [operation.about, operation.needs.words()].join("\n\n");
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": about.trim(),
        "parameters": parameters,
        "responses": responses(operation),
    });
    let Some(members) = described.as_object_mut() else { return described };
    if operation.needs == Needs::Nothing {
        members.insert("security".to_owned(), json!([]));
    }
    if let Some((schema, required)) = operation.body {
        let content = if operation.method == "PATCH" {
            json!({"application/merge-patch+json": {"schema": reference(schema)},
                   "application/json": {"schema": reference(schema)}})
        } else {
            json!({"application/json": {"schema": reference(schema)}})
        };
        members.insert("requestBody".to_owned(), json!({"required": required, "content": content}));
    }
    described
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, about, schema) in &operation.answers {
        let mut answer = json!({"description": about, "headers": {}});
        if let Some(media) = schema.media() {
            answer["content"] = media;
        }
        let names = operation.answer_headers.iter().filter(|name| **name != "Location" || *status == 201);
        for name in names {
            answer["headers"][*name] = answer_header(name);
        }
        if let Some(links) = links::of(operation.id, *status) {
            answer["links"] = links;
        }
        responses.insert(status.to_string(), answer);
    }
    for (status, about) in refusals(operation) {
        let mut answer = json!({
            "description": about,
            "content": {"application/problem+json": {"schema": reference("Problem")}},
        });
        match status {
            401 => answer["headers"] = json!({"WWW-Authenticate": answer_header("WWW-Authenticate")}),
            429 | 503 => answer["headers"] = json!({"Retry-After": answer_header("Retry-After")}),
            _ => {}
        }
        responses.insert(status.to_string(), answer);
    }
    Value::Object(responses)
}

/// What it may refuse, and why.
fn refusals(operation: &Operation) -> Vec<(u16, &'static str)> {
    let mut all = vec![
        (408, "The request took too long."),
        (500, "The engine failed at it; its log says why."),
        (
            503,
            "The engine cannot take this now: its queue is full, its disk is below the reserve, or it stops.",
        ),
        (429, "Too many requests of this token, or too many streams of this account."),
    ];
    if operation.needs != Needs::Nothing {
        all.push((401, "There is no valid token."));
    }
    if !matches!(operation.needs, Needs::Nothing | Needs::Token) {
        all.push((403, "The role, the licence or the feature flag does not allow it."));
    }
    if operation.path.contains('{') {
        all.push((404, "There is no such thing, or it is another account's."));
    }
    if operation.body.is_some() || operation.method == "POST" {
        all.extend(BODY_REFUSALS);
    } else if !operation.query.is_empty() {
        all.push((422, "A parameter is not valid."));
    }
    if operation.method == "POST" {
        all.push((409, "A bound is reached, or a request with this Idempotency-Key is being worked on."));
    }
    if operation.headers.contains(&"If-Match") {
        all.push((412, "The thing has another version than `If-Match` names."));
    }
    if operation.method != "GET" {
        all.push((507, "The registry is full."));
    }
    all.extend(operation.refusals.iter().copied());
    all
}

fn path_parameter(name: &str) -> Value {
    let (about, schema) = match name {
        "account" => (
            "The account, as its events name it.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "examples": ["acme"]}),
        ),
        "subscription" => ("A subscription's id.", json!({"type": "string", "examples": ["sub_01"]})),
        "event" => (
            "An event's id.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "examples": ["evt-000123"]}),
        ),
        "job" => ("A job's id.", json!({"type": "string", "examples": ["job_01"]})),
        "token" => ("A token's id.", json!({"type": "string", "examples": ["tok_01"]})),
        "flag" => ("A feature flag.", json!({"type": "string", "enum": crate::registry::FLAGS})),
        "type" => (
            "An event type: its id, its name or an alias.",
            json!({"type": "string", "examples": ["device.registered"]}),
        ),
        _ => ("", json!({"type": "string"})),
    };
    json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
}

fn query_parameter(name: &str) -> Value {
    let time = || json!({"type": "string", "format": "date-time"});
    let (about, schema) = match name {
        "limit" => (
            "Items at most.",
            json!({"type": "integer", "minimum": 1, "maximum": super::query::LIMIT_MAX,
                   "default": super::query::LIMIT_DEFAULT}),
        ),
        "cursor" => ("The `next` of the page before.", json!({"type": "string"})),
        "since" => ("Nothing from before this time.", time()),
        "until" => ("Nothing from this time on.", time()),
        "step" => (
            "Seconds of a step; where it is missing, one that gives some hundred steps.",
            json!({"type": "integer", "minimum": 300, "multipleOf": 300}),
        ),
        "operational" => {
            ("With the types that the engine makes itself.", json!({"type": "boolean", "default": false}))
        }
        "subscriptionId" => ("Of this subscription alone.", json!({"type": "string"})),
        "eventId" => ("Of this event alone.", json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"})),
        "type" => (
            "An event type, or several by a prefix such as `user.*`.",
            json!({"type": "string", "examples": ["user.*"]}),
        ),
        "status" => ("In this status alone.", json!({"type": "string", "enum": schemas::DELIVERY_STATUSES})),
        "action" => {
            ("What was done.", json!({"type": "string", "enum": schemas::words::<crate::registry::Action>()}))
        }
        _ => ("", json!({"type": "string"})),
    };
    json!({"name": name, "in": "query", "required": false, "description": about, "schema": schema})
}

fn header_parameter(name: &str) -> Value {
    let (about, schema) = match name {
        "If-Match" => ("Only if the thing has this version still: its `ETag`.", json!({"type": "string"})),
        "Idempotency-Key" => (
            "Done once, however often it is sent with this key within 24 hours.",
            json!({"type": "string", "pattern": "^[!-~]{1,255}$"}),
        ),
        _ => ("", json!({"type": "string"})),
    };
    json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema})
}

fn answer_header(name: &str) -> Value {
    let (about, kind) = match name {
        "ETag" => ("The version, for `If-Match`.", "string"),
        "Location" => ("Where it is.", "string"),
        "Retry-After" => ("Seconds to wait before another try.", "integer"),
        "WWW-Authenticate" => ("How to authenticate.", "string"),
        _ => ("", "string"),
    };
    json!({"description": about, "required": true, "schema": {"type": kind}})
}
