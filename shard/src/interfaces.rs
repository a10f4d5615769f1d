//! Which of this machine's addresses to offer to peers.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use crate::config::LOCAL_ADDRS_MAX;

/// The addresses to offer for a socket bound to `bound`: those of `advertise`, or the bound one, or
/// for a socket bound to every address those of the interfaces.
pub(crate) fn local_addrs(bound: SocketAddr, advertise: &[IpAddr]) -> io::Result<Vec<SocketAddr>> {
    let ips = if !advertise.is_empty() {
        advertise.to_vec()
    } else if bound.ip().is_unspecified() {
        let found = if_addrs::get_if_addrs()?;
        choose(found.iter().map(if_addrs::Interface::ip), bound.is_ipv6())
    } else {
        vec![bound.ip()]
    };
    let addrs = ips.into_iter().take(LOCAL_ADDRS_MAX);
    Ok(addrs.map(|ip| SocketAddr::new(ip, bound.port())).collect())
}

/// Leaves out what no other machine can reach, unless there is nothing else, and IPv6 where the
/// socket does not speak it.
fn choose(found: impl Iterator<Item = IpAddr>, ipv6: bool) -> Vec<IpAddr> {
    let usable = found.filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        // Link-local addresses need a zone, which candidates do not carry.
        IpAddr::V6(ip) => ipv6 && !ip.is_unicast_link_local(),
    });
    let (loopback, others): (Vec<_>, Vec<_>) = usable.partition(IpAddr::is_loopback);
    if others.is_empty() { loopback } else { others }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(found: &[&str], ipv6: bool) -> Vec<String> {
        let ips = found.iter().map(|ip| ip.parse().unwrap());
        choose(ips, ipv6).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn what_others_can_reach_is_preferred() {
        let found = [
            "127.0.0.1",
            "192.0.2.7",
            "169.254.1.1",
            "::1",
            "fe80::1",
            "2001:db8::1",
        ];
        assert_eq!(chosen(&found, false), ["192.0.2.7"]);
        assert_eq!(chosen(&found, true), ["192.0.2.7", "2001:db8::1"]);
        assert_eq!(chosen(&["127.0.0.1", "::1"], false), ["127.0.0.1"]);
    }

    #[test]
    fn what_the_operator_says_replaces_what_is_found() {
        let bound = "0.0.0.0:7000".parse().unwrap();
        let said: IpAddr = "203.0.113.9".parse().unwrap();
        let addrs = local_addrs(bound, &[said]).unwrap();
        assert_eq!(addrs, [SocketAddr::new(said, 7000)]);
        let bound = "127.0.0.1:7000".parse().unwrap();
        assert_eq!(local_addrs(bound, &[]).unwrap(), [bound]);
        let many: Vec<IpAddr> = (0..20).map(|n| [10, 0, 0, n].into()).collect();
        assert_eq!(local_addrs(bound, &many).unwrap().len(), LOCAL_ADDRS_MAX);
    }
}
