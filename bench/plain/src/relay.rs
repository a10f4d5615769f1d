//! Who subscribes to what, and how a packet gets there.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use proto::{
    Lane,
    frame::{Forward, Origin},
    peek::TopicPacket,
};
use webrtc::{data_channel::DataChannel, error::Error, peer_connection::PeerConnection};

/// All peers and topics.
#[derive(Debug)]
pub(crate) struct Relay {
    aliases: AtomicU64,
    /// Copied on each change, so that a publication takes the lock for a moment only.
    topics: RwLock<HashMap<String, Arc<Vec<Arc<Peer>>>>>,
}

/// A client.
pub(crate) struct Peer {
    pub(crate) alias: u64,
    pub(crate) connection: OnceLock<Arc<dyn PeerConnection>>,
    lanes: [OnceLock<Arc<dyn DataChannel>>; 2],
    topics: Mutex<Vec<String>>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("alias", &self.alias)
            .finish_non_exhaustive()
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            aliases: AtomicU64::new(SERVER + 1),
            topics: RwLock::default(),
        }
    }
}

impl Relay {
    pub(crate) fn join(&self) -> Arc<Peer> {
        Arc::new(Peer {
            alias: self.aliases.fetch_add(1, Relaxed),
            connection: OnceLock::new(),
            lanes: [const { OnceLock::new() }; 2],
            topics: Mutex::default(),
        })
    }

    pub(crate) fn leave(&self, peer: &Arc<Peer>) {
        let topics = std::mem::take(&mut *peer.topics.lock());
        self.unsubscribe(peer, &topics);
    }

    pub(crate) fn subscribe(&self, peer: &Arc<Peer>, wanted: impl IntoIterator<Item = String>) {
        let mut topics = self.topics.write();
        let mut own = peer.topics.lock();
        for topic in wanted {
            let subscribers = Arc::make_mut(topics.entry(topic.clone()).or_default());
            if !subscribers.iter().any(|other| other.alias == peer.alias) {
                subscribers.push(Arc::clone(peer));
                own.push(topic);
            }
        }
    }

    pub(crate) fn unsubscribe(&self, peer: &Arc<Peer>, unwanted: &[String]) {
        let mut topics = self.topics.write();
        for topic in unwanted {
            if let Some(subscribers) = topics.get_mut(topic) {
                Arc::make_mut(subscribers).retain(|other| other.alias != peer.alias);
                if subscribers.is_empty() {
                    topics.remove(topic);
                }
            }
        }
        peer.topics.lock().retain(|topic| !unwanted.contains(topic));
    }

    /// Replaces the whole set.
    pub(crate) fn resubscribe(&self, peer: &Arc<Peer>, wanted: Vec<String>) {
        self.leave(peer);
        self.subscribe(peer, wanted);
    }

    /// Sends a packet to everybody who wants it, but the sender.
    pub(crate) async fn publish(&self, from: &Peer, lane: Lane, packet: &TopicPacket<'_>) {
        let Some(subscribers) = self.topics.read().get(packet.topic).cloned() else {
            return;
        };
        let origin = Origin {
            alias: from.alias,
            identity: b"",
            role: proto::Role::Client.into(),
        };
        let frame = Forward::new(packet, origin).with_topic();
        for peer in subscribers.iter().filter(|peer| peer.alias != from.alias) {
            peer.send(lane, &frame).await;
        }
    }
}

impl Peer {
    pub(crate) fn set_lane(&self, lane: Lane, channel: Arc<dyn DataChannel>) {
        if let Some(place) = self.lanes.get(lane.index()) {
            // Each is created once.
            let _first = place.set(channel);
        }
    }

    /// A full buffer drops on the unreliable lane, and on the reliable one the peer is too slow.
    pub(crate) async fn send(&self, lane: Lane, frame: &Bytes) {
        let Some(channel) = self.lanes.get(lane.index()).and_then(OnceLock::get) else {
            return;
        };
        let sent = channel.try_send(BytesMut::from(&frame[..])).await;
        if matches!(sent, Err(Error::ErrSendBufferFull)) && lane == Lane::Reliable {
            self.close().await;
        }
    }

    pub(crate) async fn close(&self) {
        if let Some(connection) = self.connection.get() {
            // One that cannot be closed is closed.
            let _closed = connection.close().await;
        }
    }
}

/// This server's own alias.
pub(crate) const SERVER: u64 = 1;
