//! A client that costs as little as can be: bytes out, status and body back, blocking.

use std::io::{BufRead as _, BufReader, Read, Write};

pub struct Client<S>(BufReader<S>);

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Self {
        Self(BufReader::with_capacity(16 << 10, stream))
    }

    /// Sends one whole request, already written out, and reads its answer.
    pub fn call(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.0.get_mut().write_all(request).expect("the engine reads");
        let mut line = String::new();
        let (mut status, mut length) = (0, 0);
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("the engine answers");
            let text = line.trim_end();
            if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
            } else if let Some((name, value)) = text.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or(0);
                }
            } else {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a whole answer");
        (status, body)
    }
}
