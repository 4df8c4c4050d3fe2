//! The addresses that are not the public internet.
//!
//! The whole of IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890, as they stood in
//! 2025-10), also those parts that are globally reachable (anycast relays, AS112): no receiver lives
//! there. Besides them multicast, forms of IPv4 in IPv6, and what clouds answer to their own machines.
//! In IPv6 only global unicast space (2000::/3) is open at all, so that what is assigned later is not open
//! by accident. Deliberately absent: prefixes that a network chose for its own NAT64, which cannot be known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::network::Network;

/// Answers a machine's own questions with its credentials. Closed even to hosts that are allowed by name.
pub(super) const METADATA: &str = "cloud metadata service";

/// A block, what it is, and who says so. Of blocks within blocks the inner one stands first: it is what
/// an error names.
type Row = (Network, &'static str, &'static str);

#[rustfmt::skip]
const SPECIAL_V4: [Row; 28] = [
    (Network::v4(169, 254, 169, 254, 32), METADATA, "AWS, Google Cloud, Azure, Oracle, OpenStack, DigitalOcean, Hetzner"),
    (Network::v4(169, 254, 170, 2, 32), METADATA, "AWS: credentials of containers"),
    (Network::v4(169, 254, 170, 23, 32), METADATA, "AWS: credentials of pods"),
    (Network::v4(169, 254, 0, 23, 32), METADATA, "Tencent Cloud"),
    (Network::v4(169, 254, 42, 42, 32), METADATA, "Scaleway"),
    (Network::v4(100, 100, 100, 200, 32), METADATA, "Alibaba Cloud"),
    (Network::v4(192, 0, 0, 192, 32), METADATA, "Oracle Cloud Classic"),
    (Network::v4(168, 63, 129, 16, 32), METADATA, "Azure: platform services, in public space"),
    (Network::v4(0, 0, 0, 0, 32), "unspecified address", "RFC 1122 §3.2.1.3"),
    (Network::v4(255, 255, 255, 255, 32), "broadcast", "RFC 919"),
    (Network::v4(0, 0, 0, 0, 8), "this network (0.0.0.0/8)", "RFC 791 §3.2"),
    (Network::v4(10, 0, 0, 0, 8), "private use (10.0.0.0/8)", "RFC 1918"),
    (Network::v4(100, 64, 0, 0, 10), "shared address space (100.64.0.0/10)", "RFC 6598"),
    (Network::v4(127, 0, 0, 0, 8), "loopback (127.0.0.0/8)", "RFC 1122 §3.2.1.3"),
    (Network::v4(169, 254, 0, 0, 16), "link-local (169.254.0.0/16)", "RFC 3927"),
    (Network::v4(172, 16, 0, 0, 12), "private use (172.16.0.0/12)", "RFC 1918"),
    (Network::v4(192, 0, 0, 0, 24), "IETF protocol assignments (192.0.0.0/24)", "RFC 6890, with its anycast addresses"),
    (Network::v4(192, 0, 2, 0, 24), "documentation (192.0.2.0/24)", "RFC 5737"),
    (Network::v4(192, 31, 196, 0, 24), "AS112 (192.31.196.0/24)", "RFC 7535"),
    (Network::v4(192, 52, 193, 0, 24), "AMT relays (192.52.193.0/24)", "RFC 7450"),
    (Network::v4(192, 88, 99, 0, 24), "6to4 relays (192.88.99.0/24)", "RFC 7526, RFC 6751"),
    (Network::v4(192, 168, 0, 0, 16), "private use (192.168.0.0/16)", "RFC 1918"),
    (Network::v4(192, 175, 48, 0, 24), "AS112 (192.175.48.0/24)", "RFC 7534"),
    (Network::v4(198, 18, 0, 0, 15), "benchmarking (198.18.0.0/15)", "RFC 2544"),
    (Network::v4(198, 51, 100, 0, 24), "documentation (198.51.100.0/24)", "RFC 5737"),
    (Network::v4(203, 0, 113, 0, 24), "documentation (203.0.113.0/24)", "RFC 5737"),
    (Network::v4(224, 0, 0, 0, 4), "multicast (224.0.0.0/4)", "RFC 5771"),
    (Network::v4(240, 0, 0, 0, 4), "reserved (240.0.0.0/4)", "RFC 1112 §4"),
];

#[rustfmt::skip]
const SPECIAL_V6: [Row; 29] = [
    (Network::v6(0, 0, 0, 0, 128), "unspecified address", "RFC 4291 §2.5.2"),
    (Network::v6_whole([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback (::1)", "RFC 4291 §2.5.3"),
    (Network::v6(0, 0, 0, 0, 96), "IPv4-compatible (::/96)", "RFC 4291 §2.5.5.1, deprecated"),
    (Network::v6_whole([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "IPv4-translated (::ffff:0:0:0/96)", "RFC 2765, deprecated"),
    (Network::v6(0x64, 0xff9b, 1, 0, 48), "local NAT64 (64:ff9b:1::/48)", "RFC 8215"),
    (Network::v6(0x100, 0, 0, 0, 64), "discard-only (100::/64)", "RFC 6666"),
    (Network::v6(0x100, 0, 0, 1, 64), "dummy prefix (100:0:0:1::/64)", "RFC 9780"),
    (Network::v6(0x2001, 0, 0, 0, 32), "Teredo (2001::/32)", "RFC 4380"),
    (Network::v6(0x2001, 2, 0, 0, 48), "benchmarking (2001:2::/48)", "RFC 5180"),
    (Network::v6(0x2001, 3, 0, 0, 32), "AMT relays (2001:3::/32)", "RFC 7450"),
    (Network::v6(0x2001, 4, 0x112, 0, 48), "AS112 (2001:4:112::/48)", "RFC 7535"),
    (Network::v6(0x2001, 0x10, 0, 0, 28), "ORCHID (2001:10::/28)", "RFC 4843, deprecated"),
    (Network::v6(0x2001, 0x20, 0, 0, 28), "ORCHIDv2 (2001:20::/28)", "RFC 7343"),
    (Network::v6(0x2001, 0x30, 0, 0, 28), "drone identifiers (2001:30::/28)", "RFC 9374"),
    (Network::v6(0x2001, 0, 0, 0, 23), "IETF protocol assignments (2001::/23)", "RFC 2928, with its anycast addresses"),
    (Network::v6(0x2001, 0xdb8, 0, 0, 32), "documentation (2001:db8::/32)", "RFC 3849"),
    (Network::v6(0x2002, 0, 0, 0, 16), "6to4 (2002::/16)", "RFC 3056, RFC 7526"),
    (Network::v6(0x2620, 0x4f, 0x8000, 0, 48), "AS112 (2620:4f:8000::/48)", "RFC 7534"),
    (Network::v6(0x3ffe, 0, 0, 0, 16), "6bone (3ffe::/16)", "RFC 3701"),
    (Network::v6(0x3fff, 0, 0, 0, 20), "documentation (3fff::/20)", "RFC 9637"),
    (Network::v6(0x5f00, 0, 0, 0, 16), "segment routing (5f00::/16)", "RFC 9602"),
    (Network::v6_whole([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), METADATA, "AWS"),
    (Network::v6_whole([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), METADATA, "AWS: credentials of pods"),
    (Network::v6_whole([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), METADATA, "Google Cloud"),
    (Network::v6_whole([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128), METADATA, "Scaleway"),
    (Network::v6(0xfc00, 0, 0, 0, 7), "unique local (fc00::/7)", "RFC 4193"),
    (Network::v6(0xfe80, 0, 0, 0, 10), "link-local (fe80::/10)", "RFC 4291 §2.5.6"),
    (Network::v6(0xfec0, 0, 0, 0, 10), "site-local (fec0::/10)", "RFC 3879, deprecated"),
    (Network::v6(0xff00, 0, 0, 0, 8), "multicast (ff00::/8)", "RFC 4291 §2.7"),
];

/// NAT64's well-known prefix: a gateway turns what lies in it into IPv4.
const NAT64: Network = Network::v6(0x64, 0xff9b, 0, 0, 96);
/// Global unicast: all of IPv6 that is given to anybody.
const GLOBAL_UNICAST: Network = Network::v6(0x2000, 0, 0, 0, 3);
/// Where ISATAP puts an IPv4 address: the interface identifier begins with this, but for bit 0x0200.
const ISATAP: u32 = 0x5efe;

/// What `address` is, if it is not a public one. An IPv4-mapped address is what the system would connect
/// to: that IPv4 address.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn first_match(table: &[Row], address: IpAddr) -> Option<&'static str> {
    table.iter().find(|(network, ..)| network.contains(address)).map(|(_, what, _)| *what)
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    first_match(&SPECIAL_V4, address.into())
}

#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what is meant")]
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let embedded = Ipv4Addr::from_bits(address.to_bits() as u32);
    if NAT64.contains(address.into()) {
        // The gateway's IPv4 is not this machine's: an allowed IPv4 network does not open it.
        return special_v4(embedded).map(|what| metadata_or(what, "NAT64 of a special IPv4 address"));
    }
    if let Some(what) = first_match(&SPECIAL_V6, address.into()) {
        return Some(if embeds_metadata(address) { METADATA } else { what });
    }
    if !GLOBAL_UNICAST.contains(address.into()) {
        return Some("not global unicast");
    }
    let identifier = (address.to_bits() >> 32) as u32 & !0x0200_0000;
    if identifier == ISATAP {
        return special_v4(embedded).map(|what| metadata_or(what, "ISATAP of a special IPv4 address"));
    }
    None
}

/// The metadata service stays what it is in every form, since nothing opens it.
fn metadata_or(what: &'static str, form: &'static str) -> &'static str {
    if what == METADATA { METADATA } else { form }
}

/// Whether one of the forms that carry an IPv4 address (6to4 after its prefix, the others at their end) leads
/// to the metadata service.
#[expect(clippy::cast_possible_truncation, reason = "32 bits are what is meant")]
fn embeds_metadata(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let is_metadata = |bits: u32| special_v4(Ipv4Addr::from_bits(bits)) == Some(METADATA);
    let six_to_four = (bits >> 112) as u16 == 0x2002;
    is_metadata(bits as u32) || six_to_four && is_metadata((bits >> 80) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(address: &str) -> Option<&'static str> {
        special(address.parse().unwrap_or_else(|_| panic!("{address}")))
    }

    #[test]
    fn special_addresses_are_forbidden() {
        let check = |addresses: &[&str], want: &str| {
            for address in addresses {
                let what = judge(address).unwrap_or_else(|| panic!("{address} got through"));
                assert!(what.contains(want), "{address}: {what}, not {want}");
            }
        };
        check(&["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192"], "metadata");
        check(&["168.63.129.16", "::ffff:169.254.169.254", "169.254.170.23", "169.254.0.23"], "metadata");
        check(&["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42"], "metadata");
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
        check(&["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1"], "NAT64");
        check(&["64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254", "::169.254.169.254"], "metadata");
        check(&["2002:a9fe:a9fe::1", "2600::5efe:169.254.169.254", "::ffff:0:169.254.169.254"], "metadata");
        check(&["64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::"], "local NAT64");
        check(&["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"], "Teredo");
        check(&["2001:10::1", "2001:1f::1", "2001:20::1", "2001:2f::"], "ORCHID");
        check(&["2001:30::1"], "drone");
        check(&["100::1"], "discard");
        check(&["100:0:0:1::1"], "dummy");
        check(&["3ffe::1"], "6bone");
        check(&["5f00::1"], "segment routing");
        check(&["fc00::", "fdff::1", "fd00:ec2::253"], "unique local");
        check(&["fec0::1", "feff::1"], "site-local");
        check(&["::127.0.0.1", "::8.8.8.8"], "IPv4-compatible");
        check(&["4000::1", "1fff::1", "8000::", "64:ff9b:2::1"], "global");
        check(&["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"], "IPv4-translated");
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
            assert_eq!(judge(address), None, "{address}");
        }
    }

    /// Each row closes its block from end to end, and is what an error names.
    #[test]
    fn every_row_is_reached() {
        for (network, what, source) in SPECIAL_V4.iter().chain(&SPECIAL_V6) {
            let some = network.some_addresses();
            assert!(some.iter().all(|address| special(*address).is_some()), "{network}");
            // Blocks within it may have their own names, but not all of it.
            assert!(some.iter().any(|address| special(*address) == Some(what)), "{network}: {what}");
            assert!(source.starts_with("RFC ") || *what == METADATA, "{network}: {source}");
            if let Some((_, text)) = what.split_once('(').filter(|(_, text)| text.contains('/')) {
                assert_eq!(text.trim_end_matches(')').parse(), Ok(*network), "{what}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_the_standard_library_knows_as_special_is_open(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let known = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!known || special(v4.into()).is_some());
        }

        #[test]
        fn outside_global_unicast_only_nat64_is_open(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits);
            let open = special(v6.into()).is_none();
            let may = bits >> 125 == 1 || v6.to_ipv4_mapped().is_some() || NAT64.contains(v6.into());
            prop_assert!(!open || may);
        }
    }
}
