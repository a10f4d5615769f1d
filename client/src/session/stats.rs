//! Plain counts of what a session did; whoever drives it makes metrics of them.

/// Everything counted since the session began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Signalling sockets asked for.
    pub dials: u64,
    /// WELCOMEs: the coordinator took us in, whatever became of it.
    pub welcomes: u64,
    /// Signalling sockets left because the server had news of their end.
    pub redials: u64,
    /// Times that the owner had no token for us, or none in time.
    pub tokens_missed: u64,
    /// CONNECTs sent.
    pub attempts: u64,
    /// Offers that came, each of which opened a peer.
    pub peers_opened: u64,
    /// Attempts that ended before READY.
    pub attempts_failed: u64,
    /// Times that a server took us in.
    pub connects: u64,
    /// Times that a server took new credentials from us, and kept us.
    pub renewals: u64,
    /// Peers lost after that.
    pub disconnects: u64,
    /// Peers left for another server, because theirs asked for it.
    pub moves: u64,
    /// Publications handed to a lane, including those that waited.
    pub published: u64,
    /// Publications that waited for a peer.
    pub queued: u64,
    /// Messages given to the application.
    pub delivered: u64,
    /// What was dropped, and why.
    pub dropped: Dropped,
}

/// Counts of what was dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Unreliable publications made while the lane was not open.
    pub unreliable_offline: u64,
    /// Queued publications that gave way to newer ones.
    pub queue_overflow: u64,
    /// Queued publications that were larger than the next server's limit.
    pub queue_too_large: u64,
    /// Publications still queued when the session ended.
    pub queue_stopped: u64,
    /// Publications without a count, because too many topics have one.
    pub uncounted: u64,
    /// Packets and signals that could not be decoded.
    pub malformed: u64,
    /// Packets and signals of a type that is not known, or not expected here.
    pub unexpected: u64,
    /// What is about a socket, a peer or a signalling session that is no longer ours.
    pub stale: u64,
    /// Messages on a topic that was unsubscribed meanwhile.
    pub unwanted: u64,
    /// Requests of a server to go that followed upon another.
    pub repeated: u64,
    /// What we published ourselves, before we came to this server.
    pub own_echo: u64,
    /// Topic lists too large for a server of 2019.
    pub topic_list_too_large: u64,
}
