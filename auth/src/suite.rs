//! What every authenticator must do, whoever wrote it: each implementation's tests run this.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, Uri};

use crate::{Authenticated, Authenticator, Credentials, Link, Refusal, Role, UpgradeRequest};

/// An authenticator, and what a test must know to please it.
pub(crate) struct Subject {
    pub(crate) authenticator: Arc<dyn Authenticator>,
    /// The roles that it is for; all others it forbids.
    pub(crate) roles: &'static [Role],
    /// Takes anything for its roles.
    pub(crate) open: bool,
    /// What must not be seen in its `Debug`.
    pub(crate) secrets: Vec<&'static str>,
    /// A token that it takes at the upgrade.
    pub(crate) upgrade_token: Box<dyn Fn(Role) -> String>,
    /// A body that it takes in AUTH over a link.
    pub(crate) packet_body: PacketBody,
}

type PacketBody = Box<dyn Fn(Role, &Link) -> Vec<u8>>;

impl Subject {
    pub(crate) async fn check(&self) {
        let debug = format!("{0:?} {0:#?}", self.authenticator);
        for secret in &self.secrets {
            assert!(!debug.contains(secret), "{debug} shows {secret}");
        }
        for role in Role::ALL {
            if self.roles.contains(&role) {
                self.takes_what_is_good(role).await;
                self.answers_what_is_not(role).await;
            } else {
                self.forbids(role).await;
            }
        }
    }

    async fn takes_what_is_good(&self, role: Role) {
        let token = (self.upgrade_token)(role);
        let upgrade = self.upgrade(role, Some(&token)).await;
        let packet = self.packet(role, &(self.packet_body)(role, &link())).await;
        assert!(upgrade.is_ok(), "{role:?} upgrade: {upgrade:?}");
        assert_eq!(upgrade, packet, "{role:?}: one person at both places");
    }

    async fn answers_what_is_not(&self, role: Role) {
        let good = (self.packet_body)(role, &link());
        let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
        let mut bodies = vec![vec![0xff; 32], vec![b'x'; 64 * 1024], longer];
        bodies.extend(good.split_last().map(|(_, shorter)| shorter.to_vec()));
        for body in bodies {
            let answer = self.packet(role, &body).await;
            self.refused(&answer, Refusal::Invalid);
        }
        self.refused(&self.packet(role, b"").await, Refusal::Missing);
        self.refused(&self.upgrade(role, None).await, Refusal::Missing);
        self.refused(&self.upgrade(role, Some("")).await, Refusal::Missing);
        for token in ["x", "a.b.c", "name:", ":", "\u{0}", &"y".repeat(64 * 1024)] {
            self.refused(&self.upgrade(role, Some(token)).await, Refusal::Invalid);
        }
    }

    async fn forbids(&self, role: Role) {
        for good_for in self.roles {
            let token = (self.upgrade_token)(*good_for);
            let upgrade = self.upgrade(role, Some(&token)).await;
            assert_eq!(upgrade, Err(Refusal::Forbidden), "{role:?}");
            let body = (self.packet_body)(*good_for, &link());
            let packet = self.packet(role, &body).await;
            assert_eq!(packet, Err(Refusal::Forbidden), "{role:?}");
        }
    }

    fn refused(&self, answer: &Result<Authenticated, Refusal>, refusal: Refusal) {
        if self.open {
            assert!(answer.is_ok(), "{answer:?}");
        } else {
            assert_eq!(answer, &Err(refusal));
        }
    }

    async fn upgrade(&self, role: Role, token: Option<&str>) -> Result<Authenticated, Refusal> {
        let request = UpgradeRequest {
            uri: &Uri::from_static("/connect"),
            headers: &HeaderMap::new(),
            remote: SocketAddr::from(([127, 0, 0, 1], 1)),
            token,
        };
        let credentials = Credentials::Upgrade(request);
        self.authenticator.authenticate(role, credentials).await
    }

    async fn packet(&self, role: Role, body: &[u8]) -> Result<Authenticated, Refusal> {
        let link = link();
        let credentials = Credentials::Packet {
            alias: link.dialer_alias,
            body,
            link: &link,
        };
        self.authenticator.authenticate(role, credentials).await
    }
}

fn link() -> Link {
    Link {
        dialer_alias: 4_194_368,
        acceptor_alias: 4_194_304,
        dialer_fingerprint: [7; 32],
        acceptor_fingerprint: [9; 32],
    }
}
