//! What the broker has counted. Plain integers: the shell makes metrics of them.

use std::collections::BTreeMap;

use proto::{Lane, Reason};

/// Counts since the start, and sizes now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets taken from ready peers, by [`Lane::index`].
    pub packets_in: [u64; 2],
    /// Packets published by clients of this server, by lane.
    pub published: [u64; 2],
    /// Packets relayed to us by links, by lane.
    pub relayed_in: [u64; 2],
    /// Frames handed out for clients, one for each recipient, by lane.
    pub delivered: [u64; 2],
    /// Frames of our clients' packets handed out for links, one for each recipient, by lane.
    pub relayed_out: [u64; 2],
    /// Frames of one link's packets handed out for others, one for each recipient, by lane: a
    /// hub's work.
    pub forwarded: [u64; 2],
    /// Packets and signals dropped, by why.
    pub drops: BTreeMap<Drop, u64>,
    /// PEER_GONE: what became of the coordinator's word that a session has ended, by [`GoneHint`].
    pub gone_hints: BTreeMap<GoneHint, u64>,
    /// Peers that were closed because they had nothing to say to it.
    pub gone_closed: u64,
    /// CONNECTs refused, by why.
    pub refusals: BTreeMap<Reason, u64>,
    /// Handshakes that had to make room for another.
    pub handshakes_evicted: u64,
    /// Peers that went away or were closed, links apart, by why.
    pub peers_closed: BTreeMap<Reason, u64>,
    /// The same for links.
    pub links_closed: BTreeMap<Reason, u64>,
    /// ERROR packets sent, by their reason.
    pub errors: BTreeMap<Reason, u64>,
    /// Dials of other servers.
    pub dials: u64,
    /// WELCOMEs: sessions with a coordinator.
    pub welcomes: u64,
    /// LOADs: reports to the coordinator.
    pub load_reports: u64,
    /// WELCOMEs with another alias than the one before.
    pub renames: u64,
    /// REPLACED: how often somebody else has shown our resume token.
    pub replaced: u64,
    /// Links that another link to the same server replaced.
    pub links_replaced: u64,
    /// Links that were closed because all that may wait to be told to links did, and most of it for
    /// them.
    pub links_crowded_out: u64,
    /// MIGRATEs: clients that were asked to go elsewhere.
    pub migrations_asked: u64,
    /// REFRESHes: clients that were asked for new credentials.
    pub refreshes: u64,
    /// Clients that have shown new ones, which were good.
    pub renewals: u64,
    /// REVOKED: those that were forgotten before their time, because there was no room.
    pub revocations_forgotten: u64,
    /// Those who are not to be here any more, now.
    pub revocations: usize,
    /// Whether the server is about to go, now.
    pub draining: bool,
    /// Clients now, in any state.
    pub clients: usize,
    /// Clients whose lane is not open yet, now.
    pub handshakes: usize,
    /// Clients that are authenticated, now.
    pub clients_ready: usize,
    /// Links that are current, now.
    pub links: usize,
    /// Topics in the table, now.
    pub topics: usize,
    /// Subscriptions of clients and links, now.
    pub subscriptions: usize,
    /// Topics that 2019 servers are not told of because their lists have no room, now.
    pub topics_unannounced: usize,
}

impl Stats {
    pub(crate) fn drop_one(&mut self, why: Drop) {
        *self.drops.entry(why).or_default() += 1;
    }

    /// Packets in and out, one for each recipient: what the forwarding has cost.
    pub(crate) fn packets(&self) -> u64 {
        let out = [self.delivered, self.relayed_out, self.forwarded];
        self.packets_in.iter().chain(out.iter().flatten()).sum()
    }

    /// How often something was dropped for this reason.
    #[must_use]
    pub fn dropped(&self, why: Drop) -> u64 {
        self.drops.get(&why).copied().unwrap_or_default()
    }

    pub(crate) const fn count(counts: &mut [u64; 2], lane: Lane, by: u64) {
        match lane {
            Lane::Reliable => counts[0] += by,
            Lane::Unreliable => counts[1] += by,
        }
    }
}

macro_rules! labels {
    (
        $(#[doc = $enum_doc:literal])+ $enum:ident:
        $($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+
    ) => {
        $(#[doc = $enum_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $enum {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $enum {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The label in metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }
        }
    };
}

labels! {
    /// What became of the coordinator's word that a client's session has ended.
    GoneHint:
    /// Its peer has to show that it is there.
    Probed = "probed",
    /// Its peer speaks the 2019 protocol, and could not make sense of a probe: it is left to the idle
    /// timeout.
    Speaks2019 = "speaks_2019",
    /// It has no peer here, or one that is not let in yet.
    NoPeer = "no_peer",
}

labels! {
    /// Why a packet or a signal went nowhere.
    Drop:
    /// From a peer that is not there any more.
    StalePeer = "stale_peer",
    /// On the unreliable lane, before the peer was authenticated.
    NotAuthenticated = "not_authenticated",
    /// Larger than the limit.
    PacketTooLarge = "packet_too_large",
    /// Cannot be decoded.
    Malformed = "malformed",
    /// Of a type that this server does not know, or has no use for.
    UnknownType = "unknown_type",
    /// A request on the unreliable lane.
    WrongLane = "wrong_lane",
    /// With a topic that is none.
    BadTopic = "bad_topic",
    /// To a topic that the peer's credentials do not allow: published, or subscribed to.
    TopicForbidden = "topic_forbidden",
    /// AUTH of a client that has shown its credentials just now.
    AuthNotDue = "auth_not_due",
    /// A subscription beyond the peer's limit.
    TooManySubscriptions = "too_many_subscriptions",
    /// A subscription beyond the server's limit of topics.
    TooManyTopics = "too_many_topics",
    /// What a link wants, beyond the limit of what all links may want.
    TooManyLinkTopics = "too_many_link_topics",
    /// It had crossed as many links as a packet may.
    HopLimit = "hop_limit",
    /// The frame is larger than the recipient reads.
    RecipientLimit = "recipient_limit",
    /// A signal for, or from, nobody that is being set up.
    StraySignal = "stray_signal",
    /// A signal while the coordinator is away.
    UplinkDown = "uplink_down",
    /// Something only a link may send, or only the coordinator's word allows.
    NotAllowed = "not_allowed",
    /// An ERROR from the other side.
    ErrorReceived = "error_received",
}
