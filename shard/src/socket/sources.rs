//! Which source address the system takes by itself for a remote: a socket bound to every address
//! need not say the source where it is this one anyway. Asked by connecting a socket, which sends
//! nothing, and asked again from time to time, because routes change.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// Answers for the remotes of late.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: HashMap<IpAddr, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    source: Option<IpAddr>,
    at: Instant,
}

impl Sources {
    /// The address that a datagram to `remote` leaves from if nothing is said.
    pub(super) fn chosen(&mut self, remote: IpAddr) -> Option<IpAddr> {
        let now = Instant::now();
        if let Some(known) = self.known.get(&remote)
            && now - known.at < KEEP
        {
            return known.source;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let source = ask(remote);
        self.known.insert(remote, Known { source, at: now });
        source
    }
}

fn ask(remote: IpAddr) -> Option<IpAddr> {
    let any = match remote {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    // Any port: nothing is sent.
    socket.connect(SocketAddr::new(remote, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// How long an answer is believed. A wrong one costs what a changed route costs anyway.
const KEEP: Duration = Duration::from_secs(30);

/// Most remotes known.
const KNOWN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let mut sources = Sources::default();
        assert_eq!(sources.chosen(loopback), Some(loopback));
        // A source that the system would not take by itself has to be said.
        assert_ne!(sources.chosen(loopback), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(sources.known.len(), 1);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut sources = Sources::default();
        let known = Known {
            source: None,
            at: Instant::now(),
        };
        for n in 0..u16::try_from(KNOWN_MAX).unwrap() {
            let [a, b] = n.to_be_bytes();
            sources.known.insert(IpAddr::from([10, 0, a, b]), known);
        }
        sources.chosen(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(sources.known.len(), 1);
    }
}
