//! Where a delivery may go: the rules that keep callback URLs from reaching into the platform's own
//! network or a cloud's metadata service.
//!
//! Judged are addresses after resolving, never names, and the connection goes to the very address that
//! was judged. The table is the whole of IANA's special-purpose registries, also those parts of them
//! that are globally reachable (anycast relays, AS112): no receiver lives there. In IPv6 only global
//! unicast space (2000::/3) is open at all, so that what is assigned later is not open by accident.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use super::network::{Network, NetworkError};

/// What the operator allows beyond the public internet over TLS.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Callback URLs may be plain http.
    pub allow_http: bool,
    /// Blocks that are open although they are special.
    pub allow_networks: Vec<Network>,
}

/// Why a target is forbidden. Names the kind of range but not the address: who configures a callback
/// URL need not learn what the platform's resolver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("plain http is not allowed")]
    Http,
    #[error("the address is not open to deliveries: {what}")]
    Address { what: &'static str },
}

impl Egress {
    /// # Errors
    /// [`Forbidden::Http`] for plain http where it is not allowed.
    pub fn check_scheme(&self, tls: bool) -> Result<(), Forbidden> {
        if tls || self.allow_http { Ok(()) } else { Err(Forbidden::Http) }
    }

    /// Judges one resolved address. An IPv4-mapped address is judged as the IPv4 address that the
    /// system would connect to.
    ///
    /// # Errors
    /// [`Forbidden::Address`] where the address is special and no allowed network holds it.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let address = address.to_canonical();
        if self.allow_networks.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        let what = match address {
            IpAddr::V4(address) => special_v4(address),
            IpAddr::V6(address) => special_v6(address),
        };
        what.map_or(Ok(()), |what| Err(Forbidden::Address { what }))
    }
}

const METADATA: &str = "cloud metadata service";

/// IANA IPv4 Special-Purpose Address Registry, multicast, and what clouds put into public space.
/// More specific blocks stand first, since the first match names the kind.
const SPECIAL_V4: [(Network, &str); 25] = [
    (Network::v4(169, 254, 169, 254, 32), METADATA),
    (Network::v4(169, 254, 170, 2, 32), METADATA),
    (Network::v4(100, 100, 100, 200, 32), METADATA),
    (Network::v4(192, 0, 0, 192, 32), METADATA),
    (Network::v4(168, 63, 129, 16, 32), METADATA),
    (Network::v4(0, 0, 0, 0, 32), "unspecified address"),
    (Network::v4(255, 255, 255, 255, 32), "broadcast"),
    (Network::v4(0, 0, 0, 0, 8), "this network (0.0.0.0/8)"),
    (Network::v4(10, 0, 0, 0, 8), "private use (10.0.0.0/8)"),
    (Network::v4(100, 64, 0, 0, 10), "shared address space (100.64.0.0/10)"),
    (Network::v4(127, 0, 0, 0, 8), "loopback (127.0.0.0/8)"),
    (Network::v4(169, 254, 0, 0, 16), "link-local (169.254.0.0/16)"),
    (Network::v4(172, 16, 0, 0, 12), "private use (172.16.0.0/12)"),
    (Network::v4(192, 0, 0, 0, 24), "IETF protocol assignments (192.0.0.0/24)"),
    (Network::v4(192, 0, 2, 0, 24), "documentation (192.0.2.0/24)"),
    (Network::v4(192, 31, 196, 0, 24), "AS112 (192.31.196.0/24)"),
    (Network::v4(192, 52, 193, 0, 24), "AMT relays (192.52.193.0/24)"),
    (Network::v4(192, 88, 99, 0, 24), "6to4 relays (192.88.99.0/24)"),
    (Network::v4(192, 168, 0, 0, 16), "private use (192.168.0.0/16)"),
    (Network::v4(192, 175, 48, 0, 24), "AS112 (192.175.48.0/24)"),
    (Network::v4(198, 18, 0, 0, 15), "benchmarking (198.18.0.0/15)"),
    (Network::v4(198, 51, 100, 0, 24), "documentation (198.51.100.0/24)"),
    (Network::v4(203, 0, 113, 0, 24), "documentation (203.0.113.0/24)"),
    (Network::v4(224, 0, 0, 0, 4), "multicast (224.0.0.0/4)"),
    (Network::v4(240, 0, 0, 0, 4), "reserved (240.0.0.0/4)"),
];

/// IANA IPv6 Special-Purpose Address Registry, multicast, deprecated transition forms.
const SPECIAL_V6: [(Network, &str); 21] = [
    (Network::v6(0x64, 0xff9b, 1, 0, 48), "local NAT64 (64:ff9b:1::/48)"),
    (Network::v6(0x100, 0, 0, 0, 64), "discard-only (100::/64)"),
    (Network::v6(0x100, 0, 0, 1, 64), "dummy prefix (100:0:0:1::/64)"),
    (Network::v6(0x2001, 0, 0, 0, 32), "Teredo (2001::/32)"),
    (Network::v6(0x2001, 2, 0, 0, 48), "benchmarking (2001:2::/48)"),
    (Network::v6(0x2001, 3, 0, 0, 32), "AMT relays (2001:3::/32)"),
    (Network::v6(0x2001, 4, 0x112, 0, 48), "AS112 (2001:4:112::/48)"),
    (Network::v6(0x2001, 0x10, 0, 0, 28), "ORCHID (2001:10::/28)"),
    (Network::v6(0x2001, 0x20, 0, 0, 28), "ORCHIDv2 (2001:20::/28)"),
    (Network::v6(0x2001, 0x30, 0, 0, 28), "drone identifiers (2001:30::/28)"),
    (Network::v6(0x2001, 0, 0, 0, 23), "IETF protocol assignments (2001::/23)"),
    (Network::v6(0x2001, 0xdb8, 0, 0, 32), "documentation (2001:db8::/32)"),
    (Network::v6(0x2002, 0, 0, 0, 16), "6to4 (2002::/16)"),
    (Network::v6(0x2620, 0x4f, 0x8000, 0, 48), "AS112 (2620:4f:8000::/48)"),
    (Network::v6(0x3ffe, 0, 0, 0, 16), "6bone (3ffe::/16)"),
    (Network::v6(0x3fff, 0, 0, 0, 20), "documentation (3fff::/20)"),
    (Network::v6(0x5f00, 0, 0, 0, 16), "segment routing (5f00::/16)"),
    (Network::v6(0xfc00, 0, 0, 0, 7), "unique local (fc00::/7)"),
    (Network::v6(0xfe80, 0, 0, 0, 10), "link-local (fe80::/10)"),
    (Network::v6(0xfec0, 0, 0, 0, 10), "site-local (fec0::/10)"),
    (Network::v6(0xff00, 0, 0, 0, 8), "multicast (ff00::/8)"),
];

/// NAT64's well-known prefix: a gateway turns what lies in it into IPv4.
const NAT64: Network = Network::v6(0x64, 0xff9b, 0, 0, 96);
/// Global unicast: all of IPv6 that is given to anybody.
const GLOBAL_UNICAST: Network = Network::v6(0x2000, 0, 0, 0, 3);
/// Where ISATAP puts an IPv4 address: the interface identifier begins with this, but for bit 0x0200.
const ISATAP: u32 = 0x5efe;

fn first_match(table: &[(Network, &'static str)], address: IpAddr) -> Option<&'static str> {
    table.iter().find(|(network, _)| network.contains(address)).map(|(_, what)| *what)
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    first_match(&SPECIAL_V4, address.into())
}

#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what is meant")]
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let embedded = Ipv4Addr::from_bits(address.to_bits() as u32);
    if NAT64.contains(address.into()) {
        // The gateway's IPv4 is not this machine's: an allowed IPv4 network does not open it.
        return special_v4(embedded).map(|_| "NAT64 of a special IPv4 address");
    }
    if address.is_unspecified() {
        return Some("unspecified address");
    }
    if address.is_loopback() {
        return Some("loopback (::1)");
    }
    if let Some(what) = first_match(&SPECIAL_V6, address.into()) {
        return Some(what);
    }
    if !GLOBAL_UNICAST.contains(address.into()) {
        return Some("not global unicast");
    }
    let identifier = (address.to_bits() >> 32) as u32 & !0x0200_0000;
    if identifier == ISATAP && special_v4(embedded).is_some() {
        return Some("ISATAP of a special IPv4 address");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(egress: &Egress, address: &str) -> Option<&'static str> {
        match egress.check_address(address.parse().unwrap_or_else(|_| panic!("{address}"))) {
            Ok(()) => None,
            Err(Forbidden::Address { what }) => Some(what),
            Err(Forbidden::Http) => panic!("no address is a scheme"),
        }
    }

    #[test]
    fn special_addresses_are_forbidden() {
        let egress = Egress::default();
        let check = |addresses: &[&str], want: &str| {
            for address in addresses {
                let what = judge(&egress, address).unwrap_or_else(|| panic!("{address} got through"));
                assert!(what.contains(want), "{address}: {what}, not {want}");
            }
        };
        check(&["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192"], "metadata");
        check(&["168.63.129.16", "::ffff:169.254.169.254"], "metadata");
        check(&["0.0.0.0", "::", "::ffff:0.0.0.0"], "unspecified");
        check(&["0.0.0.1", "0.255.255.255"], "this network");
        check(&["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255"], "private");
        check(&["192.168.0.0", "192.168.255.255", "::ffff:192.168.1.1", "::ffff:a00:1"], "private");
        check(&["100.64.0.0", "100.127.255.255"], "shared");
        check(&["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"], "loopback");
        check(&["169.254.0.0", "169.254.255.255", "fe80::1", "febf:ffff::1"], "link-local");
        check(&["192.0.0.0", "192.0.0.255", "2001:1::1", "2001:5::1", "2001:1ff:ffff::1"], "IETF");
        check(&["192.0.2.0", "198.51.100.255", "203.0.113.7"], "documentation");
        check(&["2001:db8::1", "2001:db8:ffff::", "3fff::1", "3fff:fff::1"], "documentation");
        check(&["192.31.196.1", "192.175.48.1", "2001:4:112::1", "2620:4f:8000::1"], "AS112");
        check(&["192.52.193.1", "2001:3::1"], "AMT");
        check(&["192.88.99.1", "2002::", "2002:7f00:1::", "2002:808:808::1"], "6to4");
        check(&["198.18.0.0", "198.19.255.255", "2001:2::1"], "benchmarking");
        check(&["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"], "multicast");
        check(&["240.0.0.0", "255.255.255.254"], "reserved");
        check(&["255.255.255.255"], "broadcast");
        check(&["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254"], "NAT64");
        check(&["64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::"], "local NAT64");
        check(&["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"], "Teredo");
        check(&["2001:10::1", "2001:1f::1", "2001:20::1", "2001:2f::"], "ORCHID");
        check(&["2001:30::1"], "drone");
        check(&["100::1"], "discard");
        check(&["100:0:0:1::1"], "dummy");
        check(&["3ffe::1"], "6bone");
        check(&["5f00::1"], "segment routing");
        check(&["fc00::", "fdff::1", "fd00:ec2::254"], "unique local");
        check(&["fec0::1", "feff::1"], "site-local");
        check(&["::127.0.0.1", "::8.8.8.8", "4000::1", "1fff::1", "8000::", "64:ff9b:2::1"], "global");
        check(&["::ffff:0:127.0.0.1"], "global");
        check(&["2600::5efe:10.0.0.1", "2600::200:5efe:7f00:1"], "ISATAP");
    }

    #[test]
    fn public_addresses_are_open() {
        for address in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2003::1",
            "2600::5efe:8.8.8.8",
        ] {
            assert_eq!(judge(&Egress::default(), address), None, "{address}");
        }
    }

    #[test]
    fn allowed_networks_open_ranges() {
        let networks = ["127.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("valid"));
        let egress = Egress { allow_http: false, allow_networks: networks.to_vec() };
        let check = |address: &str, open: bool| {
            assert_eq!(judge(&egress, address).is_none(), open, "{address}");
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

    proptest! {
        #[test]
        fn mapped_is_judged_as_its_ipv4(bits: u32, net: u32, prefix in 0u8..=32) {
            let shift = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let network = format!("{}/{prefix}", Ipv4Addr::from_bits(net & shift));
            let networks = vec![network.parse().expect("valid")];
            for egress in [Egress::default(), Egress { allow_http: false, allow_networks: networks }] {
                let v4 = Ipv4Addr::from_bits(bits);
                let mapped = IpAddr::V6(v4.to_ipv6_mapped());
                prop_assert_eq!(egress.check_address(v4.into()), egress.check_address(mapped));
            }
        }

        #[test]
        fn nothing_the_standard_library_knows_as_special_is_open(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || Egress::default().check_address(v4.into()).is_err());
        }

        #[test]
        fn outside_global_unicast_only_nat64_is_open(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits);
            let open = Egress::default().check_address(v6.into()).is_ok();
            let may = bits >> 125 == 1 || v6.to_ipv4_mapped().is_some() || NAT64.contains(v6.into());
            prop_assert!(!open || may);
        }
    }
}
