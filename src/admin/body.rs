//! Reading a JSON body: 415, 413 and 400 where it is none; what it says is judged by the registry.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::problem::Problem;

/// Bytes at most in a request's body. The largest subscription needs about half of it.
pub const BODY_LEN_MAX: usize = 256 * 1024;

/// A JSON document of any shape.
pub struct Json(pub Value);

/// The same, or nothing at all.
pub struct OptionalJson(pub Option<Value>);

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // No other `+json`: a JSON Patch, say, means something else than what would be done with it.
    matches!(media.as_str(), "application/json" | "application/merge-patch+json")
}

pub async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    match Limited::new(body, BODY_LEN_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body must be at most {BODY_LEN_MAX} bytes"),
        )),
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "body_cut_off", "the body did not arrive whole")),
    }
}

fn unsupported() -> Problem {
    let detail = "the content type must be application/json";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is not JSON: {error}"))
    })
}

impl<S: Sync> FromRequest<S> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(unsupported());
        }
        parse(&read(request.into_body()).await?).map(Self)
    }
}

impl<S: Sync> FromRequest<S> for OptionalJson {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let body = read(request.into_body()).await?;
        match (body.is_empty(), json) {
            (true, _) => Ok(Self(None)),
            (false, true) => parse(&body).map(Some).map(Self),
            (false, false) => Err(unsupported()),
        }
    }
}
