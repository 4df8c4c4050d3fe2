//! A callback URL: where a delivery goes. Parsed once, by the WHATWG URL standard, strictly.
//!
//! Whatever the standard calls a *validation error* is refused, because such text is read differently
//! by different parsers, and an address check is worth nothing where two parsers disagree.
//! Deliberately absent: resolving names and judging addresses, which is `send`'s work at each attempt.

use std::cell::Cell;
use std::fmt;

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
        let host: Box<str> = match url.host() {
            Some(Host::Domain(name)) => name.into(),
            Some(Host::Ipv4(address)) => address.to_string().into(),
            Some(Host::Ipv6(address)) => address.to_string().into(),
            None => return Err(UrlError::NotAbsolute("no host".to_owned())),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(UrlError::Port)?;
        let host_header = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self {
            text: text.into(),
            authority: Authority { tls, host, port },
            host_header: host_header.into(),
            target: target.into(),
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
        check(" https://example.com/", "cleanly");
        check("https:///example.com/", "cleanly");
        check(&format!("https://example.com/{}", "x".repeat(2048)), "2048");
    }
}
