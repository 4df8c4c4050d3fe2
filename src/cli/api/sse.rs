//! Server-sent events (HTML standard, "Interpreting an event stream"), from bytes as they come.
//!
//! Deliberately absent: ids. The API sends none, since what was missed is in its lists.

use std::mem;
use std::time::Duration;

/// Bytes of one event at most, its field names included.
const EVENT_LEN_MAX: usize = 1 << 20;

/// What comes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Piece {
    Event {
        /// `message` where it says nothing else.
        name: String,
        data: String,
    },
    /// How long to wait before connecting again.
    Retry(Duration),
}

/// A stream that cannot be one of this API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {EVENT_LEN_MAX} bytes")]
pub(in crate::cli) struct TooLong;

/// Takes the stream in pieces of any size.
#[derive(Debug, Default)]
pub(in crate::cli) struct Parser {
    /// The line that is not yet whole.
    line: Vec<u8>,
    /// The last byte was a CR: an LF after it ends no further line.
    after_cr: bool,
    begun: bool,
    name: String,
    data: Option<String>,
}

impl Parser {
    /// # Errors
    /// A line or an event over its bound.
    pub(in crate::cli) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, TooLong> {
        let mut pieces = Vec::new();
        for &byte in bytes {
            let lf_of_crlf = byte == b'\n' && mem::take(&mut self.after_cr);
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if lf_of_crlf => {}
                b'\n' | b'\r' => {
                    let line = mem::take(&mut self.line);
                    pieces.extend(self.take_line(&line)?);
                }
                _ if self.line.len() >= EVENT_LEN_MAX => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(pieces)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Piece>, TooLong> {
        let line = String::from_utf8_lossy(line);
        let first = !mem::replace(&mut self.begun, true);
        let line = if first { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        // A line that begins with a colon is a comment: a field without a name.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                let data = self.data.get_or_insert_default();
                if data.len() + value.len() > EVENT_LEN_MAX {
                    return Err(TooLong);
                }
                data.push_str(value);
                data.push('\n');
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Ok(value.parse().ok().map(|millis| Piece::Retry(Duration::from_millis(millis))));
            }
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Piece> {
        let name = mem::take(&mut self.name);
        let mut data = self.data.take()?;
        data.pop();
        Some(Piece::Event { name: if name.is_empty() { "message".to_owned() } else { name }, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Piece {
        Piece::Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn whatever_the_lines_and_the_pieces() {
        let check = |text: &str, want: &[Piece]| {
            for end in ["\n", "\r\n", "\r"] {
                let text = text.replace('\n', end);
                for size in [1, 2, 3, text.len().max(1)] {
                    let mut parser = Parser::default();
                    let pieces = text.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk).unwrap());
                    assert_eq!(pieces.collect::<Vec<_>>(), want, "{text:?} by {size}");
                }
            }
        };
        check("", &[]);
        check("event: attempt\ndata: {\"a\":1}\n\n", &[event("attempt", "{\"a\":1}")]);
        check("data: x\n\ndata:y\n\n", &[event("message", "x"), event("message", "y")]);
        check("data: one\ndata: two\ndata\n\n", &[event("message", "one\ntwo\n")]);
        check(
            "retry: 2000\n\n:\n\n: hello\ndata: é\nid: 7\nother: x\n\n",
            &[Piece::Retry(Duration::from_secs(2)), event("message", "é")],
        );
        check("event: named\n\ndata: x\n\n", &[event("message", "x")]);
        check("\u{feff}data: x\n\n\u{feff}data: y\n\n", &[event("message", "x")]);
        check("retry: soon\ndata:  two spaces\n\n", &[event("message", " two spaces")]);
        check("data: cut off\n", &[]);
    }

    #[test]
    fn bounded() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; EVENT_LEN_MAX + 1]), Err(TooLong));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(EVENT_LEN_MAX / 2));
        assert_eq!(parser.push(line.as_bytes()), Ok(vec![]));
        assert_eq!(parser.push(line.as_bytes()), Err(TooLong));
    }
}
