//! `/connect` and `/discover`: who asks, for which role, and whether it gets a session.

use std::{
    iter,
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use auth::{
    Credentials, UpgradeRequest,
    cluster::resume::{Holder, NotResumed},
};
use axum::{
    extract::{
        Extension, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, Uri},
    response::{IntoResponse as _, Response},
};
use coordinator_core::{Alias, Region, Resume};
use proto::{Reason, Role, SUBPROTOCOL};
use tokio::time;

use crate::{
    Shared,
    addresses::TooMany,
    metrics::{NoResume, Refused},
    refusal,
    room::Place,
    session::{self, Owner},
    token,
};

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote {
    pub(crate) addr: SocketAddr,
    /// Whether it has shown a certificate that is good, where one is asked for.
    pub(crate) certified: bool,
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Clients.
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    Extension(remote): Extension<Remote>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    join(shared, Ok(Role::Client), remote, uri, headers, upgrade).await
}

/// Servers and hubs, by `?role=`.
pub(crate) async fn discover(
    State(shared): State<Arc<Shared>>,
    Extension(remote): Extension<Remote>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let role = match token::query(&uri, "role").as_deref() {
        None | Some("COMMUNICATION_SERVER") => Ok(Role::CommunicationServer),
        Some("COMMUNICATION_SERVER_HUB") => Ok(Role::CommunicationServerHub),
        Some(_) => Err(Reason::UnknownRole),
    };
    join(shared, role, remote, uri, headers, upgrade).await
}

async fn join(
    shared: Arc<Shared>,
    role: Result<Role, Reason>,
    remote: Remote,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let mut upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            shared.metrics.refused(Refused::NotAnUpgrade);
            return rejection.into_response();
        }
    };
    let ours = token::offers_ours(&headers);
    if ours {
        upgrade.set_selected_protocol(HeaderValue::from_static(SUBPROTOCOL));
    }
    let admitted = match role {
        Ok(role) => admit(&shared, role, ours, remote, &uri, &headers).await,
        Err(reason) => Err(reason),
    };
    match admitted {
        Ok((owner, place)) => serve(shared, upgrade, owner, place),
        Err(reason) => {
            shared.metrics.refused(Refused::For(reason));
            tracing::debug!(%reason, path = uri.path(), "refused");
            refuse(shared, upgrade, ours, reason)
        }
    }
}

/// Whether somebody may have a session: who it is, and a place for it.
async fn admit(
    shared: &Shared,
    role: Role,
    ours: bool,
    remote: Remote,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Owner, Place), Reason> {
    if shared.stop.is_cancelled() {
        return Err(Reason::ShuttingDown);
    }
    if !shared.origins.allow(headers) {
        return Err(Reason::OriginForbidden);
    }
    if role != Role::Client && !remote.certified {
        tracing::warn!(addr = %remote.addr.ip(), "a server without a certificate");
        return Err(Reason::Unauthenticated);
    }
    let shown = token::resume(headers).filter(|_| ours);
    let place = shared.room.enter(role);
    let place = place.or_else(|| shown.and_then(|_| shared.room.enter_as_successor(role)));
    let place = place.ok_or(Reason::Overloaded)?;
    let ip = remote.addr.ip();
    let counts = role == Role::Client;
    if counts && shown.is_none() && shared.addresses.is_full(Instant::now(), ip) {
        return Err(too_many(shared));
    }
    let token = token::find(uri, headers);
    let credentials = Credentials::Upgrade(UpgradeRequest {
        uri,
        headers,
        remote: remote.addr,
        token: token.as_deref(),
    });
    let answer = shared
        .authenticator
        .authenticate(auth_role(role), credentials);
    let found = match time::timeout(shared.timeouts.auth, answer).await {
        Ok(Ok(authenticated)) => authenticated,
        Ok(Err(refused)) => return Err(refusal::reason(refused)),
        Err(_) => return Err(Reason::AuthUnavailable),
    };
    let resume = shown.and_then(|token| resume(shared, role, &found.identity, token));
    if place.is_successors() && resume.is_none() {
        return Err(Reason::Overloaded);
    }
    let place = if counts {
        let replaces = resume.is_some();
        let held = shared.addresses.session(Instant::now(), ip, replaces);
        place.at(held.ok_or_else(|| too_many(shared))?)
    } else {
        place
    };
    let owner = Owner {
        role,
        ours,
        identity: found.identity,
        token_id: found.token_id,
        expires: found.expires,
        resume,
        region: token::query(uri, "region").and_then(|name| Region::parse(&name)),
    };
    Ok((owner, place))
}

fn too_many(shared: &Shared) -> Reason {
    shared.metrics.too_many(TooMany::Sessions);
    Reason::TooManyFromAddress
}

/// What somebody may take up. A token that is not good costs nothing but the alias.
fn resume(shared: &Shared, role: Role, identity: &[u8], token: &str) -> Option<Resume> {
    let holder = Holder {
        role: auth_role(role),
        identity,
    };
    let secret = &shared.cluster_secret;
    match secret.verify_resume_token(token, holder, SystemTime::now()) {
        Ok(resume) => Some(Resume {
            alias: Alias::from_wire(resume.alias),
            series: resume.series,
        }),
        Err(why) => {
            tracing::debug!(%why, "a resume token is ignored");
            shared.metrics.not_resumed(match why {
                NotResumed::Invalid => NoResume::Invalid,
                NotResumed::Expired => NoResume::Expired,
                NotResumed::Foreign => NoResume::Foreign,
            });
            None
        }
    }
}

/// As the authenticators call it.
pub(crate) const fn auth_role(role: Role) -> auth::Role {
    match role {
        Role::CommunicationServer => auth::Role::Server,
        Role::CommunicationServerHub => auth::Role::Hub,
        Role::Client | Role::UnknownRole => auth::Role::Client,
    }
}

fn serve(shared: Arc<Shared>, upgrade: WebSocketUpgrade, owner: Owner, place: Place) -> Response {
    let task = shared.tasks.token();
    configure(upgrade, &shared).on_upgrade(move |socket| async move {
        let session = session::run(&shared, owner, socket);
        tokio::select! {
            () = session::unless(&shared.abort, session) => {}
            () = place.hold() => {}
        }
        drop(task);
    })
}

fn refuse(shared: Arc<Shared>, upgrade: WebSocketUpgrade, ours: bool, reason: Reason) -> Response {
    let (true, Some(place)) = (ours, shared.room.enter_refused()) else {
        return refusal::response(reason);
    };
    let task = shared.tasks.token();
    configure(upgrade, &shared).on_upgrade(move |mut socket| async move {
        let timeout = shared.timeouts.close;
        let farewell = session::farewell(&mut socket, true, iter::empty(), reason, timeout);
        session::unless(&shared.abort, farewell).await;
        drop((place, task));
    })
}

/// Buffers that fit signals, tens of thousands of times; the defaults are for bulk data.
fn configure(upgrade: WebSocketUpgrade, shared: &Shared) -> WebSocketUpgrade {
    let bytes_max = shared.limits.core.signal_bytes_max;
    // Of the buffer for writing only the beginning is bounded: one message more is put into it, of
    // whatever size, and then it is waited until it is empty.
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(bytes_max)
        // So that the close can say what was wrong with one that is not much too large.
        .max_frame_size(bytes_max.saturating_mul(2))
}

const READ_BUFFER_BYTES: usize = 4 * 1024;
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
