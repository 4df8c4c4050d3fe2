//! Values of `[egress]`: ports, names of hosts, and the proxy.
//!
//! The proxy may carry a password, so nothing here writes or repeats it: neither `Debug`, nor the printed
//! configuration, nor an error about a value that could not be read.

use std::fmt;

use toml::Value;

use super::error::Problem;
use super::value::{Setting, Shape, excerpt, quoted, wrong_type};

/// What stands where a password is not shown.
const MASK: &str = "***";

/// A TCP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(pub u16);

impl Setting for Port {
    const SHAPE: Shape = Shape::Literal;
    fn read(value: &Value) -> Result<Self, Problem> {
        let want = "ports from 1 to 65535";
        // From the environment a list without brackets comes as text.
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_integer(),
        };
        let number = number.ok_or_else(|| wrong_type(want, value))?;
        let port = u16::try_from(number).ok().filter(|port| *port != 0);
        port.map(Self).ok_or_else(|| Problem::Format { want, text: number.to_string() })
    }
    fn write(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// A host's name as DNS has it, or `*.` and a name for all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub String);

impl HostName {
    /// `None` where it is no name; addresses are none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (below, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
        let Ok(url::Host::Domain(name)) = url::Host::parse(name) else { return None };
        let is_whole = !name.starts_with('.') && !name.contains('*') && name != ".";
        is_whole.then(|| Self(format!("{below}{name}")))
    }
}

impl Setting for HostName {
    const SHAPE: Shape = Shape::Text;
    fn read(value: &Value) -> Result<Self, Problem> {
        let want = "names such as \"receiver.example\" or \"*.example\"";
        let text = value.as_str().ok_or_else(|| wrong_type(want, value))?;
        Self::parse(text).ok_or_else(|| Problem::Format { want, text: excerpt(text) })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// A forward proxy for CONNECT, `http://host:port` or `http://user:password@host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    pub port: u16,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

impl Proxy {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (userinfo, address) = match rest.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, rest),
        };
        let credentials = match userinfo {
            Some(userinfo) => {
                let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
                // HTTP's Basic scheme ends the user at the first colon.
                Some((
                    decode(user).filter(|user| !user.is_empty() && !user.contains(':'))?,
                    decode(password)?,
                ))
            }
            None => None,
        };
        let (host, port) = address.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        url::Host::parse(host).ok()?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { host: bare.to_owned(), port, credentials })
    }
}

/// Takes `%40` and the like for what they stand for.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials.is_some() { "***:***@" } else { "" };
        if self.host.contains(':') {
            write!(f, "http://{credentials}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{credentials}{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Setting for Option<Proxy> {
    const SHAPE: Shape = Shape::Text;
    fn read(value: &Value) -> Result<Self, Problem> {
        let want = "a proxy such as \"http://proxy.example:3128\"";
        let text = value.as_str().ok_or_else(|| wrong_type(want, value))?;
        if text.is_empty() {
            return Ok(None);
        }
        let masked = || match text.rsplit_once('@') {
            Some((_, address)) => format!("{MASK}@{}", excerpt(address)),
            None => excerpt(text),
        };
        Proxy::parse(text).map(Some).ok_or_else(|| Problem::Format { want, text: masked() })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(self.as_ref().map(ToString::to_string).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies() {
        type Parts<'a> = (&'a str, u16, Option<(&'a str, &'a str)>);
        let check = |text: &str, want: Option<Parts<'_>>| {
            let read = Proxy::parse(text);
            let parts = read.as_ref().map(|proxy| {
                let credentials =
                    proxy.credentials.as_ref().map(|(user, word)| (user.as_str(), word.as_str()));
                (proxy.host.as_str(), proxy.port, credentials)
            });
            assert_eq!(parts, want, "{text}");
        };
        check("http://proxy.example:3128", Some(("proxy.example", 3128, None)));
        check("http://[2001:db8::1]:80/", Some(("2001:db8::1", 80, None)));
        check("http://u:p@h:1", Some(("h", 1, Some(("u", "p")))));
        check("http://u:p%40%3a:@h:1", Some(("h", 1, Some(("u", "p@::")))));
        check("http://u@h:1", Some(("h", 1, Some(("u", "")))));
        check("http://u:a@b@h:1", Some(("h", 1, Some(("u", "a@b")))));
        for text in [
            "",
            "http://h",
            "https://h:1",
            "http://h:0",
            "http://h:1/path",
            "http://:p@h:1",
            "http://u:%4@h:1",
            "http://u%3a:p@h:1",
            "http://u:%0d%0a@h:1",
            "socks5://h:1",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn passwords_are_not_repeated() {
        let proxy = Proxy::parse("http://me:secret@h:1");
        let shown = [format!("{proxy:?}"), proxy.write().expect("written")];
        let wrong = Option::<Proxy>::read(&Value::String("https://me:secret@h:1".to_owned()));
        let error = format!("{:?}", wrong.expect_err("not http"));
        for text in shown.iter().chain([&error]) {
            assert!(text.contains("h:1") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn names() {
        for text in ["a", "a.example", "*.example", "*.a.example", "xn--bcher-kva.example"] {
            assert_eq!(HostName::parse(text), Some(HostName(text.to_owned())));
        }
        assert_eq!(HostName::parse("*.Bücher.Example"), Some(HostName("*.xn--bcher-kva.example".to_owned())));
        for text in ["", "*", "*.", "*.*.a", "10.0.0.1", "[::1]", "a:1", "a b", ".a", "http://a"] {
            assert!(HostName::parse(text).is_none(), "{text}");
        }
    }
}
