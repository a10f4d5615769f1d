//! `str0m`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use ::str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use ::str0m::channel::{ChannelConfig, ChannelId, Reliability};
use ::str0m::net::{Protocol, Receive};
use ::str0m::{Candidate, Event, Input, Output, Rtc};
use bytes::Bytes;
use rtc_peer::{Lane, Signal, SignalKind};

use crate::engine::{AcceptorDtls, Engine, Setup, Told};

struct Str0m {
    rtc: Rtc,
    addr: SocketAddr,
    pending: Option<SdpPendingOffer>,
    told: VecDeque<Told>,
    channels: Vec<(ChannelId, Lane)>,
    deadline: Option<Instant>,
    dtls: AcceptorDtls,
}

pub(crate) fn make(setup: Setup) -> Box<dyn Engine> {
    let mut rtc = Rtc::builder()
        .set_ice_lite(setup.is_acceptor())
        .clear_codecs()
        .set_sctp_max_buffered_amount(256 * 1024)
        .build(setup.now);
    rtc.add_local_candidate(Candidate::host(setup.addr(), "udp").unwrap())
        .unwrap();
    let mut side = Str0m {
        rtc,
        addr: setup.addr(),
        pending: None,
        told: VecDeque::new(),
        channels: Vec::new(),
        deadline: Some(setup.now),
        dtls: setup.dtls,
    };
    if setup.is_acceptor() {
        side.offer();
    }
    Box::new(side)
}

impl Str0m {
    fn offer(&mut self) {
        let mut changes = self.rtc.sdp_api();
        let channels = Lane::ALL.map(|lane| {
            let reliable = lane == Lane::Reliable;
            let config = ChannelConfig {
                label: lane.label().to_owned(),
                ordered: reliable,
                reliability: if reliable {
                    Reliability::Reliable
                } else {
                    Reliability::MaxRetransmits { retransmits: 0 }
                },
                ..Default::default()
            };
            (changes.add_channel_with_config(config), lane)
        });
        let (offer, pending) = changes.apply().unwrap();
        self.channels.extend(channels);
        self.pending = Some(pending);
        self.describe(SignalKind::Offer, serde_json::to_string(&offer).unwrap());
    }

    /// To an offer that leaves the choice it answers as DTLS server: so the offer leaves none.
    fn describe(&mut self, kind: SignalKind, json: String) {
        let json = match (kind, self.dtls) {
            (SignalKind::Offer, AcceptorDtls::Active) => json.replace("actpass", "active"),
            (SignalKind::Offer, AcceptorDtls::Passive) => json.replace("actpass", "passive"),
            _ => json,
        };
        let data = json.into();
        self.told.push_back(Told::Signal(Signal { kind, data }));
    }

    fn listen(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = Some(at);
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.told
                        .push_back(Told::Datagram(transmit.contents.to_vec()));
                }
                Ok(Output::Event(Event::ChannelOpen(id, label))) => {
                    let lane = Lane::ALL.into_iter().find(|lane| lane.label() == label);
                    let lane = lane.unwrap();
                    self.channels.retain(|(_, known)| *known != lane);
                    self.channels.push((id, lane));
                    self.told.push_back(Told::Open(lane));
                }
                Ok(Output::Event(Event::ChannelData(data))) => {
                    let known = self.channels.iter().find(|(id, _)| *id == data.id);
                    if let Some((_, lane)) = known {
                        let packet = Told::Packet(*lane, data.data.into());
                        self.told.push_back(packet);
                    }
                }
                Ok(Output::Event(Event::ChannelClose(_))) => self.told.push_back(Told::Closed),
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    self.deadline = None;
                    return;
                }
            }
        }
    }
}

impl Engine for Str0m {
    fn signal(&mut self, now: Instant, signal: Signal) {
        if signal.kind == SignalKind::Offer {
            let offer: SdpOffer = serde_json::from_slice(&signal.data).unwrap();
            let answer = self.rtc.sdp_api().accept_offer(offer).unwrap();
            self.describe(SignalKind::Answer, serde_json::to_string(&answer).unwrap());
        } else {
            let answer: SdpAnswer = serde_json::from_slice(&signal.data).unwrap();
            let pending = self.pending.take().unwrap();
            self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        }
        self.tick(now);
    }

    fn receive(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]) {
        if let Ok(contents) = bytes.try_into() {
            let receive = Receive {
                proto: Protocol::Udp,
                source: remote,
                destination: self.addr,
                contents,
            };
            drop(self.rtc.handle_input(Input::Receive(now, receive)));
        }
    }

    fn tick(&mut self, now: Instant) {
        drop(self.rtc.handle_input(Input::Timeout(now)));
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.deadline
    }

    fn poll(&mut self, _now: Instant) -> Option<Told> {
        if self.told.is_empty() {
            self.listen();
        }
        self.told.pop_front()
    }

    fn send(&mut self, _now: Instant, lane: Lane, bytes: &Bytes) -> bool {
        let channel = self.channels.iter().find(|(_, known)| *known == lane);
        let channel = channel.and_then(|(id, _)| self.rtc.channel(*id));
        channel.is_some_and(|mut channel| channel.write(true, bytes).unwrap_or(false))
    }

    /// It hands over what comes as it comes.
    fn pause(&mut self, _now: Instant, _paused: bool) {}

    fn close(&mut self, _now: Instant) {
        self.rtc.disconnect();
    }
}
