//! What the operator says of single receiving hosts (`[[host]]`), in place of what holds for all.
//!
//! One value, made at the start and shared by routing, scheduling and sending, so that they cannot
//! disagree about a host. The most exact rule wins whole: `example.com:8443` before `example.com`;
//! rules are not merged. Deliberately absent: patterns, and a look into DNS. A rule means the host as the
//! callback URL spells it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Authority, ClientIdentity};

/// What holds for one host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRule {
    /// Workers over which its subscriptions are spread, from 1.
    pub spread: usize,
    /// Connections at once, from 1; `None` is the general bound. With more than one worker each has this
    /// many.
    pub max_connections: Option<u32>,
    /// Requests a second to the whole host; `None` is no limit.
    pub rate_per_second: Option<f64>,
    /// HTTP/2 without asking: by prior knowledge over `http`, as the only protocol offered over `https`.
    pub http2: bool,
    /// Shown when the host asks for a certificate and the subscription has none of its own.
    pub identity: Option<Arc<ClientIdentity>>,
}

impl HostRule {
    /// What holds for a host that nothing is said of.
    pub const DEFAULT: Self =
        Self { spread: 1, max_connections: None, rate_per_second: None, http2: false, identity: None };
}

impl Default for HostRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// All rules, found by authority in constant time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostRules {
    rules: HashMap<Box<str>, Vec<(Option<u16>, HostRule)>>,
}

impl HostRules {
    /// From pairs of host and rule. A host is `example.com`, for every port and both schemes, or
    /// `example.com:8443`; an IPv6 address stands in brackets. Of two rules for one host the first counts.
    pub fn new<'a>(rules: impl IntoIterator<Item = (&'a str, HostRule)>) -> Self {
        let mut all: HashMap<Box<str>, Vec<(Option<u16>, HostRule)>> = HashMap::new();
        for (host, rule) in rules {
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !host.ends_with(']') => (name, port.parse().ok()),
                _ => (host, None),
            };
            // As a callback URL's host is spelt: `url` made both.
            let name = url::Host::parse(name).map_or_else(
                |_| name.to_lowercase(),
                |name| match name {
                    url::Host::Ipv6(address) => address.to_string(),
                    other => other.to_string(),
                },
            );
            let rules = all.entry(name.into()).or_default();
            if rules.iter().all(|(other, _)| *other != port) {
                rules.push((port, rule));
            }
        }
        Self { rules: all }
    }

    /// The rule that holds for this authority.
    pub fn of(&self, authority: &Authority) -> &HostRule {
        let Some(rules) = self.rules.get(&authority.host) else { return &HostRule::DEFAULT };
        let exact = rules.iter().find(|(port, _)| *port == Some(authority.port));
        let rule = exact.or_else(|| rules.iter().find(|(port, _)| port.is_none()));
        rule.map_or(&HostRule::DEFAULT, |(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallbackUrl;

    #[test]
    fn the_most_exact_rule_wins() {
        let rule = |max| HostRule { max_connections: Some(max), ..HostRule::DEFAULT };
        let rules = HostRules::new([
            ("example.com", rule(1)),
            ("Example.com:8443", rule(2)),
            ("[2001:DB8::1]:9000", rule(3)),
            ("[::1]", rule(4)),
            ("127.0.0.1", rule(5)),
            ("bücher.example", rule(6)),
            ("example.com", rule(7)),
        ]);
        for (url, want) in [
            ("https://example.com/a", Some(1)),
            ("http://EXAMPLE.com/", Some(1)),
            ("https://example.com:8443/", Some(2)),
            ("https://www.example.com/", None),
            ("https://[2001:db8::1]:9000/", Some(3)),
            ("https://[2001:db8::1]/", None),
            ("http://[::1]:81/", Some(4)),
            ("http://127.0.0.1:9/", Some(5)),
            ("https://xn--bcher-kva.example/", Some(6)),
        ] {
            let url: CallbackUrl = CallbackUrl::parse(url).unwrap();
            assert_eq!(rules.of(url.authority()).max_connections, want, "{url:?}");
        }
    }
}
