//! What the operator allows and refuses by name: a pattern means the names it says and no other, none opens
//! a cloud's metadata service, and a rule for a host holds for that host however its URL is written.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use postrider::model::{CallbackUrl, HostRule, HostRules};
use postrider::send::target::{Egress, HostPattern};

const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

libfuzzer_sys::fuzz_target!(|input: (&str, &str, Vec<(String, u8)>, u16)| {
    let (pattern, url, rules, port) = input;
    let url = CallbackUrl::parse(url);
    if let Ok(pattern) = pattern.parse::<HostPattern>() {
        let text = pattern.to_string();
        assert_eq!(text.parse::<HostPattern>().as_ref(), Ok(&pattern), "{text}");
        let egress = Egress { allow_hosts: vec![pattern], refuse_ports: vec![port], ..Egress::default() };
        if let Ok(url) = &url {
            by_name(&egress, &text, url);
        }
        assert!(egress.check_port(port).is_err());
    }
    if let Ok(url) = &url {
        by_host(&rules, url);
    }
});

fn by_name(egress: &Egress, pattern: &str, url: &CallbackUrl) {
    let host = &*url.authority().host;
    let bare = host.strip_suffix('.').unwrap_or(host);
    let meant = match pattern.strip_prefix("*.") {
        Some(above) => bare.len() > above.len() + 1 && bare.ends_with(&format!(".{above}")),
        None => bare == pattern,
    };
    let loopback = egress.check_address(host, Ipv4Addr::LOCALHOST.into());
    assert_eq!(loopback.is_ok(), meant, "{pattern} and {host}");
    assert!(egress.check_address(host, METADATA).is_err(), "{pattern} opens the metadata service");
}

/// The rule that holds is the first of the most exact ones.
fn by_host(rules: &[(String, u8)], url: &CallbackUrl) {
    let authority = url.authority();
    let rule = |number: u8| HostRule { spread: usize::from(number), ..HostRule::DEFAULT };
    let (name, own) = if authority.host.contains(':') {
        (format!("[{}]", authority.host), format!("[{}]:{}", authority.host, authority.port))
    } else {
        (authority.host.to_string(), format!("{}:{}", authority.host, authority.port))
    };
    let mine = [(own.as_str(), rule(200)), (name.as_str(), rule(201))];
    let others = || rules.iter().map(|(host, number)| (host.as_str(), rule(*number)));
    let first = HostRules::new(mine.iter().cloned().chain(others()));
    assert_eq!(first.of(authority).spread, 200, "{own}");
    let other_port = HostRules::new([(name.as_str(), rule(201))]);
    assert_eq!(other_port.of(authority).spread, 201, "{name}");
    let _ = HostRules::new(others()).of(authority);
}
