//! One attempt as people read it: how it ended, what was sent and what came back.

use std::fmt;

use serde::Deserialize;

use crate::cli::text::{body_lines, line, time, word};

/// The API's attempt (contract §5).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Attempt {
    number: u32,
    trigger: String,
    started_at: String,
    duration_ms: u64,
    status_code: Option<u16>,
    error: Option<Error>,
    request: Request,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Error {
    kind: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    url: String,
    headers: Vec<Header>,
    body_size: u64,
    /// Older engines do not say it.
    #[serde(default)]
    changed_since: bool,
}

#[derive(Deserialize)]
struct Response {
    headers: Vec<Header>,
    body: String,
    truncated: bool,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

impl Attempt {
    /// Whether the receiver has it.
    pub(in crate::cli) fn delivered(&self) -> bool {
        self.error.is_none()
    }
}

/// Ends in a line break.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, trigger, started_at, duration_ms, status_code, error, request, response } = self;
        let outcome = match (error, status_code) {
            (Some(Error { kind, message }), Some(status)) => {
                format!("failed: {status} ({}: {})", word(kind), line(message))
            }
            (Some(Error { kind, message }), None) => format!("failed: {}: {}", word(kind), line(message)),
            (None, Some(status)) => format!("delivered: {status}"),
            (None, None) => "delivered".to_owned(),
        };
        let (trigger, at) = (word(trigger), time(started_at));
        writeln!(f, "attempt {number} ({trigger})  {at}  {duration_ms} ms  {outcome}")?;
        writeln!(f, "  > POST {}", line(&request.url))?;
        for Header { name, value } in &request.headers {
            writeln!(f, "  > {}: {}", line(name), line(value))?;
        }
        writeln!(f, "  > ({} bytes)", request.body_size)?;
        if request.changed_since {
            writeln!(f, "  > (the subscription was changed since: URL and custom headers are today's)")?;
        }
        let Some(response) = response else { return Ok(()) };
        for Header { name, value } in &response.headers {
            writeln!(f, "  < {}: {}", line(name), line(value))?;
        }
        for line in body_lines(response.body.as_bytes()) {
            writeln!(f, "  < {line}")?;
        }
        if response.truncated {
            writeln!(f, "  < (the rest was not kept)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_in_words() {
        let check = |json: &str, delivered: bool, want: &str| {
            let attempt: Attempt = serde_json::from_str(json).unwrap();
            assert_eq!((attempt.to_string().as_str(), attempt.delivered()), (want, delivered));
        };
        check(
            r#"{"number":2,"trigger":"retry","startedAt":"2026-11-23T14:49:00.000Z","durationMs":12,
                "statusCode":500,"error":{"kind":"status","message":"answered 500"},
                "request":{"url":"https://x/h","headers":[{"name":"X-A","value":"••••••"}],"bodySize":7,"changedSince":true},
                "response":{"headers":[{"name":"server","value":"a\u001b[2J"}],"body":"oh\nno","truncated":true}}"#,
            false,
            concat!(
                "attempt 2 (retry)  2026-11-23 14:49:00Z  12 ms  failed: 500 (status: answered 500)\n",
                "  > POST https://x/h\n  > X-A: ••••••\n  > (7 bytes)\n",
                "  > (the subscription was changed since: URL and custom headers are today's)\n",
                "  < server: a[2J\n  < oh\n  < no\n  < (the rest was not kept)\n",
            ),
        );
        check(
            r#"{"number":1,"trigger":"event","startedAt":"2026-11-23T14:49:00.000Z","durationMs":3,
                "statusCode":204,"error":null,
                "request":{"url":"https://x/h","headers":[],"bodySize":7,"changedSince":false},
                "response":{"headers":[],"body":"","truncated":false}}"#,
            true,
            "attempt 1 (event)  2026-11-23 14:49:00Z  3 ms  delivered: 204\n  > POST https://x/h\n  > (7 bytes)\n",
        );
    }
}
