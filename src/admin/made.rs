//! An answer that can be kept: as it stands, byte for byte, so that it can be given a second time.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// An answer, whole.
#[derive(Debug)]
pub struct Made {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// How it is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Made {
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // These plain values always become JSON.
        Self { status, headers, body: serde_json::to_vec(value).unwrap_or_default() }
    }

    /// With a header; one that cannot be is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// `None` where it cannot be kept: it is no text.
    pub fn remembered(&self) -> Option<Vec<u8>> {
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = self.headers.iter().map(text).collect::<Option<_>>()?;
        let body = String::from_utf8(self.body.clone()).ok()?;
        serde_json::to_vec(&Remembered { status: self.status.as_u16(), headers, body }).ok()
    }

    /// What [`Made::remembered`] gave.
    pub fn recall(bytes: &[u8]) -> Option<Self> {
        let held: Remembered = serde_json::from_slice(bytes).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in held.headers {
            headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        let status = StatusCode::from_u16(held.status).ok()?;
        Some(Self { status, headers, body: held.body.into_bytes() })
    }
}

impl IntoResponse for Made {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::{ETAG, SET_COOKIE};

    #[test]
    fn is_recalled_as_it_was() {
        let mut made = Made::json(StatusCode::CREATED, &serde_json::json!({"a": "ö"})).with(ETAG, "\"1\"");
        made.headers.append(SET_COOKIE, HeaderValue::from_static("a=1"));
        made.headers.append(SET_COOKIE, HeaderValue::from_static("b=2"));
        let again = Made::recall(&made.remembered().expect("is text")).expect("is read");
        assert_eq!((again.status, again.headers, again.body), (made.status, made.headers, made.body));
        assert!(Made::recall(b"{}").is_none());
        let odd = Made { status: StatusCode::OK, headers: HeaderMap::new(), body: vec![0xff] };
        assert!(odd.remembered().is_none());
    }
}
