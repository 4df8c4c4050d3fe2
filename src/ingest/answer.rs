//! What a client is told: the result of each item, or one problem for the whole request (RFC 9457).
//!
//! Bodies are written by hand into one buffer: a batch of a thousand answers must not cost more than
//! reading it did.

use crate::model::EventId;

use super::envelope::write_string;
use super::rejection::Rejection;

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemResult {
    Accepted(EventId),
    Duplicate(EventId),
    Rejected(Rejection),
}

/// How many of a request's items went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: usize,
    pub duplicates: usize,
    pub rejected: usize,
}

impl Counts {
    #[must_use]
    pub fn of(results: &[ItemResult]) -> Self {
        let mut counts = Self::default();
        for result in results {
            match result {
                ItemResult::Accepted(_) => counts.accepted += 1,
                ItemResult::Duplicate(_) => counts.duplicates += 1,
                ItemResult::Rejected(_) => counts.rejected += 1,
            }
        }
        counts
    }

    /// 422 where nothing but rejections came of it, else 202.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.accepted + self.duplicates == 0 { 422 } else { 202 }
    }
}

/// Bytes of an answer per item, roughly; only to make room once.
const RESULT_LEN_TYPICAL: usize = 64;

/// The body of a 202 or 422. `minimal` leaves the results out.
#[must_use]
pub fn body(counts: Counts, results: &[ItemResult], minimal: bool) -> Vec<u8> {
    let room = if minimal { 0 } else { results.len() * RESULT_LEN_TYPICAL };
    let mut out = Vec::with_capacity(RESULT_LEN_TYPICAL + room);
    let Counts { accepted, duplicates, rejected } = counts;
    let head = format!("{{\"accepted\":{accepted},\"duplicates\":{duplicates},\"rejected\":{rejected}");
    out.extend_from_slice(head.as_bytes());
    if !minimal {
        out.extend_from_slice(b",\"results\":[");
        for (at, result) in results.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_result(&mut out, result);
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

fn write_result(out: &mut Vec<u8>, result: &ItemResult) {
    match result {
        ItemResult::Accepted(id) => write_outcome(out, Some(id), b"accepted"),
        ItemResult::Duplicate(id) => write_outcome(out, Some(id), b"duplicate"),
        ItemResult::Rejected(rejection) => {
            write_outcome(out, rejection.id.as_ref(), b"rejected");
            out.extend_from_slice(b",\"error\":{\"code\":\"");
            out.extend_from_slice(rejection.code.as_str().as_bytes());
            out.extend_from_slice(b"\",\"message\":");
            write_string(out, &rejection.message);
            out.extend_from_slice(b",\"field\":");
            match &rejection.field {
                Some(field) => write_string(out, field),
                None => out.extend_from_slice(b"null"),
            }
            out.push(b'}');
        }
    }
    out.push(b'}');
}

fn write_outcome(out: &mut Vec<u8>, id: Option<&EventId>, status: &[u8]) {
    out.extend_from_slice(b"{\"id\":");
    match id {
        Some(id) => write_string(out, id.as_str()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(status);
    out.push(b'"');
}

/// Why nothing of a request was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    MalformedJson,
    EmptyRequest,
    BodyIncomplete,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    RequestTooLarge,
    BatchTooLarge,
    UnsupportedMediaType,
    Internal,
    QueueFull,
    TooManyConnections,
    DiskReserve,
    StoreUnavailable,
    Stopping,
}

impl ProblemKind {
    /// HTTP status, stable code, title.
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (400, "malformed_json", "The body is not JSON"),
            Self::EmptyRequest => (400, "empty_request", "There is no event in the request"),
            Self::BodyIncomplete => (400, "body_incomplete", "The body could not be read to its end"),
            Self::Unauthorized => (401, "unauthorized", "A valid token is needed"),
            Self::Forbidden => (403, "forbidden", "The token may not write events"),
            Self::NotFound => (404, "not_found", "There is nothing here"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "The method is not allowed here"),
            Self::BodyTimeout => (408, "body_timeout", "The body took too long"),
            Self::RequestTooLarge => (413, "request_too_large", "The request is too large"),
            Self::BatchTooLarge => (413, "batch_too_large", "There are too many events in the request"),
            Self::UnsupportedMediaType => {
                (415, "unsupported_media_type", "The content type is not supported")
            }
            Self::Internal => (500, "internal", "The engine made a mistake"),
            Self::QueueFull => (503, "queue_full", "The engine cannot take more now"),
            Self::TooManyConnections => (503, "too_many_connections", "Too many connections are open"),
            Self::DiskReserve => (503, "disk_reserve", "The disk is below its reserve"),
            Self::StoreUnavailable => (503, "store_unavailable", "The store cannot write now"),
            Self::Stopping => (503, "stopping", "The engine is stopping"),
        }
    }

    #[must_use]
    pub fn status(self) -> u16 {
        self.parts().0
    }

    #[must_use]
    pub fn code(self) -> &'static str {
        self.parts().1
    }

    /// Seconds for `Retry-After`, where trying again makes sense.
    #[must_use]
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::QueueFull | Self::TooManyConnections => Some(1),
            Self::StoreUnavailable | Self::Stopping => Some(5),
            Self::DiskReserve => Some(30),
            Self::MalformedJson
            | Self::EmptyRequest
            | Self::BodyIncomplete
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::BodyTimeout
            | Self::RequestTooLarge
            | Self::BatchTooLarge
            | Self::UnsupportedMediaType
            | Self::Internal => None,
        }
    }
}

/// One problem for the whole request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    pub kind: ProblemKind,
    pub detail: String,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// `application/problem+json`.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let (status, code, title) = self.kind.parts();
        let mut out = format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"code\":\"{code}\",\"detail\":"
        )
        .into_bytes();
        write_string(&mut out, &self.detail);
        out.push(b'}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::rejection::Code;
    use super::*;

    fn results() -> Vec<ItemResult> {
        let id = |text| EventId::parse(text).unwrap();
        vec![
            ItemResult::Accepted(id("a")),
            ItemResult::Duplicate(id("b")),
            ItemResult::Rejected(Rejection::new(Code::UnknownField, Some("x\""), "no \"x\"\n")),
            ItemResult::Rejected(Rejection { id: Some(id("c")), ..Rejection::missing("data") }),
            ItemResult::Rejected(Rejection::new(Code::NotJson, None, "no")),
        ]
    }

    #[test]
    fn results_in_order_with_counts() {
        let results = results();
        let counts = Counts::of(&results);
        assert_eq!(counts, Counts { accepted: 1, duplicates: 1, rejected: 3 });
        let text = String::from_utf8(body(counts, &results, false)).unwrap();
        let want = concat!(
            r#"{"accepted":1,"duplicates":1,"rejected":3,"results":[{"id":"a","status":"accepted"},"#,
            r#"{"id":"b","status":"duplicate"},"#,
            r#"{"id":null,"status":"rejected","error":{"code":"unknown_field","message":"no \"x\"\n","field":"x\""}},"#,
            r#"{"id":"c","status":"rejected","error":{"code":"missing_field","message":"`data` is required","field":"data"}},"#,
            r#"{"id":null,"status":"rejected","error":{"code":"not_json","message":"no","field":null}}]}"#,
        );
        assert_eq!(text, want);
        assert_eq!(body(counts, &results, true), br#"{"accepted":1,"duplicates":1,"rejected":3}"#);
    }

    #[test]
    fn status_is_422_only_where_all_are_rejected() {
        let check = |accepted, duplicates, rejected, want| {
            assert_eq!(Counts { accepted, duplicates, rejected }.status(), want);
        };
        check(1, 0, 9, 202);
        check(0, 1, 9, 202);
        check(0, 0, 9, 422);
    }

    #[test]
    fn problems_are_json_with_code_title_status_detail() {
        let problem = Problem::new(ProblemKind::QueueFull, "say \"when\"");
        let value: serde_json::Value = serde_json::from_slice(&problem.body()).unwrap();
        assert_eq!(value["code"], "queue_full");
        assert_eq!(value["status"], 503);
        assert_eq!(value["detail"], "say \"when\"");
        assert!(value["title"].is_string());
    }
}
