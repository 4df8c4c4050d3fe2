//! Where a request comes from, and whether it came over TLS: by the connection, and through a proxy by
//! what the proxy says.
//!
//! An address from a header is believed of a proxy on this machine alone. That a request came over TLS is
//! believed of anybody: who lies about it changes their own cookie and nobody else's.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::HeaderMap;

/// The other end of a request's connection.
#[derive(Clone, Copy)]
pub struct Peer(Option<IpAddr>);

impl Peer {
    pub fn of(stream: &tokio::net::TcpStream) -> Self {
        Self(stream.peer_addr().ok().map(|address| address.ip().to_canonical()))
    }
}

/// Whose request this is; `None` where it is of this machine, or of a proxy on it that does not say whose.
/// Of IPv6 the network of 64 bits, which is what one client has.
pub fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0)?;
    let client = if peer.is_loopback() { forwarded_for(request.headers())? } else { peer };
    Some(match client {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        IpAddr::V4(_) => client,
    })
}

/// The last address: that which the proxy has seen itself.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let address: IpAddr = last.rsplit(',').next()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

/// Whether the client spoke TLS, with the proxy nearest to it.
pub fn over_tls(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let first = |list: &str| list.split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
    if let Some(proto) = text("x-forwarded-proto") {
        return first(proto) == "https";
    }
    // RFC 7239
    let Some(forwarded) = text("forwarded").map(first) else { return false };
    forwarded.split(';').any(|pair| {
        pair.trim().strip_prefix("proto=").is_some_and(|proto| proto.trim_matches('"') == "https")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("valid"));
        }
        headers
    }

    #[test]
    fn tls_is_what_the_first_proxy_saw() {
        for (given, want) in [
            (&[][..], false),
            (&[("x-forwarded-proto", "https")], true),
            (&[("x-forwarded-proto", "HTTPS, http")], true),
            (&[("x-forwarded-proto", "http, https")], false),
            (&[("forwarded", "for=1.2.3.4;proto=https;host=x, proto=http")], true),
            (&[("forwarded", "for=1.2.3.4; Proto=\"https\"")], true),
            (&[("forwarded", "for=1.2.3.4")], false),
            (&[("x-forwarded-proto", "http"), ("forwarded", "proto=https")], false),
        ] {
            assert_eq!(over_tls(&headers(given)), want, "{given:?}");
        }
    }

    #[test]
    fn a_proxy_of_this_machine_is_believed() {
        let from = |peer: &str, given: &[(&'static str, &'static str)]| {
            let mut request = Request::new(Body::empty());
            *request.headers_mut() = headers(given);
            request.extensions_mut().insert(Peer(Some(peer.parse().expect("an address"))));
            address(&request).map_or_else(String::new, |address| address.to_string())
        };
        let forged = [("x-forwarded-for", "192.0.2.7, 198.51.100.9")];
        assert_eq!(from("127.0.0.1", &forged), "198.51.100.9");
        assert_eq!(from("::1", &[forged[0], ("x-forwarded-for", "::ffff:192.0.2.1")]), "192.0.2.1");
        assert_eq!(from("203.0.113.5", &forged), "203.0.113.5");
        assert_eq!(from("127.0.0.1", &[("x-forwarded-for", "unknown")]), "");
        assert_eq!(from("::1", &[]), "");
        assert_eq!(from("2001:db8:1:2:3:4:5:6", &[]), "2001:db8:1:2::");
    }
}
