//! The ICE-lite agent (RFC 8445 section 2.5): answers connectivity checks, makes none.
//!
//! Kept apart from the full agent because it is so little: no candidates of the other side, no
//! pairs, no timers. It sends where the other side nominated last; when that address has gone
//! silent, where the last valid check came from, so that a NAT that rebinds is followed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use is::IceCreds;
use is::stun::StunMessage;

use super::{Path, Proven};
use crate::Transmit;
use crate::stun::sha1_hmac;

#[derive(Debug)]
pub(crate) struct Lite {
    credentials: IceCreds,
    remote_ufrag: Option<String>,
    proven: Proven,
    selected: Option<Selected>,
    replies: VecDeque<Transmit>,
}

#[derive(Clone, Copy, Debug)]
struct Selected {
    path: Path,
    nominated: bool,
    heard: Instant,
}

impl Lite {
    pub(crate) fn new(credentials: IceCreds) -> Self {
        Self {
            credentials,
            remote_ufrag: None,
            proven: Proven::default(),
            selected: None,
            replies: VecDeque::new(),
        }
    }

    pub(crate) fn credentials(&self) -> &IceCreds {
        &self.credentials
    }

    pub(crate) fn set_remote(&mut self, ufrag: &str) {
        self.remote_ufrag = Some(ufrag.to_owned());
    }

    pub(crate) fn accepts(&self, message: &StunMessage<'_>) -> bool {
        if !message.is_binding_request() {
            return false;
        }
        let Some((local, remote)) = message.split_username() else {
            return false;
        };
        local == self.credentials.ufrag
            && self
                .remote_ufrag
                .as_ref()
                .is_none_or(|ufrag| ufrag == remote)
            && message.verify(self.credentials.pass.as_bytes(), sha1_hmac)
    }

    /// Answers a check; `false` when it is not a valid one.
    pub(crate) fn handle(&mut self, now: Instant, path: Path, message: &StunMessage<'_>) -> bool {
        if !self.accepts(message) || self.replies.len() >= REPLIES_MAX {
            return false;
        }
        let reply = StunMessage::binding_reply(message.trans_id(), path.remote);
        let mut bytes = vec![0; REPLY_BYTES_MAX];
        let password = self.credentials.pass.as_bytes();
        let Ok(length) = reply.to_bytes(Some(password), &mut bytes, sha1_hmac) else {
            return false;
        };
        bytes.truncate(length);
        self.replies.push_back(Transmit {
            local: path.local,
            remote: path.remote,
            bytes,
        });
        self.proven.insert(path);
        self.select(now, path, message.use_candidate());
        true
    }

    /// Something authenticated came along the path.
    pub(crate) fn heard(&mut self, now: Instant, path: Path) {
        if let Some(selected) = &mut self.selected
            && selected.path == path
        {
            selected.heard = now;
        }
    }

    fn select(&mut self, now: Instant, path: Path, nominated: bool) {
        let switch = match &self.selected {
            None => true,
            Some(selected) if selected.path == path => true,
            Some(selected) => {
                nominated
                    || !selected.nominated
                    || now.saturating_duration_since(selected.heard) >= SILENCE_BEFORE_REBIND
            }
        };
        if switch {
            let was_nominated = self
                .selected
                .is_some_and(|selected| selected.path == path && selected.nominated);
            self.selected = Some(Selected {
                path,
                nominated: nominated || was_nominated,
                heard: now,
            });
        }
    }

    pub(crate) fn proven(&self) -> &Proven {
        &self.proven
    }

    pub(crate) fn is_proven(&self, path: Path) -> bool {
        self.selected() == Some(path) || self.proven.contains(path)
    }

    pub(crate) fn selected(&self) -> Option<Path> {
        self.selected.map(|selected| selected.path)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.replies.pop_front()
    }
}

/// Header, XOR-MAPPED-ADDRESS (v6), MESSAGE-INTEGRITY and FINGERPRINT come to 76 bytes.
const REPLY_BYTES_MAX: usize = 128;
/// Replies that wait for one drain; more checks than that in one batch are not answered.
const REPLIES_MAX: usize = 16;
/// A nominated address that was heard from this lately is not given up for another one that
/// merely checks: browsers check every pair they know every 2.5 s at least.
const SILENCE_BEFORE_REBIND: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use is::stun::TransId;

    use super::*;

    fn path(remote: &str) -> Path {
        Path {
            local: "192.0.2.1:7000".parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    fn agent() -> Lite {
        Lite::new(IceCreds {
            ufrag: "ours".to_owned(),
            pass: "0123456789012345678901".to_owned(),
        })
    }

    fn check(agent: &mut Lite, now: Instant, path: Path, nominates: bool) -> bool {
        let request =
            StunMessage::binding_request("ours:theirs", TransId::new(), true, 1, 1, nominates);
        let mut bytes = [0; 256];
        let password = agent.credentials.pass.clone();
        let length = request
            .to_bytes(Some(password.as_bytes()), &mut bytes, sha1_hmac)
            .unwrap();
        let message = StunMessage::parse(&bytes[..length]).unwrap();
        agent.handle(now, path, &message)
    }

    #[test]
    fn a_nomination_is_followed_at_once_and_another_check_after_silence() {
        let (home, away) = (path("198.51.100.1:1"), path("198.51.100.2:2"));
        let (mut agent, mut now) = (agent(), Instant::now());
        assert!(check(&mut agent, now, away, false));
        assert_eq!(agent.selected(), Some(away), "better than nothing");
        assert!(check(&mut agent, now, home, true));
        assert_eq!(agent.selected(), Some(home), "nominated");
        for _ in 0..10 {
            now += Duration::from_secs(1);
            agent.heard(now, home);
            assert!(check(&mut agent, now, away, false));
            assert_eq!(agent.selected(), Some(home), "home is alive");
        }
        now += SILENCE_BEFORE_REBIND - Duration::from_millis(1);
        agent.heard(now - Duration::from_millis(1), away);
        assert!(check(&mut agent, now, away, false));
        assert_eq!(agent.selected(), Some(home));
        now += Duration::from_millis(1);
        assert!(check(&mut agent, now, away, false));
        assert_eq!(agent.selected(), Some(away), "home is silent");
        assert!(check(&mut agent, now, home, true));
        assert_eq!(agent.selected(), Some(home), "nominated again");
    }

    #[test]
    fn replies_between_two_drains_are_bounded() {
        let (mut agent, now) = (agent(), Instant::now());
        let home = path("198.51.100.1:1");
        for count in 1..=REPLIES_MAX + 1 {
            assert_eq!(
                check(&mut agent, now, home, true),
                count <= REPLIES_MAX,
                "{count}"
            );
        }
        assert_eq!(
            std::iter::from_fn(|| agent.poll_transmit()).count(),
            REPLIES_MAX
        );
    }

    #[test]
    fn addresses_are_remembered_up_to_a_limit() {
        let (mut agent, now) = (agent(), Instant::now());
        let paths: Vec<Path> = (1..=34)
            .map(|port| path(&format!("198.51.100.1:{port}")))
            .collect();
        for (index, path) in paths.iter().enumerate() {
            assert!(check(&mut agent, now, *path, index == 0));
            agent.replies.clear();
        }
        assert!(agent.is_proven(paths[0]), "the oldest, but selected");
        assert!(
            !agent.is_proven(paths[1]),
            "the oldest of the others is forgotten"
        );
        assert!(paths[2..].iter().all(|path| agent.is_proven(*path)));
    }
}
