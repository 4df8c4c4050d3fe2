//! A forward proxy that is asked by CONNECT (RFC 9110 §9.3.6): what it is asked and what its answer means.
//!
//! Pure: the bytes come from and go to `dial`. The proxy is told an address that was judged and never a
//! name, which it might resolve to something else.

use std::fmt;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of the proxy's answer at most, interim answers with it.
pub const HEAD_LEN_MAX: usize = 8 * 1024;

/// Where the proxy is, and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: Box<str>,
    port: u16,
    authorization: Option<Box<str>>,
}

impl Proxy {
    /// `host` without brackets; `credentials` are user and password.
    #[must_use]
    pub fn new(host: &str, port: u16, credentials: Option<(&str, &str)>) -> Self {
        let basic =
            |(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into();
        Self { host: host.into(), port, authorization: credentials.map(basic) }
    }

    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The request that opens a tunnel to `target`.
    #[must_use]
    pub fn request(&self, target: SocketAddr) -> String {
        let authorization = self
            .authorization
            .as_deref()
            .map_or_else(String::new, |value| format!("Proxy-Authorization: {value}\r\n"));
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
    }
}

/// Never with the credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Why there is no tunnel. Says nothing of what the proxy wrote but its status: the text may go to
/// people who are not to know the proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy answered {0}")]
    Refused(u16),
    #[error("the proxy's answer is no HTTP")]
    Garbage,
    #[error("the proxy's answer is longer than {HEAD_LEN_MAX} bytes")]
    TooLong,
    #[error("the proxy closed the connection")]
    Closed,
    #[error("the connection to the proxy failed: {0}")]
    Io(#[from] std::io::Error),
}

impl ProxyError {
    /// Whether another address of the same name may do better: the proxy says that it did not get
    /// through to this one.
    #[must_use]
    pub fn may_be_the_address(&self) -> bool {
        matches!(self, Self::Refused(500..=599))
    }
}

/// The proxy's answer, as it comes byte by byte: what follows it belongs to whoever is behind the tunnel.
#[derive(Default)]
pub struct Head {
    bytes: Vec<u8>,
    /// Where the present answer begins; those before were interim.
    begin: usize,
}

impl Head {
    /// Takes one byte. `Some` once the tunnel is open, or will not be.
    pub fn push(&mut self, byte: u8) -> Option<Result<(), ProxyError>> {
        if self.bytes.len() >= HEAD_LEN_MAX {
            return Some(Err(ProxyError::TooLong));
        }
        self.bytes.push(byte);
        let head = self.bytes.get(self.begin..).unwrap_or_default();
        let as_it_begins = head.iter().zip(b"HTTP/1.").all(|(got, want)| got == want);
        if !as_it_begins {
            return Some(Err(ProxyError::Garbage));
        }
        if !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
            return None;
        }
        match status(head) {
            None => Some(Err(ProxyError::Garbage)),
            Some(100..=199) => {
                self.begin = self.bytes.len();
                None
            }
            Some(200..=299) => Some(Ok(())),
            Some(status) => Some(Err(ProxyError::Refused(status))),
        }
    }
}

/// `HTTP/1.1 200 …`
fn status(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let (digits, rest) = digits.split_at_checked(3)?;
    if rest.first().is_none_or(u8::is_ascii_alphanumeric) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (100..1000).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What became of it, and how many bytes that took.
    fn read(bytes: &[u8]) -> (Option<Result<(), String>>, usize) {
        let mut head = Head::default();
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(end) = head.push(*byte) {
                return (Some(end.map_err(|error| error.to_string())), at + 1);
            }
        }
        (None, bytes.len())
    }

    #[test]
    fn requests() {
        let proxy = Proxy::new("proxy.example", 3128, None);
        let target = "192.0.2.1:443".parse().expect("valid");
        assert_eq!(proxy.request(target), "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n");
        let proxy = Proxy::new("::1", 3128, Some(("Aladdin", "open sesame")));
        let target = "[2001:db8::1]:80".parse().expect("valid");
        assert_eq!(
            proxy.request(target),
            "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        assert!(!format!("{proxy:?}").contains("QWxh"));
    }

    #[test]
    fn answers() {
        let check = |bytes: &str, want: Result<(), &str>| {
            assert_eq!(read(bytes.as_bytes()).0, Some(want.map_err(str::to_owned)), "{bytes:?}");
        };
        check("HTTP/1.1 200 Connection established\r\n\r\n", Ok(()));
        check("HTTP/1.0 200\r\nVia: x\r\n\r\n", Ok(()));
        check("HTTP/1.1 204 \n\n", Ok(()));
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok(()));
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(()));
        check("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Err("the proxy answered 407"));
        check("HTTP/1.1 301 x\r\nLocation: y\r\n\r\n", Err("the proxy answered 301"));
        for garbage in
            ["SSH-2.0-x", "HTTP/2", "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1  200\n\n"]
        {
            check(garbage, Err("the proxy's answer is no HTTP"));
        }
        let endless = format!("HTTP/1.1 200 {}", "x".repeat(HEAD_LEN_MAX));
        check(&endless, Err("the proxy's answer is longer than 8192 bytes"));
        check(&"HTTP/1.1 100 x\r\n\r\n".repeat(1000), Err("the proxy's answer is longer than 8192 bytes"));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n").0, None);
        let (_, taken) = read(b"HTTP/1.1 200 OK\r\n\r\nnot ours");
        assert_eq!(taken, 19, "nothing of what follows is taken");
    }

    #[test]
    fn another_address_is_tried_where_the_proxy_did_not_get_through() {
        assert!(ProxyError::Refused(502).may_be_the_address());
        assert!(!ProxyError::Refused(403).may_be_the_address());
        assert!(!ProxyError::Closed.may_be_the_address());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let answer = [b"HTTP/1.1 ", &bytes[..], &[b'x'; HEAD_LEN_MAX]].concat();
            prop_assert!(read(&answer).0.is_some());
        }
    }
}
