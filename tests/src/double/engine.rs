//! One peer connection of the foreign engine, without a socket: signals, datagrams and packets in
//! and out. Full ICE, DTLS 1.2, candidates trickled after the description.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use rtc::data_channel::{RTCDataChannelId, RTCDataChannelInit};
use rtc::peer_connection::configuration::setting_engine::{
    SctpMaxMessageSize, SettingEngineBuilder,
};
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{
    CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate, RTCIceCandidateInit,
};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::wire::Kind;

/// One of the two data channels of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Ordered, never lost.
    Reliable,
    /// Unordered, never retransmitted.
    Unreliable,
}

impl Lane {
    const ALL: [Self; 2] = [Self::Reliable, Self::Unreliable];

    /// The channel's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.label() == label)
    }

    fn init(self) -> RTCDataChannelInit {
        match self {
            Self::Reliable => RTCDataChannelInit::default(),
            Self::Unreliable => RTCDataChannelInit {
                ordered: false,
                max_retransmits: Some(0),
                ..RTCDataChannelInit::default()
            },
        }
    }
}

/// Whose channels a peer reads and writes. The others may open, and are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// The two that it opens itself, in-band: a server.
    Own,
    /// Those that the other side opens: a client.
    Remote,
}

/// When an answerer tells its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trickle {
    /// One by one after the answer.
    #[default]
    After,
    /// They overtake the answer.
    Before,
    /// In the answer itself.
    Inside,
}

/// How a peer behaves.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) uses: Channels,
    pub(super) trickle: Trickle,
    /// An answerer that leaves the first DTLS flight to the other side.
    pub(super) dtls_passive: bool,
    /// Sends messages of any size, whatever the other side's description says that it takes.
    pub(super) ignores_size_limit: bool,
    /// Candidate lines to tell beside its own.
    pub(super) extra_candidates: Vec<String>,
}

/// What the engine says.
#[derive(Debug)]
pub(super) enum Output {
    /// To the other side by way of the coordinator: OFFER, ANSWER or CANDIDATE, as JSON.
    Signal(Kind, Bytes),
    /// A datagram.
    Transmit(SocketAddr, BytesMut),
    /// A channel of those that this peer uses is open.
    Open(Lane),
    /// A message on one of them.
    Packet(Lane, Bytes),
    /// The connection is over.
    Closed,
}

/// See the file's head.
pub(super) struct Engine {
    connection: RTCPeerConnection,
    local: SocketAddr,
    behaviour: Behaviour,
    lanes: BTreeMap<RTCDataChannelId, Lane>,
    /// Candidates of the other side that came before its description.
    early: Vec<RTCIceCandidateInit>,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// A peer on the socket `local`.
    pub(super) fn new(now: Instant, local: SocketAddr, behaviour: Behaviour) -> Result<Self> {
        // As pion does, unless told otherwise: an answerer is the DTLS client.
        let role = if behaviour.dtls_passive {
            RTCDtlsRole::Server
        } else {
            RTCDtlsRole::Client
        };
        let mut settings = SettingEngineBuilder::new().with_answering_dtls_role(role);
        if behaviour.ignores_size_limit {
            settings = settings.with_sctp_max_message_size(SctpMaxMessageSize::Unbounded);
        }
        let settings = settings.build();
        let connection = RTCPeerConnectionBuilder::new()
            .with_setting_engine(settings)
            .build(now)?;
        let mut engine = Self {
            connection,
            local,
            behaviour,
            lanes: BTreeMap::new(),
            early: Vec::new(),
            outputs: VecDeque::new(),
        };
        if engine.behaviour.uses == Channels::Own {
            for lane in Lane::ALL {
                let id = engine
                    .connection
                    .create_data_channel(lane.label(), Some(lane.init()))?
                    .id();
                engine.lanes.insert(id, lane);
            }
        }
        Ok(engine)
    }

    /// Makes the offer; this side's candidate follows the answer.
    pub(super) fn offer(&mut self, now: Instant) -> Result<()> {
        let offer = self.connection.create_offer(None)?;
        self.connection.set_local_description(now, offer.clone())?;
        self.say(Kind::Offer, &offer)
    }

    /// A signal of the other side.
    pub(super) fn handle_signal(&mut self, now: Instant, kind: Kind, data: &[u8]) -> Result<()> {
        match kind {
            Kind::Offer => {
                self.describe(now, data)?;
                self.answer(now)
            }
            Kind::Answer => {
                self.describe(now, data)?;
                let candidates = self.gather()?;
                self.tell(candidates)
            }
            Kind::Candidate => {
                let candidate = serde_json::from_slice(data).context("a candidate's JSON")?;
                if self.connection.remote_description().is_none() {
                    self.early.push(candidate);
                    return Ok(());
                }
                Ok(self.connection.add_remote_candidate(candidate)?)
            }
            other => anyhow::bail!("{other:?} is not a signal for a peer"),
        }
    }

    /// A datagram that the socket received.
    pub(super) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let datagram = TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: self.local,
                peer_addr: from,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: BytesMut::from(bytes),
        };
        // A datagram that does not parse is dropped, like any stranger's.
        drop(self.connection.handle_read(datagram));
    }

    /// The engine's deadline has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        Ok(self.connection.handle_timeout(now)?)
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Sends one message on the channel that this peer uses for `lane`.
    pub(super) fn send(&mut self, now: Instant, lane: Lane, bytes: &[u8]) -> Result<()> {
        let (id, _) = self
            .lanes
            .iter()
            .find(|(_, its)| **its == lane)
            .with_context(|| format!("there is no {} channel", lane.label()))?;
        let mut channel = self
            .connection
            .data_channel(*id)
            .context("the channel is gone")?;
        Ok(channel.send(now, BytesMut::from(bytes))?)
    }

    /// Says goodbye; datagrams may follow.
    pub(super) fn close(&mut self) -> Result<()> {
        Ok(self.connection.close()?)
    }

    /// What there is to do. Drained to `None` after every call above.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        // Reading and events may give rise to datagrams, so those come last, again and again.
        while let Some(event) = self.connection.poll_event() {
            self.handle_event(event);
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.connection.poll_read() {
            if let RTCMessage::DataChannelMessage(id, message) = message
                && let Some(lane) = self.lanes.get(&id)
            {
                self.outputs
                    .push_back(Output::Packet(*lane, message.data.freeze()));
            }
        }
        while let Some(datagram) = self.connection.poll_write() {
            let transmit = Output::Transmit(datagram.transport.peer_addr, datagram.message);
            self.outputs.push_back(transmit);
        }
        self.outputs.pop_front()
    }

    fn handle_event(&mut self, event: RTCPeerConnectionEvent) {
        match event {
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                if self.behaviour.uses == Channels::Remote
                    && let Some(channel) = self.connection.data_channel(id)
                    && let Some(lane) = Lane::from_label(channel.label())
                {
                    self.lanes.insert(id, lane);
                }
                if let Some(lane) = self.lanes.get(&id) {
                    self.outputs.push_back(Output::Open(*lane));
                }
            }
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(id))
                if self.lanes.contains_key(&id) =>
            {
                self.outputs.push_back(Output::Closed);
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed,
            ) => self.outputs.push_back(Output::Closed),
            _ => {}
        }
    }

    /// Takes the other side's description and what was held for it.
    fn describe(&mut self, now: Instant, data: &[u8]) -> Result<()> {
        let mut description: RTCSessionDescription =
            serde_json::from_slice(data).context("a description's JSON")?;
        if self.behaviour.ignores_size_limit {
            description.sdp = without_size_limit(&description.sdp);
        }
        self.connection.set_remote_description(now, description)?;
        for candidate in std::mem::take(&mut self.early) {
            self.connection.add_remote_candidate(candidate)?;
        }
        Ok(())
    }

    fn answer(&mut self, now: Instant) -> Result<()> {
        let answer = self.connection.create_answer(None)?;
        self.connection.set_local_description(now, answer.clone())?;
        let candidates = self.gather()?;
        match self.behaviour.trickle {
            Trickle::After => {
                self.say(Kind::Answer, &answer)?;
                self.tell(candidates)
            }
            Trickle::Before => {
                self.tell(candidates)?;
                self.say(Kind::Answer, &answer)
            }
            Trickle::Inside => {
                let whole = self.connection.local_description().context("an answer")?;
                self.say(Kind::Answer, &whole)
            }
        }
    }

    /// Adds this side's candidate to the engine, and yields all that are to be told.
    fn gather(&mut self) -> Result<Vec<RTCIceCandidateInit>> {
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: self.local.ip().to_string(),
                port: self.local.port(),
                component: 1,
                ..CandidateConfig::default()
            },
            ..CandidateHostConfig::default()
        }
        .new_candidate_host()?;
        let own = RTCIceCandidate::from(&candidate).to_json()?;
        self.connection.add_local_candidate(own.clone())?;
        let extra = self.behaviour.extra_candidates.iter();
        let mut candidates: Vec<_> = extra
            .map(|line| RTCIceCandidateInit {
                candidate: line.clone(),
                ..own.clone()
            })
            .collect();
        candidates.push(own);
        Ok(candidates)
    }

    fn tell(&mut self, candidates: Vec<RTCIceCandidateInit>) -> Result<()> {
        candidates
            .iter()
            .try_for_each(|candidate| self.say(Kind::Candidate, candidate))
    }

    fn say(&mut self, kind: Kind, data: &impl serde::Serialize) -> Result<()> {
        let data = serde_json::to_vec(data)?.into();
        self.outputs.push_back(Output::Signal(kind, data));
        Ok(())
    }
}

/// A description that takes as much as this engine can send.
fn without_size_limit(sdp: &str) -> String {
    let line = |line: &str| match line.strip_prefix("a=max-message-size:") {
        Some(_) => "a=max-message-size:262144\r\n".to_owned(),
        None => format!("{line}\r\n"),
    };
    sdp.lines().map(line).collect()
}
