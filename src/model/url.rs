//! A callback URL: where a delivery goes. Parsed once, by the WHATWG URL standard, strictly.
//!
//! Whatever the standard calls a *validation error* is refused, because such text is read differently
//! by different parsers, and an address check is worth nothing where two parsers disagree.
//! Deliberately absent: resolving names and judging addresses, which is `send`'s work at each attempt.

use std::cell::Cell;
use std::fmt::{self, Write};

use url::{Host, Url};

/// Bytes at most in a callback URL (contract §5).
pub const CALLBACK_URL_LEN_MAX: usize = 2048;

/// Why a callback URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most 2048 bytes, has {0}")]
    TooLong(usize),
    #[error("must be an absolute URL such as https://example.com/hook ({0})")]
    NotAbsolute(String),
    #[error("must begin with https:// or http://")]
    Scheme,
    #[error("must not carry a user name or password")]
    UserInfo,
    #[error("must not have a fragment (#…)")]
    Fragment,
    #[error("must have a port from 1 to 65535")]
    Port,
    #[error("is not written cleanly: {0}")]
    Syntax(String),
}

/// Scheme, host and port: what connections are pooled by and what a shard is chosen by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// `https`; otherwise plain `http`.
    pub tls: bool,
    /// Lower case; an IPv6 address without its brackets.
    pub host: Box<str>,
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// A URL that deliveries can be POSTed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackUrl {
    /// As the person wrote it.
    text: Box<str>,
    authority: Authority,
    /// Value of the `host` header: host, and port where it is not the scheme's own.
    host_header: Box<str>,
    /// Path and query, as they go into the request line.
    target: Box<str>,
}

impl CallbackUrl {
    /// # Errors
    /// Everything that [`UrlError`] names.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        if text.len() > CALLBACK_URL_LEN_MAX {
            return Err(UrlError::TooLong(text.len()));
        }
        let violation = Cell::new(None);
        let note = |v: url::SyntaxViolation| violation.set(violation.get().or(Some(v)));
        let url =
            Url::options().syntax_violation_callback(Some(&note)).parse(text).map_err(
                |error| match error {
                    url::ParseError::InvalidPort => UrlError::Port,
                    other => UrlError::NotAbsolute(other.to_string()),
                },
            )?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        if let Some(violation) = violation.get() {
            return Err(UrlError::Syntax(violation.description().to_owned()));
        }
        let (written, target) = split(text);
        if written.contains('%') {
            return Err(UrlError::Syntax("a host is not percent-encoded".to_owned()));
        }
        let host: Box<str> = match url.host() {
            Some(Host::Domain(name)) if !is_plain_name(name) => {
                return Err(UrlError::Syntax(
                    "the host is not a name of letters, digits, - and _".to_owned(),
                ));
            }
            Some(Host::Domain(name)) => name.into(),
            Some(Host::Ipv4(address)) => {
                if !is_plain_ipv4(written) {
                    return Err(UrlError::Syntax(format!("write the address as {address}")));
                }
                address.to_string().into()
            }
            Some(Host::Ipv6(address)) => address.to_string().into(),
            None => return Err(UrlError::NotAbsolute("no host".to_owned())),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(UrlError::Port)?;
        let host_header = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        Ok(Self {
            text: text.into(),
            authority: Authority { tls, host, port },
            host_header: host_header.into(),
            target: request_target(target),
        })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    #[must_use]
    pub fn host_header(&self) -> &str {
        &self.host_header
    }

    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// The host and port as written, and what comes after them. Of text that parsed without a violation:
/// then `//` stands before the authority, and nothing but `/` or `?` ends it.
fn split(text: &str) -> (&str, &str) {
    let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// Path and query as they were written; only what no request line can hold is percent-encoded, and a
/// missing path is `/`. The parser's own text will not do: it resolves `..` and encodes quotes.
fn request_target(written: &str) -> Box<str> {
    let mut target = String::with_capacity(written.len() + 1);
    if !written.starts_with('/') {
        target.push('/');
    }
    for part in written.split_inclusive(|c: char| !c.is_ascii()) {
        let ascii = part.trim_end_matches(|c: char| !c.is_ascii());
        target.push_str(ascii);
        for byte in part.bytes().skip(ascii.len()) {
            // Writing to a string does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    target.into()
}

/// Whether a name is one that hosts have. The standard also takes most punctuation and empty labels, for
/// which every resolver has a meaning of its own. The last dot may have nothing behind it.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
    labels.all(|label| !label.is_empty() && label.bytes().all(is_letter))
}

/// Whether an IPv4 address is written without any of the standard's IPv4 validation errors, which the
/// parser does not tell of: octal or hexadecimal parts, parts above 255, an empty part at the end.
fn is_plain_ipv4(authority: &str) -> bool {
    let host = authority.split(':').next().unwrap_or_default();
    host.split('.').all(|part| {
        let padded = part.len() > 1 && part.starts_with('0');
        !padded && part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u8>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        let check = |text: &str, authority: &str, host: &str, target: &str| {
            let url = CallbackUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.authority().to_string(), authority);
            assert_eq!(url.host_header(), host);
            assert_eq!(url.target(), target);
            assert_eq!(url.as_str(), text);
        };
        check(
            "https://example.com/hook?a=1&b=%20",
            "https://example.com:443",
            "example.com",
            "/hook?a=1&b=%20",
        );
        check("HTTPS://Example.COM", "https://example.com:443", "example.com", "/");
        check("http://127.0.0.1:9000/x", "http://127.0.0.1:9000", "127.0.0.1:9000", "/x");
        check("http://[::1]:81/", "http://[::1]:81", "[::1]:81", "/");
        check("https://example.com:443/a", "https://example.com:443", "example.com", "/a");
        check("https://example.com?q", "https://example.com:443", "example.com", "/?q");
        check("https://example.com/a/../b/%2e%2E/?q='x'&//", "https://example.com:443", "example.com", {
            "/a/../b/%2e%2E/?q='x'&//"
        });
        check("https://example.com/é?ü=日", "https://example.com:443", "example.com", {
            "/%C3%A9?%C3%BC=%E6%97%A5"
        });
        check("http://127.1/", "http://127.0.0.1:80", "127.0.0.1", "/");
        check("http://a_b-c.example./", "http://a_b-c.example.:80", "a_b-c.example.", "/");
        check("http://bücher.example/", "http://xn--bcher-kva.example:80", "xn--bcher-kva.example", "/");
    }

    #[test]
    fn refused() {
        let check = |text: &str, want: &str| match CallbackUrl::parse(text) {
            Ok(url) => panic!("{text} was taken as {url:?}"),
            Err(error) => assert!(error.to_string().contains(want), "{text}: {error}"),
        };
        check("", "empty");
        check("example.com/hook", "absolute");
        check("ftp://example.com/", "https://");
        check("https://user@example.com/", "user name");
        check("https://example.com/#x", "fragment");
        check("https://example.com:0/", "port");
        check("https://example.com:65536/", "port");
        check("https:\\\\example.com\\", "cleanly");
        check("https://example.com/a b", "cleanly");
        for zone in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"] {
            check(zone, "absolute");
        }
        check("http://fe80::1/", "port");
        check(" https://example.com/", "cleanly");
        check("https:///example.com/", "cleanly");
        for host in ["0x7f.0.0.1", "0177.0.0.1", "2130706433", "127.0.0.1.", "127.65535", "127.00.0.1"] {
            check(&format!("http://{host}/"), "cleanly");
        }
        for host in
            ["8.%2E", "ex%61mple.com", "%31.2.3.4", "a..b", ".a", "a..", "8..", ".", "a~b", "a(b", "*.a"]
        {
            check(&format!("http://{host}/"), "cleanly");
        }
        check(&format!("https://example.com/{}", "x".repeat(2048)), "2048");
    }
}
