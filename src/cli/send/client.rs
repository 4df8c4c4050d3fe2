//! HTTP/1.1 over the ingest socket: one connection, one request at a time, patient with 503.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// One request, from its first byte to the last one of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a batch is offered to an engine that is busy.
const OFFERS_MAX: u32 = 20;
/// Wait after a 503 that names none.
const WAIT_DEFAULT: Duration = Duration::from_secs(1);
/// Wait at most, whatever a 503 names.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer: a result for each event of a batch, with room.
const ANSWER_LEN_MAX: usize = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SendError {
    #[error("cannot connect to {} (is postrider serving there?)", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("the connection ended before the answer: whether the events were taken is not known")]
    Lost(#[source] hyper::Error),
    #[error("no answer within {} s: whether the events were taken is not known", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    #[error("the engine is busy and took nothing after {OFFERS_MAX} offers")]
    Busy,
    #[error("refused with {status}: {detail}")]
    Refused { status: StatusCode, detail: String },
    #[error("the answer cannot be read: {0}")]
    Answer(String),
    #[error("cannot make the request")]
    Request(#[from] hyper::http::Error),
}

/// What the engine says of a batch.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) accepted: u64,
    pub(in crate::cli) duplicates: u64,
    pub(in crate::cli) rejected: u64,
    #[serde(default)]
    pub(in crate::cli) results: Vec<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Status {
    Accepted,
    Duplicate,
    Rejected,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Item {
    pub(in crate::cli) status: Status,
    error: Option<ItemError>,
}

#[derive(Debug, Deserialize)]
struct ItemError {
    code: String,
    message: String,
    field: Option<String>,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(ItemError { code, message, field: Some(field) }) => write!(f, "{field}: {message} ({code})"),
            Some(ItemError { code, message, field: None }) => write!(f, "{message} ({code})"),
            None => f.write_str("rejected"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemBody {
    title: Option<String>,
    detail: Option<String>,
}

/// A connection that is made when it is first needed, and made again when the engine has closed it
/// between two requests.
pub(in crate::cli) struct Client {
    path: PathBuf,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(in crate::cli) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), connection: None }
    }

    /// Posts events until the engine takes or refuses them.
    pub(in crate::cli) async fn post(
        &mut self,
        content_type: &str,
        body: &Bytes,
    ) -> Result<Answer, SendError> {
        for _ in 0..OFFERS_MAX {
            let (response, body) = timeout(REQUEST_TIMEOUT, self.offer(content_type, body))
                .await
                .map_err(|_| SendError::Timeout)??;
            match response {
                StatusAndWait { status: StatusCode::SERVICE_UNAVAILABLE, wait } => sleep(wait).await,
                StatusAndWait { status, .. } => return read_answer(status, &body),
            }
        }
        Err(SendError::Busy)
    }

    async fn offer(&mut self, content_type: &str, body: &Bytes) -> Result<(StatusAndWait, Bytes), SendError> {
        let request = Request::post("/v1/events")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body.clone()))?;
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await.map_err(SendError::Lost)?;
        let head = StatusAndWait::of(&response);
        let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|error| SendError::Answer(error.to_string()))?.to_bytes();
        self.connection = Some(connection);
        Ok((head, body))
    }

    /// The connection there is, or a new one. It is put back once its answer has been read whole.
    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, SendError> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await.is_ok()
        {
            return Ok(connection);
        }
        let connect = UnixStream::connect(&self.path).await;
        let stream = connect.map_err(|source| SendError::Connect { path: self.path.clone(), source })?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(SendError::Lost)?;
        // Its errors come out of `send_request` as well.
        tokio::spawn(driver);
        Ok(connection)
    }
}

struct StatusAndWait {
    status: StatusCode,
    /// How long to leave a busy engine alone.
    wait: Duration,
}

impl StatusAndWait {
    fn of<B>(response: &Response<B>) -> Self {
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Self { status: response.status(), wait: seconds.unwrap_or(WAIT_DEFAULT).min(WAIT_MAX) }
    }
}

/// 202, and 422 where everything was rejected, carry results; all else is a problem.
fn read_answer(status: StatusCode, body: &[u8]) -> Result<Answer, SendError> {
    if status == StatusCode::ACCEPTED || status == StatusCode::UNPROCESSABLE_ENTITY {
        match serde_json::from_slice(body) {
            Ok(answer) => return Ok(answer),
            Err(error) if status == StatusCode::ACCEPTED => return Err(SendError::Answer(error.to_string())),
            Err(_) => {}
        }
    }
    let problem: ProblemBody = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem.detail.or(problem.title).unwrap_or_else(|| "no reason given".to_owned());
    Err(SendError::Refused { status, detail })
}
