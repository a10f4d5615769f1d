//! Signals between real peers through a real coordinator: who may reach whom, under whose name,
//! and what a client sees when there is nobody to reach.

use anyhow::{Context, Result, bail};
use client::session::State;
use proto::{Lane, Reason, Role, SUBPROTOCOL, ServersMessage, WelcomeMessage};
use tests::cluster::{Cluster, Setup};
use tests::double::wire::{self, Kind, Message};
use tests::double::{Client, Session};
use tests::member::{self, Member};
use tests::socket::{Dialed, Incoming, Socket};

async fn dial_ours(url: &str) -> Result<Box<Socket>> {
    match Socket::dial(url, &[SUBPROTOCOL]).await? {
        Dialed::Open(socket) => Ok(socket),
        Dialed::Refused { status, .. } => bail!("refused: {status}"),
    }
}

async fn signal<M: proto::Message + Default>(socket: &mut Socket) -> Result<M> {
    match socket.expect().await? {
        Incoming::Signal(bytes) => Ok(M::decode(bytes)?),
        closed => bail!("{closed:?}"),
    }
}

#[tokio::test]
async fn the_offer_comes_first_and_under_the_servers_name() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let server = cluster.aliases()[0];
    let mut session = Session::dial(&format!("{}/connect", cluster.url())).await?;
    assert_eq!(session.available_servers, [server]);
    session.connect(server).await?;
    let Message::WebRtc(offer) = session.expect().await?.message else {
        bail!("no offer")
    };
    assert_eq!((offer.kind(), offer.from_alias), (Kind::Offer, server));
    assert_eq!(offer.to_alias, session.alias);
    let json: serde_json::Value = serde_json::from_slice(&offer.data)?;
    assert_eq!(json["type"], "offer");
    let sdp = json["sdp"].as_str().context("an SDP")?;
    for line in ["a=ice-lite", "a=setup:actpass", "a=max-message-size:65536"] {
        assert!(sdp.contains(line), "{line} is not in {sdp}");
    }
    // No more than a 2019 coordinator passes on.
    assert!(offer.data.len() < 4900, "{} bytes", offer.data.len());
    drop(session);
    cluster.stop().await
}

#[tokio::test]
async fn the_coordinator_stamps_name_and_role() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let server = cluster.aliases()[0];
    let mut socket = dial_ours(&format!("{}/connect", cluster.url())).await?;
    let welcome: WelcomeMessage = signal(&mut socket).await?;
    assert_eq!(
        (socket.protocol.as_deref(), welcome.available_servers),
        (Some(SUBPROTOCOL), vec![server])
    );
    let connect = wire::Connect {
        kind: Kind::Connect.into(),
        from_alias: 0,
        to_alias: server,
    };
    socket.send(Message::Connect(connect).encode()).await?;
    let offer: proto::WebRtcMessage = signal(&mut socket).await?;
    assert_eq!((offer.from_alias, offer.to_alias), (server, welcome.alias));
    assert_eq!(offer.from_role(), Role::CommunicationServer);
    drop(socket);
    cluster.stop().await
}

#[tokio::test]
async fn nobody_signals_to_a_stranger() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let server = cluster.aliases()[0];
    let url = format!("{}/connect", cluster.url());
    let mut mallory = Session::dial(&url).await?;
    let mut victim = Session::dial(&url).await?;
    mallory.connect(victim.alias).await?;
    for kind in [Kind::Offer, Kind::Answer, Kind::Candidate] {
        mallory.webrtc(kind, victim.alias, "{}".into()).await?;
    }
    // The server's offer to the victim is the first thing that reaches it.
    mallory.connect(server).await?;
    assert!(matches!(
        mallory.expect().await?.message,
        Message::WebRtc(_)
    ));
    victim.connect(server).await?;
    let Message::WebRtc(offer) = victim.expect().await?.message else {
        bail!("no offer")
    };
    assert_eq!(offer.from_alias, server);
    drop((mallory, victim));
    cluster.stop().await
}

#[tokio::test]
async fn a_session_cannot_speak_under_another_name() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let server = cluster.aliases()[0];
    let mut victim = Client::join(&cluster.url()).await?;
    victim.auth(b"").await;
    let mut mallory = Session::dial(&format!("{}/connect", cluster.url())).await?;
    let forged = wire::Connect {
        kind: Kind::Connect.into(),
        from_alias: victim.alias,
        to_alias: server,
    };
    mallory.send(&Message::Connect(forged)).await?;
    // The offer goes to who asked, and the victim's peer is untouched.
    let Message::WebRtc(offer) = mallory.expect().await?.message else {
        bail!("no offer")
    };
    assert_eq!(offer.to_alias, mallory.alias);
    assert_eq!(victim.settle().await?, []);
    drop(mallory);
    cluster.stop().await
}

#[tokio::test]
async fn a_client_that_finds_no_server_is_told_when_one_comes() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    let mut socket = dial_ours(&format!("{}/connect", cluster.url())).await?;
    let welcome: WelcomeMessage = signal(&mut socket).await?;
    assert!(welcome.available_servers.is_empty());
    let mut member = Member::start(&member::config(&cluster.url())?)?;

    let server = cluster.add_commserver().await?;
    let servers: ServersMessage = signal(&mut socket).await?;
    let [entry] = &servers.entries[..] else {
        bail!("{servers:?}")
    };
    assert_eq!(
        (entry.alias, entry.role()),
        (server, Role::CommunicationServer)
    );
    assert_eq!(member.connected().await?, server);
    let alias = member.alias();
    assert_eq!(member.client.state(), State::Connected { alias, server });
    drop(socket);
    cluster.stop().await
}

#[tokio::test]
async fn a_refusal_is_seen_with_the_subprotocol_and_without() -> Result<()> {
    let setup = Setup {
        clients: std::sync::Arc::new(auth::SharedSecret::new(&"a long enough secret".into())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let url = format!("{}/connect", cluster.url());
    let Dialed::Refused { status, body } = Socket::dial(&url, &[]).await? else {
        bail!("it is let in")
    };
    assert_eq!(status, 401);
    let json: serde_json::Value = serde_json::from_slice(&body)?;
    assert_eq!(json["code"], Reason::Unauthenticated.number());

    let mut socket = dial_ours(&url).await?;
    let error: proto::ErrorMessage = signal(&mut socket).await?;
    assert_eq!(error.code, u32::from(Reason::Unauthenticated.number()));
    let closed = Incoming::Closed(Some(4000 + Reason::Unauthenticated.number()));
    assert_eq!(socket.expect().await?, closed);

    let mut member = Member::start(&member::config(&cluster.url())?)?;
    assert_eq!(member.stopped().await?, Reason::Unauthenticated);
    let refused = Member::start(&member::config(&cluster.url())?.with_token("no"))?;
    let lost = refused
        .client
        .publish("plaza/1", Lane::Reliable, "hello")
        .await;
    drop(lost);
    assert_eq!(
        refused.client.connected().await,
        Err(Reason::Unauthenticated)
    );
    cluster.stop().await
}
