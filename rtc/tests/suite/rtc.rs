//! `rtc`, the sans-IO core of `webrtc`, whole.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use ::rtc::data_channel::RTCDataChannelInit;
use ::rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use ::rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use ::rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use ::rtc::peer_connection::transport::{RTCDtlsRole, RTCIceCandidateInit};
use ::rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use ::rtc::sansio::Protocol;
use ::rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use bytes::{Bytes, BytesMut};
use rtc_peer::{Lane, Signal, SignalKind};

use crate::engine::{AcceptorDtls, Engine, Setup, Told};

struct Rtc {
    connection: RTCPeerConnection,
    addr: SocketAddr,
    told: VecDeque<Told>,
    channels: Vec<(usize, Lane)>,
    paused: bool,
}

pub(crate) fn make(setup: Setup) -> Box<dyn Engine> {
    let mut settings = SettingEngineBuilder::new().with_lite(setup.is_acceptor());
    if !setup.is_acceptor() {
        settings = settings.with_answering_dtls_role(match setup.dtls {
            AcceptorDtls::Passive => RTCDtlsRole::Client,
            AcceptorDtls::Active => RTCDtlsRole::Server,
        });
    }
    let mut connection = RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings.build())
        .build(setup.now)
        .unwrap();
    let addr = setup.addr();
    let candidate = format!(
        "candidate:1 1 udp 2130706431 {} {} typ host",
        addr.ip(),
        addr.port()
    );
    connection
        .add_local_candidate(RTCIceCandidateInit {
            candidate,
            ..Default::default()
        })
        .unwrap();
    let mut side = Rtc {
        connection,
        addr,
        told: VecDeque::new(),
        channels: Vec::new(),
        paused: false,
    };
    if setup.is_acceptor() {
        side.offer(setup.now);
    }
    Box::new(side)
}

impl Rtc {
    fn offer(&mut self, now: Instant) {
        for lane in Lane::ALL {
            let lossy = RTCDataChannelInit {
                ordered: false,
                max_retransmits: Some(0),
                ..Default::default()
            };
            let init = (lane == Lane::Unreliable).then_some(lossy);
            let channel = self.connection.create_data_channel(lane.label(), init);
            self.channels.push((channel.unwrap().id(), lane));
        }
        let offer = self.connection.create_offer(None).unwrap();
        self.connection.set_local_description(now, offer).unwrap();
        self.describe(SignalKind::Offer);
    }

    fn describe(&mut self, kind: SignalKind) {
        let description = self.connection.local_description().unwrap();
        let data = serde_json::to_vec(&description).unwrap().into();
        self.told.push_back(Told::Signal(Signal { kind, data }));
    }

    fn listen(&mut self) {
        while let Some(datagram) = self.connection.poll_write() {
            self.told
                .push_back(Told::Datagram(datagram.message.to_vec()));
        }
        while let Some(event) = self.connection.poll_event() {
            match event {
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                    let label = self.connection.data_channel(id).unwrap().label().to_owned();
                    let lane = Lane::ALL.into_iter().find(|lane| lane.label() == label);
                    let lane = lane.unwrap();
                    self.channels.retain(|(_, known)| *known != lane);
                    self.channels.push((id, lane));
                    self.told.push_back(Told::Open(lane));
                }
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(_)) => {
                    self.told.push_back(Told::Closed);
                }
                _ => {}
            }
        }
        while !self.paused
            && let Some(TaggedRTCMessage { message, .. }) = self.connection.poll_read()
        {
            if let RTCMessage::DataChannelMessage(id, message) = message
                && let Some((_, lane)) = self.channels.iter().find(|(known, _)| *known == id)
            {
                let packet = Told::Packet(*lane, message.data.freeze());
                self.told.push_back(packet);
            }
        }
        while let Some(datagram) = self.connection.poll_write() {
            self.told
                .push_back(Told::Datagram(datagram.message.to_vec()));
        }
    }
}

impl Engine for Rtc {
    fn signal(&mut self, now: Instant, signal: Signal) {
        let description = serde_json::from_slice(&signal.data).unwrap();
        self.connection
            .set_remote_description(now, description)
            .unwrap();
        if signal.kind == SignalKind::Offer {
            let answer = self.connection.create_answer(None).unwrap();
            self.connection.set_local_description(now, answer).unwrap();
            self.describe(SignalKind::Answer);
        }
    }

    fn receive(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]) {
        let datagram = TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: self.addr,
                peer_addr: remote,
                transport_protocol: TransportProtocol::UDP,
                ecn: None,
            },
            message: BytesMut::from(bytes),
        };
        // It refuses what comes after its own close.
        drop(self.connection.handle_read(datagram));
    }

    fn tick(&mut self, now: Instant) {
        drop(self.connection.handle_timeout(now));
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn poll(&mut self, _now: Instant) -> Option<Told> {
        if self.told.is_empty() {
            self.listen();
        }
        self.told.pop_front()
    }

    fn send(&mut self, now: Instant, lane: Lane, bytes: &Bytes) -> bool {
        let channel = self.channels.iter().find(|(_, known)| *known == lane);
        let channel = channel.and_then(|(id, _)| self.connection.data_channel(*id));
        channel.is_some_and(|mut channel| {
            // It takes everything unless it is told what is too much.
            channel.outstanding_bytes() < 256 * 1024
                && channel.send(now, BytesMut::from(&bytes[..])).is_ok()
        })
    }

    fn pause(&mut self, _now: Instant, paused: bool) {
        self.paused = paused;
    }

    fn close(&mut self, _now: Instant) {
        drop(self.connection.close());
    }
}
