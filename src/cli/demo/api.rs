//! The demo's use of the admin API: as any client would, over HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Bytes of an answer at most.
const ANSWER_LEN_MAX: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the admin port cannot be reached")]
    Connect(#[from] std::io::Error),
    #[error("the admin port does not answer")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("the admin port's answer cannot be read: {0}")]
    Answer(String),
    #[error("the admin port answered {status}: {body}")]
    Refused { status: u16, body: String },
}

pub(super) struct Api<'a> {
    address: SocketAddr,
    token: &'a str,
}

impl<'a> Api<'a> {
    pub(super) fn new(address: SocketAddr, token: &'a str) -> Self {
        Self { address, token }
    }

    /// Makes a subscription; gives its id and its secret.
    pub(super) async fn subscribe(
        &self,
        account: &str,
        name: &str,
        url: &str,
        events: &str,
    ) -> Result<(String, String), ApiError> {
        let path = format!("/api/v1/accounts/{account}/subscriptions");
        let body = json!({"name": name, "callbackUrl": url, "events": [events]});
        let made = self.call(Method::POST, &path, Some(&body)).await?;
        let id = text(&made, "id")?;
        let secret = self.call(Method::GET, &format!("{path}/{id}/secret"), None).await?;
        Ok((id, text(&secret, "secret")?))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Its errors come out of `send_request` as well.
        tokio::spawn(driver);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default()))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|error| ApiError::Answer(error.to_string()))?.to_bytes();
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(ApiError::Refused { status: status.as_u16(), body });
        }
        serde_json::from_slice(&body).map_err(|error| ApiError::Answer(error.to_string()))
    }
}

fn text(of: &Value, member: &str) -> Result<String, ApiError> {
    let found = of.get(member).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| ApiError::Answer(format!("it has no {member}")))
}
