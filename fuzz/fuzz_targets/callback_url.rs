//! A callback URL that is taken means the same when it is read again, and no address that is special gets
//! through the egress rules, however it is written. What is special is said here a second time, in
//! another way: by octets instead of by blocks.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postrider::model::CallbackUrl;
use postrider::send::network::Network;
use postrider::send::target::Egress;

libfuzzer_sys::fuzz_target!(|input: (u128, u8, String)| {
    let (bits, prefix, text) = input;
    url(&text);
    let v6 = Ipv6Addr::from_bits(bits);
    let v4 = Ipv4Addr::from_bits(bits as u32);
    // Forms that a random address would hardly ever have.
    let embedded = u128::from(v4.to_bits());
    let nat64 = 0x0064_ff9b_u128 << 96 | embedded;
    let translated = 0xffff_0000_u128 << 32 | embedded;
    let isatap = (bits >> 64 << 64) | 0x5efe_0000_0000 | embedded;
    for bits in [nat64, translated, embedded, isatap, bits & 0x3f, bits >> 100 | 0x2001 << 112] {
        judge(Ipv6Addr::from_bits(bits).into());
    }
    judge(v6.into());
    judge(v4.into());
    judge(v4.to_ipv6_mapped().into());
    networks(&text, v6.into(), prefix);
    networks(&text, v4.into(), prefix);
});

fn url(text: &str) {
    let Ok(url) = CallbackUrl::parse(text) else { return };
    assert_eq!(CallbackUrl::parse(url.as_str()).as_ref(), Ok(&url));
    assert!(url.target().starts_with('/'));
    assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!url.host_header().is_empty());
    assert_ne!(url.authority().port, 0);
    let host = &*url.authority().host;
    assert!(!host.contains(['@', '/', '\\', '%', ' ', '[', ']']), "{host}");
    match host.parse::<IpAddr>() {
        Ok(address) => judge(address),
        // What is no address must not be one to anybody else: the C library takes 0x7f.1 and 2130706433.
        Err(_) => {
            let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
            let hexadecimal =
                last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(!last.is_empty(), "{host}");
            assert!(!hexadecimal && !last.bytes().all(|b| b.is_ascii_digit()), "{host} is a number");
        }
    }
}

fn judge(address: IpAddr) {
    let open = Egress::default().check_address("a.test", address).is_ok();
    assert_eq!(open, is_public(address), "{address}");
}

/// A network opens what lies in it and nothing else.
fn networks(text: &str, address: IpAddr, prefix: u8) {
    let _ = text.parse::<Network>();
    let Ok(network) = format!("{address}/{prefix}").parse::<Network>() else { return };
    let egress = Egress { allow_networks: vec![network], ..Egress::default() };
    assert!(egress.check_address("a.test", address).is_ok());
    let other: IpAddr = Ipv4Addr::LOCALHOST.into();
    assert_eq!(egress.check_address("a.test", other).is_ok(), network.contains(other));
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address.octets()),
        IpAddr::V6(address) => is_public_v6(address.segments()),
    }
}

fn is_public_v4(octets: [u8; 4]) -> bool {
    match octets {
        [168, 63, 129, 16] => false,
        [0 | 10 | 127 | 224..=255, ..] => false,
        [100, 64..=127, ..] => false,
        [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] | [198, 18..=19, ..] => false,
        [192, 0, 0 | 2, _] | [192, 31, 196, _] | [192, 52, 193, _] | [192, 88, 99, _] => false,
        [192, 175, 48, _] | [198, 51, 100, _] | [203, 0, 113, _] => false,
        _ => true,
    }
}

fn is_public_v6(groups: [u16; 8]) -> bool {
    let low = [groups[6].to_be_bytes(), groups[7].to_be_bytes()].concat();
    let low = is_public_v4([low[0], low[1], low[2], low[3]]);
    match groups {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => low,
        [0..=0x1fff | 0x4000..=0xffff, ..] => false,
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002 | 0x3ffe, ..] => false,
        [0x2620, 0x4f, 0x8000, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => low,
        _ => true,
    }
}
