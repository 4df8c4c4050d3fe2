//! The console page: a handful of files in the binary, served as they are.
//!
//! No build step, no framework, nothing from another address: the content security policy allows this
//! origin alone, and no script or style that stands in a page. Deliberately absent: anything that knows
//! more than the API does.

use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Redirect, Response};

use super::problem::Problem;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        [$(File { name: $name, kind: $kind, text: include_str!(concat!("console/", $name)) }),*]
    };
}

const FILES: [File; 32] = files![
    "index.html" HTML,
    "console.css" CSS,
    "accounts.js" JS,
    "admin.js" JS,
    "api-docs.css" CSS,
    "api-docs.html" HTML,
    "api-docs.js" JS,
    "api.js" JS,
    "attempts.js" JS,
    "bar.js" JS,
    "chart.js" JS,
    "deliveries.js" JS,
    "detail.js" JS,
    "dom.js" JS,
    "events-field.js" JS,
    "fields.js" JS,
    "filter-field.js" JS,
    "format.js" JS,
    "headers-field.js" JS,
    "live.js" JS,
    "main.js" JS,
    "menu.js" JS,
    "overview.js" JS,
    "panel.js" JS,
    "recover.js" JS,
    "remove.js" JS,
    "secret.js" JS,
    "signin.js" JS,
    "stats.js" JS,
    "test-event.js" JS,
    "webhooks.js" JS,
    "words.js" JS,
];

pub async fn root() -> Redirect {
    Redirect::to("/console/")
}

/// The description of the API, to read.
pub async fn docs() -> Redirect {
    Redirect::to("/console/api-docs.html")
}

pub async fn index(request: Request) -> Response {
    serve("index.html", &request)
}

pub async fn file(Path(name): Path<String>, request: Request) -> Response {
    serve(&name, &request)
}

fn serve(name: &str, request: &Request) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Problem::not_found().into_response();
    };
    let tag = format!("\"{:08x}\"", crc32fast::hash(file.text.as_bytes()));
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, HeaderValue::from_static(file.kind))], file.text).into_response()
    };
    let headers = response.headers_mut();
    // A new version is there at the next look, since each look asks.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}
