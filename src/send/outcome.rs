//! What an answer means for its attempt: verdict, `Retry-After`, and what is kept of it.
//!
//! Works on a status and on header bytes, not on a client's types: the verdict is the contract's (§4)
//! and must not change with the client.

use std::time::{Duration, UNIX_EPOCH};

use crate::model::outcome::{EXCERPT_HEADERS_LEN_MAX, EXCERPT_LEN_MAX};
use crate::model::{AttemptError, ErrorKind, UnixMillis};

/// A `Retry-After` of more than this counts as this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// `None` for 2xx; the failure for everything else.
#[must_use]
pub fn verdict(status: u16) -> Option<AttemptError> {
    let (kind, message) = match status {
        200..=299 => return None,
        300..=399 => (ErrorKind::Status, format!("answered {status}; redirects are not followed")),
        410 => (ErrorKind::Gone, "answered 410: the receiver wants no more".to_owned()),
        _ => (ErrorKind::Status, format!("answered {status}")),
    };
    Some(AttemptError { kind, message })
}

/// The wait that a 429 or 503 asks for, in seconds or as an HTTP date (RFC 9110, 10.2.3). A date that
/// has passed is a wait of zero; what is neither form asks for nothing.
#[must_use]
pub fn retry_after(status: u16, value: Option<&[u8]>, now: UnixMillis) -> Option<Duration> {
    if status != 429 && status != 503 {
        return None;
    }
    let text = std::str::from_utf8(value?).ok()?.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds is still a very long wait.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(since_epoch.saturating_sub(Duration::from_millis(now.0)).min(RETRY_AFTER_MAX))
}

/// `name: value` lines of as many headers as fit whole into [`EXCERPT_HEADERS_LEN_MAX`], in their order.
pub fn capture_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut kept = String::with_capacity(128);
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value);
        if kept.len() + name.len() + value.len() + 3 > EXCERPT_HEADERS_LEN_MAX {
            continue;
        }
        kept.push_str(name);
        kept.push_str(": ");
        kept.push_str(&value);
        kept.push('\n');
    }
    kept
}

/// A body as it comes in: counts all of it, keeps the first [`EXCERPT_LEN_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Excerpt {
    kept: Vec<u8>,
    len: usize,
}

impl Excerpt {
    pub fn push(&mut self, bytes: &[u8]) {
        let room = EXCERPT_LEN_MAX - self.kept.len();
        self.kept.extend(bytes.iter().take(room));
        self.len = self.len.saturating_add(bytes.len());
    }

    /// Bytes that came so far, kept or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was kept, and whether more had come.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, bool) {
        let more = self.len > self.kept.len();
        (self.kept, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn verdicts() {
        let check = |status, want| assert_eq!(verdict(status).map(|e| e.kind), want, "{status}");
        for status in 200..300 {
            check(status, None);
        }
        for status in (100..200).chain(300..410).chain(411..1000) {
            check(status, Some(ErrorKind::Status));
        }
        check(410, Some(ErrorKind::Gone));
    }

    #[test]
    fn waits() {
        let now = UnixMillis::parse_rfc3339("2026-11-23T14:49:00.500Z").expect("valid");
        let check = |status, value: &str, want: Option<u64>| {
            let got = retry_after(status, Some(value.as_bytes()), now);
            assert_eq!(got.map(|wait| wait.as_millis()), want.map(u128::from), "{status} {value:?}");
        };
        check(429, "0", Some(0));
        check(429, "120", Some(120_000));
        check(503, " 7\t", Some(7_000));
        check(503, "99999999", Some(86_400_000));
        check(503, "99999999999999999999999999", Some(86_400_000));
        check(429, "Mon, 23 Nov 2026 14:50:00 GMT", Some(59_500));
        check(429, "Mon, 23 Nov 2026 14:48:00 GMT", Some(0));
        check(429, "Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check(429, "Wed, 23 Nov 2033 14:50:00 GMT", Some(86_400_000));
        check(429, "Monday, 23-Nov-26 14:50:00 GMT", Some(59_500));
        check(429, "Mon Nov 23 14:50:00 2026", Some(59_500));
        for garbage in ["", " ", "-1", "+5", "1.5", "5s", "soon", "2026-11-23T14:50:00Z", "\u{fc}"] {
            check(429, garbage, None);
        }
        check(200, "5", None);
        check(500, "5", None);
        check(301, "5", None);
        assert_eq!(retry_after(429, None, now), None);
        assert_eq!(retry_after(429, Some(&[0xff]), now), None);
    }

    #[test]
    fn headers_are_kept_whole_or_not_at_all() {
        let long = vec![b'x'; EXCERPT_HEADERS_LEN_MAX];
        let headers: [(&str, &[u8]); 4] =
            [("a", b"1"), ("long", &long), ("b", &[b'c', 0xff]), ("empty", b"")];
        assert_eq!(capture_headers(headers.into_iter()), "a: 1\nb: c\u{fffd}\nempty: \n");
    }

    #[test]
    fn excerpts() {
        let check = |chunks: &[usize], kept: usize, more: bool| {
            let mut excerpt = Excerpt::default();
            for len in chunks {
                excerpt.push(&vec![b'x'; *len]);
            }
            assert_eq!(excerpt.len(), chunks.iter().sum::<usize>());
            let (body, truncated) = excerpt.finish();
            assert_eq!((body.len(), truncated), (kept, more), "{chunks:?}");
        };
        check(&[], 0, false);
        check(&[10, 0, 5], 15, false);
        check(&[4096], 4096, false);
        check(&[4096, 1], 4096, true);
        check(&[4000, 4000], 4096, true);
    }

    proptest! {
        #[test]
        fn any_retry_after_is_bounded(value in proptest::collection::vec(any::<u8>(), 0..40), now: u64) {
            if let Some(wait) = retry_after(503, Some(&value), UnixMillis(now)) {
                prop_assert!(wait <= RETRY_AFTER_MAX);
            }
        }

        #[test]
        fn kept_headers_are_bounded(values in proptest::collection::vec(".{0,600}", 0..20)) {
            let kept = capture_headers(values.iter().map(|value| ("name", value.as_bytes())));
            prop_assert!(kept.len() <= EXCERPT_HEADERS_LEN_MAX);
        }
    }
}
