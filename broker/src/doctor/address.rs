//! What an address means to somebody elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// From the machine itself.
    Machine,
    /// From the same cable.
    Link,
    /// From the same private network.
    Site,
    /// From everywhere.
    World,
}

/// Why a server that offers `offered` is not reached by all who reach the coordinator at
/// `coordinator`; `None` when it is.
pub(super) fn too_near(coordinator: IpAddr, offered: IpAddr) -> Option<&'static str> {
    let scope = scope(offered);
    if scope >= self::scope(coordinator) {
        return None;
    }
    Some(match scope {
        Scope::Machine => "a loopback address: to another machine it means that machine itself",
        Scope::Link => "a link-local address: it means nothing beyond that cable",
        Scope::Site | Scope::World => {
            "a private address: it is reached from inside its network only"
        }
    })
}

fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    let [first, second, ..] = ip.octets();
    // RFC 6598: behind a carrier's NAT.
    let shared = first == 100 && (64..128).contains(&second);
    if ip.is_loopback() || ip.is_unspecified() {
        Scope::Machine
    } else if ip.is_link_local() {
        Scope::Link
    } else if ip.is_private() || shared {
        Scope::Site
    } else {
        Scope::World
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    if ip.is_loopback() || ip.is_unspecified() {
        Scope::Machine
    } else if ip.is_unicast_link_local() {
        Scope::Link
    } else if ip.is_unique_local() {
        Scope::Site
    } else {
        Scope::World
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_offered_as_far_as_the_coordinator_is_reached() {
        for (coordinator, offered, well) in [
            // All on one machine.
            ("127.0.0.1", "127.0.0.1", true),
            ("::1", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.7", true),
            // In one network.
            ("10.0.0.5", "127.0.0.1", false),
            ("10.0.0.5", "0.0.0.0", false),
            ("10.0.0.5", "10.0.0.7", true),
            ("10.0.0.5", "169.254.1.1", false),
            ("10.0.0.5", "203.0.113.9", true),
            ("::ffff:10.0.0.5", "192.168.1.1", true),
            // In the world.
            ("203.0.113.5", "203.0.113.9", true),
            ("203.0.113.5", "192.168.1.1", false),
            ("203.0.113.5", "172.17.0.2", false),
            ("203.0.113.5", "172.32.0.2", true),
            ("203.0.113.5", "100.64.0.1", false),
            ("203.0.113.5", "100.128.0.1", true),
            ("2001:db8::1", "fd00::1", false),
            ("2001:db8::1", "fe80::1", false),
            ("2001:db8::1", "::1", false),
            ("2001:db8::1", "2001:db8::2", true),
        ] {
            let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
            let found = too_near(ip(coordinator), ip(offered));
            assert_eq!(found.is_none(), well, "{coordinator} {offered}: {found:?}");
        }
    }
}
