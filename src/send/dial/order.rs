//! In which order addresses are tried (RFC 8305 §4): the families in turn, IPv6 first, but IPv4 first for
//! hosts where that was what worked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::Mono;

/// Addresses of one target that are tried at most.
pub(super) const TRIED_MAX: usize = 8;
/// For how long IPv4 goes first where IPv6 did not work.
const REMEMBER: Duration = Duration::from_secs(600);
/// Hosts that this is remembered of. At the bound all are forgotten: each then costs one delay.
const HOSTS_MAX: usize = 4096;

/// Up to [`TRIED_MAX`] addresses, the families in turn.
pub(super) fn in_turn(addresses: &[IpAddr], v4_first: bool) -> Vec<IpAddr> {
    let of = |v4: bool| addresses.iter().copied().filter(move |address| address.is_ipv4() == v4);
    let (mut first, mut second) = (of(v4_first), of(!v4_first));
    let mut order = Vec::with_capacity(addresses.len().min(TRIED_MAX));
    while order.len() < TRIED_MAX {
        let both = [first.next(), second.next()];
        if both == [None, None] {
            break;
        }
        order.extend(both.into_iter().flatten());
    }
    order.truncate(TRIED_MAX);
    order
}

/// Hosts to which IPv4 goes first, and until when.
#[derive(Default)]
pub(super) struct Families(RefCell<HashMap<Box<str>, Mono>>);

impl Families {
    pub(super) fn prefers_v4(&self, host: &str, now: Mono) -> bool {
        self.0.borrow().get(host).is_some_and(|until| now < *until)
    }

    /// Notes which family a connection was made with, and whether it was by the first address tried.
    pub(super) fn note(&self, host: &str, v4: bool, is_first: bool, now: Mono) {
        if is_first {
            return;
        }
        let mut hosts = self.0.borrow_mut();
        if !v4 {
            hosts.remove(host);
            return;
        }
        if hosts.len() >= HOSTS_MAX {
            hosts.clear();
        }
        hosts.insert(host.into(), now + REMEMBER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns() {
        let check = |addresses: &str, v4_first: bool, want: &str| {
            let parse = |text: &str| -> Vec<IpAddr> {
                text.split_whitespace().map(|one| one.parse().expect("an address")).collect()
            };
            assert_eq!(in_turn(&parse(addresses), v4_first), parse(want), "{addresses}");
        };
        check("", false, "");
        check("1.1.1.1", false, "1.1.1.1");
        check("1.1.1.1 ::1 1.1.1.2 ::2 ::3", false, "::1 1.1.1.1 ::2 1.1.1.2 ::3");
        check("1.1.1.1 ::1 1.1.1.2 ::2 ::3", true, "1.1.1.1 ::1 1.1.1.2 ::2 ::3");
        check("::1 ::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9 1.1.1.1", false, "::1 1.1.1.1 ::2 ::3 ::4 ::5 ::6 ::7");
    }

    #[test]
    fn what_worked_goes_first_for_a_while() {
        let families = Families::default();
        families.note("a", true, true, Mono(0));
        assert!(!families.prefers_v4("a", Mono(0)), "it was the only one");
        families.note("a", true, false, Mono(0));
        assert!(families.prefers_v4("a", Mono(0)));
        assert!(!families.prefers_v4("b", Mono(0)));
        assert!(!families.prefers_v4("a", Mono(0) + REMEMBER));
        families.note("a", false, false, Mono(0));
        assert!(!families.prefers_v4("a", Mono(0)));
        for n in 0..2 * HOSTS_MAX {
            families.note(&n.to_string(), true, false, Mono(0));
        }
        assert!(families.0.borrow().len() <= HOSTS_MAX);
    }
}
