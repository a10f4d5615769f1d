//! `rtc`, the sans-IO core of `webrtc`, whole.

use std::{net::SocketAddr, time::Instant};

use ::rtc::{
    crypto,
    data_channel::RTCDataChannelInit,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        certificate::RTCCertificate,
        configuration::{RTCConfigurationBuilder, setting_engine::SettingEngineBuilder},
        event::{RTCDataChannelEvent, RTCPeerConnectionEvent},
        message::{RTCMessage, TaggedRTCMessage},
        transport::RTCIceCandidateInit,
    },
    sansio::Protocol as _,
    shared::{TaggedBytesMut, TransportContext, TransportProtocol},
};
use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use proto::Lane;

use super::{Engine, Event, SEND_BUFFER_BYTES_MAX};
use crate::socket::Batch;

/// A peer.
pub(crate) struct Rtc {
    connection: RTCPeerConnection,
    ufrag: String,
    channels: [usize; 2],
}

impl Engine for Rtc {
    type Shared = RTCCertificate;

    fn shared() -> anyhow::Result<RTCCertificate> {
        let provider = crypto::default_provider()?;
        let params = rcgen::CertificateParams::new(vec!["engines".to_owned()])?;
        let scheme = crypto::SignatureScheme::EcdsaP256Sha256;
        Ok(RTCCertificate::generate(provider.crypto(), scheme, params)?)
    }

    fn open(
        now: Instant,
        shared: &RTCCertificate,
        local: SocketAddr,
    ) -> anyhow::Result<(Self, Vec<u8>)> {
        let configuration = RTCConfigurationBuilder::new()
            .with_certificates(vec![shared.clone()])
            .build();
        let settings = SettingEngineBuilder::new().with_lite(true).build();
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_setting_engine(settings)
            .build(now)?;
        let reliable = connection
            .create_data_channel(Lane::Reliable.label(), None)?
            .id();
        let lossy = RTCDataChannelInit {
            ordered: false,
            max_retransmits: Some(0),
            ..Default::default()
        };
        let label = Lane::Unreliable.label();
        let unreliable = connection.create_data_channel(label, Some(lossy))?.id();
        connection.add_local_candidate(RTCIceCandidateInit {
            candidate: format!(
                "candidate:1 1 udp 2130706431 {} {} typ host",
                local.ip(),
                local.port()
            ),
            ..Default::default()
        })?;
        let offer = connection.create_offer(None)?;
        connection.set_local_description(now, offer)?;
        let offer = connection.local_description().context("no description")?;
        let ufrag = super::ufrag_of(&offer.sdp).context("no username fragment")?;
        let json = serde_json::to_vec(&offer)?;
        let channels = [reliable, unreliable];
        let peer = Self {
            connection,
            ufrag,
            channels,
        };
        Ok((peer, json))
    }

    fn ufrag(&self) -> &str {
        &self.ufrag
    }

    fn answer(&mut self, now: Instant, json: &[u8]) -> anyhow::Result<()> {
        let answer = serde_json::from_slice(json)?;
        Ok(self.connection.set_remote_description(now, answer)?)
    }

    fn candidate(&mut self, json: &[u8]) -> anyhow::Result<()> {
        let candidate = serde_json::from_slice(json)?;
        Ok(self.connection.add_remote_candidate(candidate)?)
    }

    fn receive(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        let datagram = TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: local,
                peer_addr: remote,
                transport_protocol: TransportProtocol::UDP,
                ecn: None,
            },
            message: BytesMut::from(bytes),
        };
        // What it refuses is lost.
        let _taken = self.connection.handle_read(datagram);
    }

    fn send(&mut self, now: Instant, lane: Lane, packet: &Bytes) -> bool {
        let Some(id) = self.channels.get(lane.index()) else {
            return false;
        };
        let Some(mut channel) = self.connection.data_channel(*id) else {
            return false;
        };
        let room = channel.outstanding_bytes() + packet.len() <= SEND_BUFFER_BYTES_MAX;
        room && channel.send(now, BytesMut::from(&packet[..])).is_ok()
    }

    fn handle_timeout(&mut self, now: Instant) {
        // One that fails has closed.
        let _handled = self.connection.handle_timeout(now);
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn drain(&mut self, _now: Instant, events: &mut Vec<Event>, batch: &mut Batch) {
        let mut transmit = |connection: &mut RTCPeerConnection| {
            while let Some(datagram) = connection.poll_write() {
                batch.push(datagram.transport.peer_addr, &datagram.message);
            }
        };
        transmit(&mut self.connection);
        while let Some(event) = self.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(_)) = event {
                events.push(Event::Closed);
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.connection.poll_read() {
            if let RTCMessage::DataChannelMessage(id, message) = message
                && let Some(index) = self.channels.iter().position(|channel| *channel == id)
                && let Some(lane) = Lane::ALL.get(index)
            {
                events.push(Event::Packet(*lane, message.data.freeze()));
            }
        }
        // Reading makes room, and acknowledgements.
        transmit(&mut self.connection);
    }
}
