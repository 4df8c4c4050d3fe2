//! HTTP to the admin API: blocking, one request at a time, over http or https.
//!
//! Nothing is sent twice: after a connection that was lost the command says that it does not know what
//! came of it. Redirects are not followed, since a token would go with them.

use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use hyper::{HeaderMap, Method, Request, StatusCode, header};
use rustls::crypto::ring;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};
use url::Url;

use crate::cli::{Failure, text};

/// For a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request, from its first byte to the last one of its answer. The engine gives itself 30 s, and a
/// test event the receiver's deadline on top.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(360);
/// Between two pieces of a stream, which gives a sign of life four times as often.
const STREAM_QUIET_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer: a page of 250 attempts with headers and excerpts, with room.
const ANSWER_LEN_MAX: u64 = 64 << 20;
/// Items that are asked for at once.
const PAGE_LEN_MAX: usize = 250;

#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ApiError {
    #[error("cannot reach {server} (is postrider serving there?)")]
    Unreachable { server: String, source: ureq::Error },
    #[error("the request to {server} got no answer: whether it was carried out is not known")]
    Lost { server: String, source: ureq::Error },
    #[error("the answer of {server} cannot be read: {reason}")]
    Answer { server: String, reason: String },
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("{0} is no address that a path could be added to")]
    Server(Url),
}

impl ApiError {
    /// Whether the same may work a little later.
    pub(in crate::cli) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Answer { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500..),
            Self::Request(_) | Self::Server(_) => false,
        }
    }
}

/// An answer that is a problem (RFC 9457), or at least no success.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Refusal {
    #[serde(skip)]
    pub(in crate::cli) status: u16,
    /// What was asked for.
    #[serde(skip)]
    path: String,
    title: String,
    code: String,
    detail: String,
    errors: Vec<FieldError>,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

impl std::fmt::Display for Refusal {
    /// One line: what is wrong, each field by its name, and what it is called.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = if self.detail.is_empty() { self.title.clone() } else { self.detail.clone() };
        if said.is_empty() {
            said = format!("the server answered {}", self.status);
        }
        // With one error the detail says it already.
        if self.errors.len() > 1 {
            for (index, FieldError { field, message }) in self.errors.iter().enumerate() {
                let _ = write!(said, "{} {field}: {message}", if index == 0 { ":" } else { ";" });
            }
        }
        match self.status {
            401 => said.push_str("; name a token with --token or POSTRIDER_TOKEN"),
            404 => {
                let _ = write!(said, ": {}", self.path);
            }
            _ => {}
        }
        let code = if self.code.is_empty() { self.status.to_string() } else { self.code.clone() };
        write!(f, "{} ({code})", text::line(&said))
    }
}

pub(in crate::cli) struct Client {
    agent: Agent,
    server: Url,
    authorization: Option<String>,
}

impl Client {
    /// # Errors
    /// An address that paths cannot be added to.
    pub(in crate::cli) fn new(server: Url, token: Option<String>) -> Result<Self, ApiError> {
        if server.cannot_be_a_base() {
            return Err(ApiError::Server(server));
        }
        // Whoever sets a proxy for the world does not mean this machine.
        let proxy = Proxy::try_from_env().filter(|_| !super::is_here(&server));
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(concat!("postrider/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(REQUEST_TIMEOUT))
            .timeout_per_write(Some(CONNECT_TIMEOUT));
        if server.scheme() == "https" {
            config = config.tls_config(tls());
        }
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Self { agent: config.build().new_agent(), server, authorization })
    }

    /// A call of `/api/v1` and the path's segments, which are encoded here.
    pub(in crate::cli) fn call(&self, method: &'static str, path: &[&str]) -> Call<'_> {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        Call { client: self, method, url, body: None, if_match: None }
    }

    pub(in crate::cli) fn server(&self) -> &Url {
        &self.server
    }

    fn answer_error(&self, reason: &impl ToString) -> ApiError {
        ApiError::Answer { server: self.server.to_string(), reason: reason.to_string() }
    }
}

/// The system's roots (`SSL_CERT_FILE` names others), or the built-in ones where it has none.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> =
        found.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned()).collect();
    let roots = if roots.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&roots) };
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(roots)
        .build()
}

/// A request that is being put together.
#[derive(Clone)]
pub(in crate::cli) struct Call<'c> {
    client: &'c Client,
    method: &'static str,
    url: Url,
    body: Option<Value>,
    if_match: Option<String>,
}

impl Call<'_> {
    #[cfg(test)]
    pub(in crate::cli) fn url(&self) -> &str {
        self.url.as_str()
    }

    pub(in crate::cli) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        self
    }

    pub(in crate::cli) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(in crate::cli) fn if_match(mut self, etag: Option<String>) -> Self {
        self.if_match = etag;
        self
    }

    /// # Errors
    /// Everything but a 2xx, and an answer that does not come.
    pub(in crate::cli) fn send(self) -> Result<Answer, ApiError> {
        let client = self.client;
        let path = self.url.path().to_owned();
        let (status, headers, mut body) = self.begin(None)?;
        let read = body.with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        let body = read.map_err(|source| ApiError::Lost { server: client.server.to_string(), source })?;
        if !status.is_success() {
            return Err(ApiError::Refused(Box::new(refusal(status.as_u16(), &path, &body))));
        }
        let body = String::from_utf8(body).map_err(|error| client.answer_error(&error))?;
        let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { server: client.server.to_string(), etag, body })
    }

    /// At most `limit` items of a list, which `each` gets as they come, page after page. Gives whether
    /// there are more.
    ///
    /// # Errors
    /// As [`Self::send`], and what `each` says.
    pub(in crate::cli) fn list(
        self,
        limit: usize,
        mut each: impl FnMut(&RawValue) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let (mut left, mut cursor) = (limit, None);
        loop {
            let call = self.clone().query("limit", Some(left.clamp(1, PAGE_LEN_MAX)));
            let page: Page = call.query("cursor", cursor).send()?.read()?;
            for item in page.items.iter().take(left) {
                each(item)?;
            }
            left = left.saturating_sub(page.items.len());
            // A page may be short, even empty, with more behind it.
            match page.next {
                None => return Ok(false),
                Some(_) if left == 0 => return Ok(true),
                next => cursor = next,
            }
        }
    }

    /// An answer that goes on for as long as one reads. It ends with an error where nothing, not even a
    /// sign of life, comes for a while.
    ///
    /// # Errors
    /// Everything but a 2xx.
    pub(in crate::cli) fn stream(self) -> Result<impl Read + Send + use<>, ApiError> {
        let path = self.url.path().to_owned();
        let (status, _, mut body) = self.begin(Some(STREAM_QUIET_MAX))?;
        if status.is_success() {
            return Ok(body.into_reader());
        }
        let body = body.with_config().limit(ANSWER_LEN_MAX).read_to_vec().unwrap_or_default();
        Err(ApiError::Refused(Box::new(refusal(status.as_u16(), &path, &body))))
    }

    fn begin(self, quiet_max: Option<Duration>) -> Result<(StatusCode, HeaderMap, ureq::Body), ApiError> {
        let server = || self.client.server.to_string();
        let mut request = Request::builder().method(method(self.method)).uri(self.url.as_str());
        if let Some(authorization) = &self.client.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(etag) = &self.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        let agent = &self.client.agent;
        let answer = if let Some(body) = &self.body {
            let request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string())?;
            agent.run(request)
        } else {
            let mut request = agent.configure_request(request.body(())?);
            if let Some(quiet_max) = quiet_max {
                request = request.timeout_per_read(Some(quiet_max));
            }
            agent.run(request.build())
        };
        let answer = answer.map_err(|source| match source {
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Tls(_)
            | ureq::Error::Rustls(_) => ApiError::Unreachable { server: server(), source },
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                ApiError::Unreachable { server: server(), source }
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                ApiError::Unreachable { server: server(), source: error.into() }
            }
            source => ApiError::Lost { server: server(), source },
        })?;
        let (head, body) = answer.into_parts();
        Ok((head.status, head.headers, body))
    }
}

fn method(name: &'static str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap_or(Method::GET)
}

pub(super) fn refusal(status: u16, path: &str, body: &[u8]) -> Refusal {
    Refusal { status, path: path.to_owned(), ..serde_json::from_slice(body).unwrap_or_default() }
}

/// A whole answer, with its text as it came.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    server: String,
    pub(in crate::cli) etag: Option<String>,
    pub(in crate::cli) body: String,
}

impl Answer {
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let wrong = |error: serde_json::Error| ApiError::Answer {
            server: self.server.clone(),
            reason: error.to_string(),
        };
        serde_json::from_str(&self.body).map_err(wrong)
    }

    /// The document in one line, for programs; nothing where there is none.
    pub(in crate::cli) fn line(&self) -> String {
        match self.body.trim_end() {
            "" => String::new(),
            document => format!("{document}\n"),
        }
    }
}

/// A page of a list, its items as they came.
#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}
