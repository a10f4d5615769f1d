//! Networks, as `10.0.0.0/8` or a single address, and the sites that per-address limits count by.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use crate::{Value, value::quote};

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// IPv4 addresses as IPv6 has them, so that there is one length to compare.
    bits: u128,
    prefix: u32,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        masked(bits(ip), self.prefix) == self.bits
    }

    /// Whether an address is in one of `networks`.
    #[must_use]
    pub fn any_contains(networks: &[Self], ip: IpAddr) -> bool {
        networks.iter().any(|network| network.contains(ip))
    }

    /// This machine: `127.0.0.0/8` and `::1`.
    pub const LOOPBACK: [Self; 2] = [
        Self {
            bits: 0xffff_7f00_0000,
            prefix: V4_PREFIX + 8,
        },
        Self {
            bits: 1,
            prefix: u128::BITS,
        },
    ];
}

/// What counts as one address: of IPv6, all that one host may choose from (`/64`).
#[must_use]
pub fn site(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(masked(ip.to_bits(), SITE_PREFIX)).into(),
        ip => ip,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpAddr::V6(Ipv6Addr::from_bits(self.bits)).to_canonical() {
            IpAddr::V4(ip) if self.prefix >= V4_PREFIX => {
                write!(f, "{ip}/{}", self.prefix - V4_PREFIX)
            }
            _ => write!(f, "{}/{}", Ipv6Addr::from_bits(self.bits), self.prefix),
        }
    }
}

impl Value for Network {
    fn parse(text: &str) -> Result<Self, String> {
        parse(text.trim()).ok_or_else(|| "a network, such as 10.0.0.0/8 or 2001:db8::/32".into())
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

fn parse(text: &str) -> Option<Network> {
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let (longest, before) = if ip.is_ipv4() {
        (u128::BITS - V4_PREFIX, V4_PREFIX)
    } else {
        (u128::BITS, 0)
    };
    let prefix = prefix.unwrap_or(longest);
    let prefix = (prefix <= longest).then_some(prefix + before)?;
    Some(Network {
        bits: masked(bits(ip), prefix),
        prefix,
    })
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn masked(bits: u128, prefix: u32) -> u128 {
    let rest = u128::BITS.saturating_sub(prefix);
    u128::MAX.checked_shl(rest).map_or(0, |mask| bits & mask)
}

/// What stands before an IPv4 address that is written as IPv6.
const V4_PREFIX: u32 = 96;

const SITE_PREFIX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_has_its_bounds() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
        ] {
            let network = Network::parse(network).expect("a network");
            assert!(network.contains(ip(inside)), "{network} {inside}");
            assert!(!network.contains(ip(outside)), "{network} {outside}");
        }
        let everything = Network::parse("::/0").expect("a network");
        assert!(everything.contains(ip("2001:db8::1")) && everything.contains(ip("10.0.0.1")));
    }

    #[test]
    fn networks_are_shown_as_they_are_read() {
        for text in [
            "10.0.0.0/8",
            "192.0.2.7/32",
            "2001:db8::/32",
            "::/0",
            "0.0.0.0/0",
        ] {
            let network = Network::parse(text).expect("a network");
            assert_eq!(network.to_string(), text);
        }
        let cut = Network::parse("10.1.2.3/8").expect("a network");
        assert_eq!(cut.show(), "\"10.0.0.0/8\"");
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a/8",
            "::1/",
            "::1/-1",
        ] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        let loopback = ["127.0.0.0/8", "::1/128"].map(|text| Network::parse(text).expect("one"));
        assert_eq!(loopback, Network::LOOPBACK);
    }

    #[test]
    fn a_site_is_what_one_host_may_choose_from() {
        assert_eq!(site(ip("10.0.0.1")), ip("10.0.0.1"));
        assert_eq!(site(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
        assert_eq!(site(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_ne!(site(ip("2001:db8:1:3::1")), site(ip("2001:db8:1:2::1")));
    }
}
