//! Where a delivery may go: the rules that keep callback URLs from reaching into the platform's own
//! network or a cloud's metadata service, or from speaking to what is no web server.
//!
//! Judged are addresses after resolving, at every connection, and the connection goes to the very address
//! that was judged; a name alone opens or closes nothing, but for those that the operator allows.
//! Each refusal says which rule it was. The table of addresses is `special`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub use super::network::{Network, NetworkError};
use super::special::{METADATA, special};
use crate::model::url::is_plain_name;

/// What the operator allows beyond the public internet over TLS, and refuses of it.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Callback URLs may be plain http.
    pub allow_http: bool,
    /// Blocks that are open although they are special.
    pub allow_networks: Vec<Network>,
    /// Hosts whose addresses may be special ones.
    pub allow_hosts: Vec<HostPattern>,
    pub refuse_ports: Vec<u16>,
}

/// Why a target is forbidden. Names the kind of range but not the address: who configures a callback
/// URL need not learn what the platform's resolver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("plain http is not allowed (allow_http)")]
    Http,
    #[error("port {0} is not open to deliveries (refuse_ports)")]
    Port(u16),
    #[error("the address is not open to deliveries: {what}")]
    Address { what: &'static str },
}

impl Egress {
    /// # Errors
    /// [`Forbidden::Http`] for plain http where it is not allowed.
    pub fn check_scheme(&self, tls: bool) -> Result<(), Forbidden> {
        if tls || self.allow_http { Ok(()) } else { Err(Forbidden::Http) }
    }

    /// # Errors
    /// [`Forbidden::Port`] for a port that is refused.
    pub fn check_port(&self, port: u16) -> Result<(), Forbidden> {
        if self.refuse_ports.contains(&port) { Err(Forbidden::Port(port)) } else { Ok(()) }
    }

    /// Judges one address that `host` resolved to. An IPv4-mapped address is judged as the IPv4 address
    /// that the system would connect to.
    ///
    /// # Errors
    /// [`Forbidden::Address`] where the address is special, no allowed network holds it, and the host is
    /// not allowed by name. A cloud's metadata service takes an allowed network.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let address = address.to_canonical();
        if self.allow_networks.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match special(address) {
            None => Ok(()),
            Some(what) if what != METADATA && self.allow_hosts.iter().any(|allowed| allowed.fits(host)) => {
                Ok(())
            }
            Some(what) => Err(Forbidden::Address { what }),
        }
    }
}

/// `receiver.example`, or `*.example` for every name below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower case, without a dot at either end.
    name: Box<str>,
    below: bool,
}

impl HostPattern {
    /// Whether `host`, as the authority of a callback URL has it, is meant.
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        if self.below {
            host.strip_suffix(&*self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == &*self.name
        }
    }
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host's name such as receiver.example, or *.example for all below it; addresses have \
         allow_networks"
)]
pub struct HostPatternError;

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        match url::Host::parse(name) {
            // The same names as a callback URL's host has: any other would be a rule that never holds.
            Ok(url::Host::Domain(name)) if is_plain_name(&name) => {
                Ok(Self { name: name.strip_suffix('.').unwrap_or(&name).into(), below })
            }
            _ => Err(HostPatternError),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    fn judge(egress: &Egress, address: &str) -> bool {
        egress.check_address("a.test", address.parse().unwrap_or_else(|_| panic!("{address}"))).is_ok()
    }

    #[test]
    fn allowed_networks_open_ranges() {
        let networks = ["127.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("valid"));
        let egress = Egress { allow_networks: networks.to_vec(), ..Egress::default() };
        let check = |address: &str, open: bool| {
            assert_eq!(judge(&egress, address), open, "{address}");
        };
        check("127.0.0.1", true);
        check("::ffff:127.0.0.1", true);
        check("fd12::1", true);
        check("::1", false);
        check("10.0.0.1", false);
        check("64:ff9b::127.0.0.1", false);
        check("::127.0.0.1", false);
        check("8.8.8.8", true);
    }

    #[test]
    fn schemes() {
        let check = |allow_http, tls, want| {
            let egress = Egress { allow_http, ..Egress::default() };
            assert_eq!(egress.check_scheme(tls), want);
        };
        check(false, true, Ok(()));
        check(true, true, Ok(()));
        check(true, false, Ok(()));
        check(false, false, Err(Forbidden::Http));
    }

    #[test]
    fn ports() {
        let check = |refuse_ports: &[u16], port, open: bool| {
            let egress = Egress { refuse_ports: refuse_ports.to_vec(), ..Egress::default() };
            assert_eq!(egress.check_port(port), if open { Ok(()) } else { Err(Forbidden::Port(port)) });
        };
        check(&[22, 25], 25, false);
        check(&[22, 25], 443, true);
        check(&[443], 443, false);
        check(&[], 25, true);
    }

    #[test]
    fn allowed_hosts_may_be_private_but_never_a_metadata_service() {
        let hosts = ["inside.example", "*.corp.example"].map(|text| text.parse().expect("valid"));
        let egress = Egress { allow_hosts: hosts.to_vec(), ..Egress::default() };
        let check = |host: &str, address: &str, open: bool| {
            let address = address.parse().expect("valid");
            assert_eq!(egress.check_address(host, address).is_ok(), open, "{host} {address}");
        };
        for host in ["inside.example", "inside.example.", "a.corp.example", "b.a.corp.example"] {
            check(host, "10.0.0.1", true);
            check(host, "::1", true);
            check(host, "8.8.8.8", true);
            check(host, "169.254.169.254", false);
            check(host, "::ffff:169.254.169.254", false);
        }
        for host in
            ["example", "x.inside.example", "corp.example", ".corp.example", "xcorp.example", "10.0.0.1"]
        {
            check(host, "10.0.0.1", false);
        }
    }

    #[test]
    fn host_patterns() {
        let check = |text: &str, want: Option<&str>| {
            let read = text.parse::<HostPattern>().ok().map(|pattern| pattern.to_string());
            assert_eq!(read.as_deref(), want, "{text}");
        };
        check("Receiver.Example.", Some("receiver.example"));
        check("*.Example", Some("*.example"));
        check("bücher.example", Some("xn--bcher-kva.example"));
        check("single", Some("single"));
        for text in
            ["", "*", "*.", ".", "*.*.example", "a.*", "10.0.0.1", "0x7f.1", "[::1]", "a b", "a/b", "a:1"]
        {
            check(text, None);
        }
        for no_name in ["&", "a..", "a..b", ".a", "*.a.."] {
            check(no_name, None);
        }
    }

    proptest! {
        #[test]
        fn mapped_is_judged_as_its_ipv4(bits: u32, net: u32, prefix in 0u8..=32) {
            let shift = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let network = format!("{}/{prefix}", Ipv4Addr::from_bits(net & shift));
            let networks = vec![network.parse().expect("valid")];
            for egress in [Egress::default(), Egress { allow_networks: networks, ..Egress::default() }] {
                let v4 = Ipv4Addr::from_bits(bits);
                let mapped = IpAddr::V6(v4.to_ipv6_mapped());
                prop_assert_eq!(egress.check_address("a", v4.into()), egress.check_address("a", mapped));
            }
        }
    }
}
