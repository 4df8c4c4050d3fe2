//! Lines of NDJSON gathered into requests, bounded by count and by bytes.

use std::io::{self, BufRead, Read};

/// Events in one request at most; below the engine's default of 1 000.
pub(super) const BATCH_EVENTS_MAX: usize = 500;
/// Bytes in one request at most, unless a single line is longer.
pub(super) const BATCH_LEN_MAX: usize = 4 << 20;
/// A longer line is not sent: no engine can be configured to take it.
pub(super) const LINE_LEN_MAX: usize = 64 << 20;

/// One request's worth of lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) body: Vec<u8>,
    /// Numbers, from 1, of the lines in `body`.
    pub(super) lines: Vec<u64>,
    /// Numbers of lines that were left out because they are too long.
    pub(super) too_long: Vec<u64>,
    /// How far the input was read for this batch.
    pub(super) bytes_read: u64,
}

enum Line {
    Text(Vec<u8>),
    TooLong,
    End,
}

/// Reads batches from `input`. Lines with nothing but white space are passed over.
pub(super) struct Batches<R> {
    input: R,
    /// Number of the line that was read last.
    number: u64,
    /// A line that was read and did not fit.
    held: Option<Vec<u8>>,
}

impl<R: BufRead> Batches<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, held: None }
    }

    /// The next batch; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        if let Some(line) = self.held.take() {
            batch.push(self.number, &line);
        }
        while batch.lines.len() < BATCH_EVENTS_MAX && batch.too_long.len() < BATCH_EVENTS_MAX {
            match self.read_line(&mut batch.bytes_read)? {
                Line::End => break,
                Line::TooLong => batch.too_long.push(self.number),
                Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Text(line) if batch.has_room(line.len()) => batch.push(self.number, &line),
                Line::Text(line) => {
                    self.held = Some(line);
                    break;
                }
            }
        }
        let is_empty = batch.lines.is_empty() && batch.too_long.is_empty();
        Ok((!is_empty).then_some(batch))
    }

    fn read_line(&mut self, bytes_read: &mut u64) -> io::Result<Line> {
        let mut line = Vec::new();
        let read = self.input.by_ref().take(LINE_LEN_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        *bytes_read += read as u64;
        if read == 0 {
            return Ok(Line::End);
        }
        self.number += 1;
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            // A byte order mark, as some editors write it, is no part of the first event.
            line.drain(..3);
        }
        if line.last() != Some(&b'\n') && read > LINE_LEN_MAX {
            *bytes_read += self.input.skip_until(b'\n')? as u64;
            return Ok(Line::TooLong);
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        Ok(Line::Text(line))
    }
}

impl Batch {
    fn has_room(&self, len: usize) -> bool {
        self.body.is_empty() || self.body.len() + len < BATCH_LEN_MAX
    }

    fn push(&mut self, number: u64, line: &[u8]) {
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.lines.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: &[u8]) -> Vec<Batch> {
        let mut batches = Batches::new(input);
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    #[test]
    fn lines_keep_their_numbers() {
        let found = batches(b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].body, b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
        assert_eq!(found[0].lines, [1, 4, 5]);
        assert_eq!(found[0].bytes_read, 31);
        assert!(batches(b"").is_empty() && batches(b"\n\n").is_empty());
    }

    #[test]
    fn bounded_by_count() {
        let found = batches("{}\n".repeat(1001).as_bytes());
        let counts: Vec<_> = found.iter().map(|batch| batch.lines.len()).collect();
        assert_eq!(counts, [500, 500, 1]);
        assert_eq!(found[2].lines, [1001]);
    }

    #[test]
    fn bounded_by_bytes() {
        let line = "x".repeat(BATCH_LEN_MAX / 2 - 1);
        let huge = "y".repeat(BATCH_LEN_MAX + 1);
        let found = batches(format!("{line}\n{line}\n{line}\n{huge}\n{{}}\n").as_bytes());
        let lines: Vec<_> = found.iter().map(|batch| batch.lines.clone()).collect();
        assert_eq!(lines, [vec![1, 2], vec![3], vec![4], vec![5]]);
        assert!(found[0].body.len() <= BATCH_LEN_MAX);
        assert_eq!(found[2].body.len(), BATCH_LEN_MAX + 2);
    }

    #[test]
    fn too_long_a_line_is_left_out() {
        let mut input = vec![b'z'; LINE_LEN_MAX + 10];
        input.extend_from_slice(b"\n{}\n");
        let found = batches(&input);
        assert_eq!((found.len(), &*found[0].too_long, &*found[0].lines), (1, &[1][..], &[2][..]));
        assert_eq!(found[0].bytes_read, input.len() as u64);
    }
}
