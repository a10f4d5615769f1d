//! One client's peer connection: made on CONNECT, with both channels; then a task for each channel
//! that takes its packets.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use bytes::Bytes;
use proto::{
    AckMessage, AuthMessage, Lane, Message as _, MessageType, ReadyMessage, SubscribeMessage,
    SubscriptionEntry, SubscriptionMessage, UnsubscribeMessage, frame, limits, peek,
};
use rcgen::CertificateParams;
use tokio::sync::mpsc;
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit},
    peer_connection::{
        PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCCertificate,
        RTCConfigurationBuilder, RTCPeerConnectionIceEvent, SettingEngineBuilder, crypto,
    },
};

use crate::{Shared, relay::Peer, session::signal};

/// What all peer connections share.
#[derive(Debug)]
pub(crate) struct Engine {
    listen: IpAddr,
    certificate: RTCCertificate,
}

impl Engine {
    pub(crate) fn new(listen: IpAddr) -> anyhow::Result<Self> {
        let provider = crypto::default_provider()?;
        let params = CertificateParams::new(vec!["plain".to_owned()])?;
        let scheme = crypto::SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(provider.crypto(), scheme, params)?;
        Ok(Self {
            listen,
            certificate,
        })
    }
}

/// Passes candidates on as they are found.
struct Handler {
    peer: Arc<Peer>,
    signals: mpsc::Sender<Bytes>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let candidate = event.candidate.to_json().ok();
        if let Some(data) = candidate.and_then(|candidate| serde_json::to_vec(&candidate).ok()) {
            let signal = signal(&self.peer, MessageType::WebrtcIceCandidate, data);
            // A client that is gone needs no candidates.
            let _sent = self.signals.try_send(signal);
        }
    }
}

/// Makes the peer connection with both channels, and the offer.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    signals: mpsc::Sender<Bytes>,
) -> anyhow::Result<()> {
    let configuration = RTCConfigurationBuilder::new()
        .with_certificates(vec![shared.engine.certificate.clone()])
        .build();
    let settings = SettingEngineBuilder::new()
        .with_lite(true)
        .with_include_loopback_candidate(true)
        .build();
    let handler = Handler {
        peer: Arc::clone(peer),
        signals: signals.clone(),
    };
    let builder = PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings)
        .with_handler(Arc::new(handler))
        .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES_MAX)
        .with_udp_addrs(vec![SocketAddr::from((shared.engine.listen, 0))]);
    let connection = Box::pin(builder.build()).await?;
    for lane in Lane::ALL {
        let init = match lane {
            Lane::Reliable => None,
            Lane::Unreliable => Some(RTCDataChannelInit {
                ordered: false,
                max_retransmits: Some(0),
                ..Default::default()
            }),
        };
        let channel = connection.create_data_channel(lane.label(), init).await?;
        peer.set_lane(lane, Arc::clone(&channel));
        shared
            .tasks
            .spawn(receive(Arc::clone(shared), Arc::clone(peer), lane, channel));
    }
    let offer = connection.create_offer(None).await?;
    let data = serde_json::to_vec(&offer)?;
    signals
        .send(signal(peer, MessageType::WebrtcOffer, data))
        .await
        .context("the client is gone")?;
    connection.set_local_description(offer).await?;
    // A second CONNECT is not taken.
    let _first = peer.connection.set(Arc::new(connection));
    Ok(())
}

/// Takes the packets of one channel until it closes.
async fn receive(shared: Arc<Shared>, peer: Arc<Peer>, lane: Lane, channel: Arc<dyn DataChannel>) {
    while let Some(event) = channel.poll().await {
        match event {
            DataChannelEvent::OnMessage(message) => {
                // What cannot be read is dropped.
                let _handled = handle(&shared, &peer, lane, &message.data.freeze()).await;
            }
            DataChannelEvent::OnClose => break,
            _ => {}
        }
    }
    shared.relay.leave(&peer);
}

async fn handle(
    shared: &Shared,
    peer: &Arc<Peer>,
    lane: Lane,
    bytes: &Bytes,
) -> anyhow::Result<()> {
    let relay = &shared.relay;
    match peek::message_type(bytes).context("no message")? {
        MessageType::Topic => {
            let packet = peek::TopicPacket::decode(bytes).context("a packet")?;
            relay.publish(peer, lane, &packet).await;
        }
        MessageType::Ping => peer.send(lane, bytes).await,
        MessageType::Auth => {
            AuthMessage::decode(&bytes[..])?;
            peer.send(lane, &ready(peer)).await;
        }
        MessageType::Subscribe => {
            let SubscribeMessage { id, entries, .. } = SubscribeMessage::decode(&bytes[..])?;
            relay.subscribe(peer, topics(entries));
            peer.send(lane, &ack(id)).await;
        }
        MessageType::Unsubscribe => {
            let UnsubscribeMessage { id, entries, .. } = UnsubscribeMessage::decode(&bytes[..])?;
            relay.unsubscribe(peer, &topics(entries).collect::<Vec<_>>());
            peer.send(lane, &ack(id)).await;
        }
        MessageType::Subscription => {
            let SubscriptionMessage { format, topics, .. } =
                SubscriptionMessage::decode(&bytes[..])?;
            let bytes_max = limits::CLIENT_TOPIC_LIST_BYTES_MAX;
            let list = proto::topic_list::decode(format, &topics, bytes_max)?;
            relay.resubscribe(peer, list.topics().map(str::to_owned).collect());
        }
        _ => {}
    }
    Ok(())
}

fn topics(entries: Vec<SubscriptionEntry>) -> impl Iterator<Item = String> {
    entries.into_iter().map(|entry| entry.topic)
}

fn ready(peer: &Peer) -> Bytes {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let ready = ReadyMessage {
        r#type: MessageType::Ready.into(),
        alias: peer.alias,
        capabilities: frame::capabilities(false),
        packet_limit: u32::try_from(limits::PACKET_BYTES_MAX).unwrap_or(u32::MAX),
        server_time_ms: since_1970.map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        }),
        ..Default::default()
    };
    ready.encode_to_vec().into()
}

fn ack(id: u32) -> Bytes {
    let ack = AckMessage {
        r#type: MessageType::Ack.into(),
        id,
    };
    ack.encode_to_vec().into()
}

/// What may wait for one client on each lane.
const SEND_BUFFER_BYTES_MAX: usize = 1024 * 1024;
