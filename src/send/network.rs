//! A CIDR block, as `allow_networks` lists it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("must be an address and a prefix length such as 10.0.0.0/8")]
    Form,
    #[error("must have a prefix length of at most {0}")]
    Prefix(u8),
    #[error("has bits set behind its prefix; did you mean {0}?")]
    HostBits(Network),
}

/// A block of addresses. One of IPv4-mapped addresses is held as the IPv4 block it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address of the block.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// For tables: a `prefix` that is too long counts as the longest.
    #[must_use]
    pub const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    /// For tables: the first four groups of a block that is written within them.
    #[must_use]
    pub const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), prefix }
    }

    /// For tables: all eight groups.
    #[must_use]
    pub const fn v6_whole([g0, g1, g2, g3, g4, g5, g6, g7]: [u16; 8], prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(g0, g1, g2, g3, g4, g5, g6, g7)), prefix }
    }

    /// Whether `address` lies in this block. IPv4 and IPv6 never contain each other.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                mine.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                mine.to_bits() & mask == theirs.to_bits() & mask
            }
            _ => false,
        }
    }

    /// The first, one in the middle, and the last.
    #[cfg(test)]
    pub(super) fn some_addresses(&self) -> [IpAddr; 3] {
        match self.address {
            IpAddr::V4(first) => {
                let rest = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                [0, rest / 2 + 1, rest].map(|n| Ipv4Addr::from_bits(first.to_bits() | (n & rest)).into())
            }
            IpAddr::V6(first) => {
                let rest = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                [0, rest / 2 + 1, rest].map(|n| Ipv6Addr::from_bits(first.to_bits() | (n & rest)).into())
            }
        }
    }

    fn first_address(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `address/prefix`; an address alone is a block of one.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(NetworkError::Form);
            }
            Some(digits) => {
                let prefix = digits.parse().unwrap_or(u8::MAX);
                if prefix > longest {
                    return Err(NetworkError::Prefix(longest));
                }
                prefix
            }
        };
        let mut network = Self { address, prefix };
        let first = network.first_address();
        if first != address {
            return Err(NetworkError::HostBits(Self { address: first, prefix }));
        }
        if let (IpAddr::V6(v6), Some(prefix)) = (address, prefix.checked_sub(96))
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            network = Self { address: v4.into(), prefix };
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parsing() {
        let check = |text: &str, want: Result<&str, NetworkError>| {
            let got = text.parse::<Network>().map(|network| network.to_string());
            assert_eq!(got, want.map(str::to_owned), "{text}");
        };
        check("127.0.0.0/8", Ok("127.0.0.0/8"));
        check("0.0.0.0/0", Ok("0.0.0.0/0"));
        check("10.1.2.3", Ok("10.1.2.3/32"));
        check("::1", Ok("::1/128"));
        check("::/0", Ok("::/0"));
        check("fd00::/8", Ok("fd00::/8"));
        check("::ffff:10.0.0.0/104", Ok("10.0.0.0/8"));
        check("10.0.0.1/8", Err(NetworkError::HostBits(Network::v4(10, 0, 0, 0, 8))));
        check("10.0.0.0/33", Err(NetworkError::Prefix(32)));
        check("10.0.0.0/999", Err(NetworkError::Prefix(32)));
        check("::/129", Err(NetworkError::Prefix(128)));
        for text in
            ["", "/", "10.0.0.0/", "/8", "10.0.0/8", "010.0.0.0/8", "10.0.0.0/+8", "10.0.0.0/8/8", "a"]
        {
            check(text, Err(NetworkError::Form));
        }
    }

    #[test]
    fn containing() {
        let check = |network: &str, address: &str, want: bool| {
            let network: Network = network.parse().expect("valid");
            assert_eq!(network.contains(address.parse().expect("valid")), want, "{network} {address}");
        };
        check("10.0.0.0/8", "10.255.255.255", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("0.0.0.0/0", "255.1.2.3", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "1.2.3.4", false);
        check("1.2.3.4", "1.2.3.5", false);
        check("fe80::/10", "febf::1", true);
        check("fe80::/10", "fec0::1", false);
    }

    proptest! {
        #[test]
        fn text_both_ways(bits: u128, prefix in 0u8..=128) {
            let address = IpAddr::from(Ipv6Addr::from_bits(bits));
            let network = Network { address: Network { address, prefix }.first_address(), prefix };
            prop_assert!(network.contains(address));
            let read: Network = network.to_string().parse().expect("what it wrote");
            prop_assert!(read == network || address.to_canonical() != address);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,50}") {
            let _ = text.parse::<Network>();
        }
    }
}
