//! Asks the authenticators, off the hub's thread: so many calls at once, each with a deadline, and
//! the answers go back as commands.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use auth::{Authenticated, Authenticator, Credentials, Limits, Link, Role};
use bytes::Bytes;
use commserver_core::{Identity, PeerId};
use proto::Reason;
use shard::Handle;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    hub::{Command, refusal},
};

/// A peer that wants to be let in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) peer: PeerId,
    pub(crate) role: Role,
    pub(crate) body: Bytes,
    pub(crate) link: Link,
    /// Comes back with the answer.
    pub(crate) proof: Bytes,
}

/// Where one kind of peers is looked at.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) config: config::Authentication,
}

impl Desk {
    /// Answers requests until `shutdown`, or until nobody asks any more.
    pub(crate) async fn run(mut self, hub: Handle<Command>, shutdown: CancellationToken) {
        let mut calls = JoinSet::new();
        loop {
            let room = calls.len() < self.config.calls_max.max(1);
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_ended) = calls.join_next(), if !calls.is_empty() => {}
                request = self.requests.recv(), if room => {
                    let Some(request) = request else {
                        return;
                    };
                    let authenticator = Arc::clone(&self.authenticator);
                    calls.spawn(answer(request, authenticator, self.config.timeout, hub.clone()));
                }
            }
        }
    }
}

async fn answer(
    request: Request,
    authenticator: Arc<dyn Authenticator>,
    limit: Duration,
    hub: Handle<Command>,
) {
    let Request {
        peer,
        role,
        body,
        link,
        proof,
    } = request;
    let credentials = Credentials::Packet {
        alias: link.dialer_alias,
        body: &body,
        link: &link,
    };
    let result = match timeout(limit, authenticator.authenticate(role, credentials)).await {
        Ok(Ok(found)) => Ok(Granted::of(found)),
        Ok(Err(why)) => Err(refusal(why)),
        Err(_elapsed) => Err(Reason::AuthUnavailable),
    };
    let command = Command::Authenticated {
        peer,
        result,
        proof,
    };
    if hub.send(command).await.is_err() {
        tracing::debug!("the hub is gone, an authentication comes too late");
    }
}

/// What was found, taken apart: for the core, which knows no wall clock, and for the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
}

impl Granted {
    fn of(found: Authenticated) -> Self {
        let identity = Identity {
            identity: found.identity,
            grants: found.grants,
            subscriptions_max: found.limits.subscriptions_max,
            expires: found.expires.and_then(instant_of),
            token_id: found.token_id,
        };
        Self {
            identity,
            limits: found.limits,
        }
    }
}

/// When that is; `None` is beyond what there is.
fn instant_of(time: SystemTime) -> Option<Instant> {
    let left = time.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now().checked_add(left)
}

#[cfg(test)]
mod tests;
