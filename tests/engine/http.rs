//! A client that writes HTTP/1.1 by hand, so that what goes over the wire is what the test says.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The body, where the status is this one.
    pub fn want(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// The head of a message: its first line and its headers, names in lower case.
pub fn read_head(input: &mut impl BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let first = lines.next().ok_or(io::ErrorKind::InvalidData)?;
    let headers = lines
        .filter_map(|line| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())))
        .collect();
    Ok((first, headers))
}

pub fn read_body(input: &mut impl Read, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse()).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(body)
}

fn exchange(stream: &mut BufReader<impl Read + Write>, request: &[u8]) -> io::Result<Answer> {
    stream.get_mut().write_all(request)?;
    let (first, headers) = read_head(stream)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = read_body(stream, &headers)?;
    Ok(Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, headers, body })
}

/// One request on a connection of its own.
pub fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    exchange(&mut BufReader::new(stream), &bytes)
}

/// A keep-alive connection to the ingest socket.
pub struct Ingest(BufReader<UnixStream>);

impl Ingest {
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn post(&mut self, content_type: &str, body: &[u8]) -> io::Result<Answer> {
        let mut request = format!(
            "POST /v1/events HTTP/1.1\r\nhost: postrider\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        exchange(&mut self.0, &request)
    }

    /// Events, one JSON object each.
    pub fn send(&mut self, events: &[String]) -> io::Result<Answer> {
        self.post("application/json", format!("[{}]", events.join(",")).as_bytes())
    }
}

/// An event as JSON.
pub fn event(account: &str, kind: &str, id: &str, data: &str) -> String {
    format!(r#"{{"id":"{id}","accountId":"{account}","type":"{kind}","data":{data}}}"#)
}
