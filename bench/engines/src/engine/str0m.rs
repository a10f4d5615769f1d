//! `str0m`.

use std::{net::SocketAddr, time::Instant};

use ::str0m::{
    Candidate, Input, Output, Rtc,
    change::{SdpAnswer, SdpPendingOffer},
    channel::{ChannelConfig, ChannelId, Reliability},
    config::DtlsCert,
    net::{Protocol, Receive},
};
use anyhow::Context as _;
use bytes::Bytes;
use proto::Lane;

use super::{Engine, Event, SEND_BUFFER_BYTES_MAX};
use crate::socket::Batch;

/// A peer.
pub(crate) struct Str0m {
    rtc: Rtc,
    ufrag: String,
    pending: Option<SdpPendingOffer>,
    channels: [ChannelId; 2],
    deadline: Option<Instant>,
}

impl Engine for Str0m {
    type Shared = DtlsCert;

    fn shared() -> anyhow::Result<DtlsCert> {
        let made = rcgen::generate_simple_self_signed(vec!["engines".to_owned()])?;
        Ok(DtlsCert {
            certificate: made.cert.der().to_vec(),
            private_key: made.signing_key.serialize_der(),
        })
    }

    fn open(now: Instant, shared: &DtlsCert, local: SocketAddr) -> anyhow::Result<(Self, Vec<u8>)> {
        let mut rtc = Rtc::builder()
            .set_ice_lite(true)
            .clear_codecs()
            .set_dtls_cert(shared.clone())
            .set_sctp_max_buffered_amount(SEND_BUFFER_BYTES_MAX)
            .build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp")?)
            .context("the candidate")?;
        let mut changes = rtc.sdp_api();
        let channels = Lane::ALL.map(|lane| {
            let reliable = lane == Lane::Reliable;
            changes.add_channel_with_config(ChannelConfig {
                label: lane.label().to_owned(),
                ordered: reliable,
                reliability: if reliable {
                    Reliability::Reliable
                } else {
                    Reliability::MaxRetransmits { retransmits: 0 }
                },
                ..Default::default()
            })
        });
        let (offer, pending) = changes.apply().context("no offer")?;
        let json = serde_json::to_vec(&offer)?;
        let ufrag = super::ufrag_of(&offer.to_sdp_string()).context("no username fragment")?;
        let peer = Self {
            rtc,
            ufrag,
            pending: Some(pending),
            channels,
            deadline: Some(now),
        };
        Ok((peer, json))
    }

    fn ufrag(&self) -> &str {
        &self.ufrag
    }

    fn answer(&mut self, _now: Instant, json: &[u8]) -> anyhow::Result<()> {
        let answer: SdpAnswer = serde_json::from_slice(json)?;
        let pending = self.pending.take().context("answered already")?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    fn candidate(&mut self, json: &[u8]) -> anyhow::Result<()> {
        let candidate: serde_json::Value = serde_json::from_slice(json)?;
        let text = candidate.get("candidate").and_then(|text| text.as_str());
        let candidate = Candidate::from_sdp_string(text.context("no candidate")?)?;
        self.rtc.add_remote_candidate(candidate);
        Ok(())
    }

    fn receive(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        if let Ok(contents) = bytes.try_into() {
            let receive = Receive {
                proto: Protocol::Udp,
                source: remote,
                destination: local,
                contents,
            };
            // One that fails has closed.
            let _taken = self.rtc.handle_input(Input::Receive(now, receive));
        }
    }

    fn send(&mut self, _now: Instant, lane: Lane, packet: &Bytes) -> bool {
        let Some(id) = self.channels.get(lane.index()) else {
            return false;
        };
        let channel = self.rtc.channel(*id);
        channel.is_some_and(|mut channel| channel.write(true, packet).unwrap_or(false))
    }

    fn handle_timeout(&mut self, now: Instant) {
        // One that fails has closed.
        let _handled = self.rtc.handle_input(Input::Timeout(now));
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.deadline
    }

    fn drain(&mut self, _now: Instant, events: &mut Vec<Event>, batch: &mut Batch) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = Some(at);
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    batch.push(transmit.destination, &transmit.contents);
                }
                Ok(Output::Event(::str0m::Event::ChannelData(data))) => {
                    let index = self.channels.iter().position(|id| *id == data.id);
                    if let Some(lane) = index.and_then(|index| Lane::ALL.get(index)) {
                        events.push(Event::Packet(*lane, data.data.into()));
                    }
                }
                Ok(Output::Event(::str0m::Event::ChannelClose(_))) => events.push(Event::Closed),
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    events.push(Event::Closed);
                    return;
                }
            }
        }
    }
}
