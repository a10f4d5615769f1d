//! Interoperability: the whole `rtc` engine as the other side, in memory and virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows #[test] functions, not what they call"
)]

mod link;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use link::{ACCEPTOR, CERTIFICATES, DIALER, addrs};
use rtc::data_channel::RTCDataChannelInit;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCIceCandidateInit};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc_peer::{
    CloseReason, Config, Input, Lane, Output, Peer, Role, Signal, SignalKind, Transmit,
};

/// Our peer and a foreign one.
struct Mixed {
    now: Instant,
    ours: Peer,
    foreign: RTCPeerConnection,
    addrs: [SocketAddr; 2],
    open: Vec<Lane>,
    packets: Vec<(Lane, Bytes)>,
    closed: Option<CloseReason>,
    signals: Vec<Signal>,
    foreign_open: Vec<(usize, String)>,
    foreign_packets: Vec<(usize, bool, Vec<u8>)>,
    foreign_closed: usize,
}

impl Mixed {
    fn new(role: Role, foreign_dtls: Option<RTCDtlsRole>) -> Self {
        let now = Instant::now();
        let mut addrs = addrs();
        let side = if role == Role::Dialer {
            DIALER
        } else {
            ACCEPTOR
        };
        if side == DIALER {
            addrs.reverse();
        }
        let [our_addr, foreign_addr] = addrs;
        let config = Config::new(role, CERTIFICATES[side].clone(), vec![our_addr], 1);
        let mut settings = SettingEngineBuilder::new();
        if let Some(dtls) = foreign_dtls {
            settings = settings.with_answering_dtls_role(dtls);
        }
        let mut foreign = RTCPeerConnectionBuilder::new()
            .with_setting_engine(settings.build())
            .build(now)
            .unwrap();
        foreign
            .add_local_candidate(RTCIceCandidateInit {
                candidate: format!(
                    "candidate:1 1 udp 2130706431 {} {} typ host",
                    foreign_addr.ip(),
                    foreign_addr.port()
                ),
                ..Default::default()
            })
            .unwrap();
        Self {
            now,
            ours: Peer::new(now, config),
            foreign,
            addrs,
            open: Vec::new(),
            packets: Vec::new(),
            closed: None,
            signals: Vec::new(),
            foreign_open: Vec::new(),
            foreign_packets: Vec::new(),
            foreign_closed: 0,
        }
    }

    /// Our acceptor offers, the foreign side answers.
    fn acceptor(foreign_dtls: Option<RTCDtlsRole>) -> Self {
        let mut mixed = Self::new(Role::Acceptor { ice_lite: true }, foreign_dtls);
        mixed.exchange();
        let offer = mixed.signals.remove(0);
        assert_eq!(offer.kind, SignalKind::Offer);
        let offer: RTCSessionDescription = serde_json::from_slice(&offer.data).unwrap();
        mixed
            .foreign
            .set_remote_description(mixed.now, offer)
            .unwrap();
        let answer = mixed.foreign.create_answer(None).unwrap();
        mixed
            .foreign
            .set_local_description(mixed.now, answer)
            .unwrap();
        mixed.describe(SignalKind::Answer);
        mixed.connect();
        mixed
    }

    /// The foreign side, a full agent, creates the channels and offers; our dialer answers.
    fn dialer() -> Self {
        let mut mixed = Self::new(Role::Dialer, None);
        mixed.foreign.create_data_channel("reliable", None).unwrap();
        let unreliable = RTCDataChannelInit {
            ordered: false,
            max_retransmits: Some(0),
            ..Default::default()
        };
        mixed
            .foreign
            .create_data_channel("unreliable", Some(unreliable))
            .unwrap();
        let offer = mixed.foreign.create_offer(None).unwrap();
        mixed
            .foreign
            .set_local_description(mixed.now, offer)
            .unwrap();
        mixed.describe(SignalKind::Offer);
        mixed.exchange();
        let answer = mixed.signals.remove(0);
        assert_eq!(answer.kind, SignalKind::Answer);
        let answer: RTCSessionDescription = serde_json::from_slice(&answer.data).unwrap();
        mixed
            .foreign
            .set_remote_description(mixed.now, answer)
            .unwrap();
        mixed.connect();
        mixed
    }

    fn describe(&mut self, kind: SignalKind) {
        let description = self.foreign.local_description().unwrap();
        let data = serde_json::to_vec(&description).unwrap().into();
        let signal = Signal { kind, data };
        self.ours.handle_input(self.now, Input::Signal(signal));
    }

    fn connect(&mut self) {
        let connected = self.run(Duration::from_secs(15), |mixed| {
            mixed.open.len() == 2 && mixed.foreign_open.len() == 2
        });
        assert!(
            connected,
            "{:?} {:?} {:?}",
            self.open, self.foreign_open, self.closed
        );
    }

    fn run(&mut self, time: Duration, until: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            self.exchange();
            if until(self) {
                return true;
            }
            let deadlines = [self.ours.next_deadline(), self.foreign.poll_timeout()];
            let Some(next) = deadlines
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end)
            else {
                self.now = end;
                return until(self);
            };
            self.now = self.now.max(next) + Duration::from_micros(100);
            self.ours.handle_input(self.now, Input::Tick);
            self.foreign.handle_timeout(self.now).unwrap();
        }
    }

    /// Carries datagrams until neither side has any.
    fn exchange(&mut self) {
        loop {
            let mut busy = false;
            while let Some(output) = self.ours.poll_output() {
                busy = true;
                self.take(output);
            }
            while let Some(datagram) = self.foreign.poll_write() {
                busy = true;
                self.ours.handle_input(
                    self.now,
                    Input::Datagram {
                        local: datagram.transport.peer_addr,
                        remote: datagram.transport.local_addr,
                        bytes: &datagram.message,
                    },
                );
            }
            self.listen();
            if !busy {
                return;
            }
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Signal(signal) => self.signals.push(signal),
            Output::Transmit(transmit) => self.carry(&transmit),
            Output::LaneOpen(lane) => self.open.push(lane),
            Output::Packet { lane, bytes } => self.packets.push((lane, bytes)),
            Output::Writable(_) => {}
            Output::Closed(reason) => self.closed = Some(reason),
        }
    }

    fn carry(&mut self, transmit: &Transmit) {
        assert_eq!([transmit.local, transmit.remote], self.addrs);
        let datagram = TaggedBytesMut {
            now: self.now,
            transport: TransportContext {
                local_addr: transmit.remote,
                peer_addr: transmit.local,
                transport_protocol: TransportProtocol::UDP,
                ecn: None,
            },
            message: BytesMut::from(&transmit.bytes[..]),
        };
        // It refuses what comes after its own close.
        drop(self.foreign.handle_read(datagram));
    }

    fn listen(&mut self) {
        while let Some(event) = self.foreign.poll_event() {
            match event {
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                    let label = self.foreign.data_channel(id).unwrap().label().to_owned();
                    self.foreign_open.push((id, label));
                }
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(_)) => {
                    self.foreign_closed += 1;
                }
                _ => {}
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.foreign.poll_read() {
            if let RTCMessage::DataChannelMessage(id, message) = message {
                self.foreign_packets
                    .push((id, message.is_string, message.data.to_vec()));
            }
        }
    }

    fn foreign_channel(&self, lane: Lane) -> usize {
        let channel = self
            .foreign_open
            .iter()
            .find(|(_, label)| label == lane.label());
        channel.unwrap().0
    }

    /// Packets of every kind in both directions on both lanes, then a close from each side.
    fn converse(mut self) -> Self {
        let sizes = [0, 1, 100, 1132, 5_000, 65_536];
        for lane in Lane::ALL {
            let id = self.foreign_channel(lane);
            let packets: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
            for packet in &packets {
                self.ours
                    .send(self.now, lane, &packet.clone().into())
                    .unwrap();
                let mut channel = self.foreign.data_channel(id).unwrap();
                channel.send(self.now, BytesMut::from(&packet[..])).unwrap();
            }
            let mut channel = self.foreign.data_channel(id).unwrap();
            channel.send_text(self.now, "a text").unwrap();
            self.run(Duration::from_secs(5), |_| false);
            let theirs: Vec<_> = packets
                .iter()
                .map(|packet| (id, false, packet.clone()))
                .collect();
            assert_eq!(self.foreign_packets, theirs, "{lane:?}");
            let mut ours: Vec<_> = packets
                .into_iter()
                .map(|packet| (lane, Bytes::from(packet)))
                .collect();
            ours.push((lane, Bytes::from_static(b"a text")));
            assert_eq!(self.packets, ours, "{lane:?}");
            self.foreign_packets.clear();
            self.packets.clear();
        }
        self
    }

    fn we_close(mut self) {
        self.ours.handle_input(self.now, Input::Close);
        self.run(Duration::from_millis(100), |_| false);
        assert_eq!(self.closed, Some(CloseReason::Local));
        assert_eq!(
            self.foreign_closed, 2,
            "it sees both channels close at once"
        );
    }

    fn they_close(mut self) {
        self.foreign.close().unwrap();
        self.exchange();
        assert_eq!(self.closed, Some(CloseReason::Remote));
    }
}

#[test]
fn it_answers_our_acceptor_as_dtls_client() {
    Mixed::acceptor(Some(RTCDtlsRole::Client))
        .converse()
        .we_close();
    Mixed::acceptor(Some(RTCDtlsRole::Client)).they_close();
}

#[test]
fn it_answers_our_acceptor_as_dtls_server() {
    Mixed::acceptor(Some(RTCDtlsRole::Server))
        .converse()
        .we_close();
    Mixed::acceptor(Some(RTCDtlsRole::Server)).they_close();
}

#[test]
fn it_answers_our_acceptor_as_it_likes() {
    Mixed::acceptor(None).converse().they_close();
}

#[test]
fn it_offers_to_our_dialer() {
    Mixed::dialer().converse().we_close();
    Mixed::dialer().they_close();
}

#[test]
fn closing_both_its_channels_is_a_close() {
    for mut mixed in [Mixed::acceptor(None), Mixed::dialer()] {
        for (id, _) in mixed.foreign_open.clone() {
            mixed.foreign.data_channel(id).unwrap().close().unwrap();
        }
        mixed.run(Duration::from_secs(1), |mixed| mixed.closed.is_some());
        assert_eq!(mixed.closed, Some(CloseReason::Remote));
    }
}
