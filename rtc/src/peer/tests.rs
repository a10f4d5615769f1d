//! What a connected side can say on its data channels that no honest one does. It has our own
//! engine, and writes into its SCTP what it likes.

use bytes::BufMut as _;

use super::*;
use crate::sctp::Protocol;
use crate::{Certificate, Role, SignalKind};

/// A server's peer, and one that turns on it.
struct Duel {
    now: Instant,
    ours: Peer,
    theirs: Peer,
    /// Packets that reached each side, ours first.
    packets: [Vec<(Lane, Bytes)>; 2],
    closed: [Option<CloseReason>; 2],
}

impl Duel {
    fn new() -> Self {
        let now = Instant::now();
        let peer = |role, addr: &str, seed| {
            let certificate = Certificate::generate().unwrap();
            let addr = addr.parse().unwrap();
            Peer::new(now, Config::new(role, certificate, vec![addr], seed))
        };
        let lite = Role::Acceptor { ice_lite: true };
        let mut duel = Self {
            now,
            ours: peer(lite, "192.0.2.1:1", 1),
            theirs: peer(Role::Dialer, "192.0.2.2:2", 2),
            packets: Default::default(),
            closed: [None; 2],
        };
        for _ in 0..400 {
            duel.run();
        }
        assert!(duel.ours.fingerprints().is_some() && duel.closed == [None; 2]);
        duel
    }

    /// Five milliseconds.
    fn run(&mut self) {
        self.now += Duration::from_millis(5);
        for side in 0..2 {
            let (peer, other) = match side {
                0 => (&mut self.ours, &mut self.theirs),
                _ => (&mut self.theirs, &mut self.ours),
            };
            if peer.next_deadline().is_some_and(|at| at <= self.now) {
                peer.handle_input(self.now, Input::Tick);
            }
            while let Some(output) = peer.poll_output() {
                match output {
                    Output::Transmit(transmit) => other.handle_input(
                        self.now,
                        Input::Datagram {
                            local: transmit.remote,
                            remote: transmit.local,
                            bytes: &transmit.bytes,
                        },
                    ),
                    Output::Signal(signal) => {
                        assert_ne!(signal.kind, SignalKind::Candidate);
                        other.handle_input(self.now, Input::Signal(signal));
                    }
                    Output::Packet { lane, bytes } => self.packets[side].push((lane, bytes)),
                    Output::Closed(reason) => self.closed[side] = Some(reason),
                    Output::LaneOpen(_) | Output::Writable(_) => {}
                }
            }
        }
    }

    /// The other side writes a message.
    fn attack(&mut self, stream: u16, protocol: Protocol, bytes: &[u8]) {
        let now = self.now;
        let bytes = Bytes::copy_from_slice(bytes);
        let reliable = crate::dcep::Reliability::Reliable;
        let written = self.theirs.layers.with_sctp(|sctp| {
            sctp.open_stream(stream, false, reliable);
            sctp.write(now, stream, protocol, &bytes)
        });
        assert_eq!(written, Some(true));
        for _ in 0..4 {
            self.run();
        }
    }

    /// Both lanes carry packets both ways, and nothing else came.
    fn assert_unharmed(&mut self) {
        for _ in 0..100 {
            self.run();
        }
        assert_eq!(self.closed, [None; 2]);
        let alive = Bytes::from_static(b"alive");
        for lane in Lane::ALL {
            self.ours.send(self.now, lane, &alive).unwrap();
            self.theirs.send(self.now, lane, &alive).unwrap();
        }
        for _ in 0..100 {
            self.run();
        }
        for packets in &self.packets {
            assert_eq!(packets.len(), 2, "{packets:?}");
            assert!(packets.iter().all(|(_, bytes)| *bytes == alive));
        }
    }
}

/// An OPEN for a channel of that label.
fn open(label: &[u8]) -> Vec<u8> {
    let mut open = vec![3, 0, 0, 0, 0, 0, 0, 0];
    open.put_u16(u16::try_from(label.len()).unwrap());
    open.put_u16(0);
    open.extend(label);
    open
}

#[test]
fn nonsense_in_the_establishment_of_channels_is_counted_and_harms_nothing() {
    let mut duel = Duel::new();
    let whole = open(b"reliable");
    let mut nonsense = vec![vec![0], vec![1; 12], vec![4], vec![255; 200], vec![3]];
    // Cut short, with lengths that lie, of an unknown kind, with a label that is no text.
    nonsense.extend((1..whole.len()).map(|length| whole[..length].to_vec()));
    nonsense.push([&whole[..], b"more"].concat());
    nonsense.push([&[3, 0x7f], &whole[2..]].concat());
    nonsense.push(open(&[0xff; 8]));
    nonsense.push(
        [
            &[3, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[0; 40][..],
        ]
        .concat(),
    );
    for stream in [1, 3, 9] {
        for message in &nonsense {
            duel.attack(stream, Protocol::Dcep, message);
        }
    }
    let dropped = usize::try_from(duel.ours.stats().dropped_packets).unwrap();
    assert_eq!(dropped, 3 * nonsense.len());
    duel.assert_unharmed();
}

#[test]
fn messages_on_channels_that_are_no_lanes_are_counted_and_harm_nothing() {
    let mut duel = Duel::new();
    // Opened with a label that is no lane, and not opened at all.
    duel.attack(20, Protocol::Dcep, &open(b"telemetry"));
    duel.attack(22, Protocol::Dcep, &open(b""));
    for stream in [20, 22, 24] {
        for protocol in [Protocol::Binary, Protocol::String, Protocol::BinaryEmpty] {
            duel.attack(stream, protocol, b"who reads this?");
        }
    }
    assert_eq!(duel.ours.stats().dropped_packets, 9);
    // Of a kind that WebRTC does not have, on a lane.
    duel.attack(1, Protocol::Unknown, b"what is this?");
    assert_eq!(duel.ours.stats().dropped_packets, 10);
    duel.assert_unharmed();
}

/// An acknowledgement that nobody waits for, or an OPEN of a lane once more, is no garbage.
#[test]
fn opening_again_changes_nothing() {
    let mut duel = Duel::new();
    for _ in 0..20 {
        duel.attack(1, Protocol::Dcep, &[2]);
        duel.attack(1, Protocol::Dcep, &open(b"reliable"));
        duel.attack(7, Protocol::Dcep, &[2]);
    }
    duel.assert_unharmed();
}
