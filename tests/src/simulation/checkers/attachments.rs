//! A member on a server, by one peer: who it really is, whether it was let in, what it asked for.

use bytes::Bytes;
use commserver_core::Identity;
use proto::{AuthMessage, Capability, Lane, Message as _, MessageType, filter::Grants, peek};

use super::{Check, Checkers, subscriptions::Subscriptions};
use crate::simulation::{clock::At, node::EngineKey};

/// One peer between a member and a server.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) member: usize,
    pub(super) honest: bool,
    pub(super) server: usize,
    /// The alias that the coordinator gave to whoever sent the CONNECT.
    pub(super) alias: u64,
    /// Whether its AUTH has announced that it takes topics with forwarded packets.
    pub(super) topical: Option<bool>,
    pub(super) verdict: Verdict,
    pub(super) opened: At,
    pub(super) alive: bool,
    pub(super) subscriptions: Subscriptions,
}

/// What the authenticator said.
#[derive(Debug)]
pub(super) enum Verdict {
    Pending,
    LetIn(Box<Identity>),
    Refused,
}

impl Attachment {
    pub(super) const fn is_let_in(&self) -> bool {
        matches!(self.verdict, Verdict::LetIn(_))
    }

    /// What it may do, once it is let in.
    pub(super) fn grants(&self) -> Option<&Grants> {
        match &self.verdict {
            Verdict::LetIn(found) => Some(&found.grants),
            _ => None,
        }
    }
}

impl Checkers {
    /// A member's reliable lane to a server is open.
    pub(crate) fn attached(
        &mut self,
        now: At,
        engine: EngineKey,
        member: usize,
        honest: bool,
        server: usize,
        alias: u64,
    ) {
        self.attachments.insert(
            engine,
            Attachment {
                member,
                honest,
                server,
                alias,
                topical: None,
                verdict: Verdict::Pending,
                opened: now,
                alive: true,
                subscriptions: Subscriptions::default(),
            },
        );
    }

    /// The authenticator has spoken about whoever is behind this engine of a member.
    pub(crate) fn judged(&mut self, engine: EngineKey, found: Option<Identity>) {
        if let Some(attachment) = self.attachments.get_mut(&engine) {
            let found = found.map(Box::new);
            attachment.verdict = found.map_or(Verdict::Refused, Verdict::LetIn);
        }
    }

    /// An engine is gone, on either side.
    pub(crate) fn detached(&mut self, now: At, engine: EngineKey) {
        if let Some(attachment) = self.attachments.get_mut(&engine) {
            attachment.alive = false;
        }
        let lost = self.links.closed(now, engine);
        self.require(!(lost && self.quiet), Check::Undisturbed, || {
            format!("{engine} was a link, and is lost")
        });
    }

    /// A member sends a packet.
    pub(crate) fn member_sends(&mut self, now: At, engine: EngineKey, lane: Lane, bytes: &Bytes) {
        if lane == Lane::Reliable
            && let Some(attachment) = self.attachments.get_mut(&engine)
        {
            attachment.subscriptions.sent(bytes);
            if peek::message_type(bytes) == Some(MessageType::Auth)
                && let Ok(auth) = AuthMessage::decode(&bytes[..])
            {
                let wanted = Capability::ForwardTopic.into();
                let topical = auth.capabilities.contains(&wanted);
                // What comes later is no AUTH any more.
                attachment.topical.get_or_insert(topical);
            }
        }
        self.note_publication(now, engine, lane, bytes);
    }

    /// An application is told that it was disconnected.
    pub(crate) fn disconnected(&mut self, member: usize, reason: proto::Reason) {
        self.require(!self.quiet, Check::Undisturbed, || {
            format!("client{member} was disconnected: {reason}")
        });
    }
}
