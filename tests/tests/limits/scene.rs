//! A server with one limit that is reached soon, two who talk to each other on it, and what it counts.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use proto::{ErrorMessage, Lane, Message as _, Reason};
use tests::{
    cluster::{Cluster, Setup},
    double::{Client, Packet},
    member::Member,
};

/// What the two talk about; the only topic that is there before an offender comes.
pub(crate) const TALK: &str = "talk";

/// The stage of a test.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    speaker: Member,
    hearer: Member,
    /// What was published so far, which tells new numbers from old ones.
    said: u64,
}

/// Everything that the server has counted of what it did not do.
pub(crate) type Counts = BTreeMap<String, u64>;

impl Scene {
    /// On one server, whose configuration is changed.
    pub(crate) async fn set(
        change: impl Fn(&mut commserver::Config) + Send + Sync + 'static,
    ) -> Result<Self> {
        let setup = Setup {
            commserver: Arc::new(change),
            ..Setup::default()
        };
        Self::on(setup.start(1).await?).await
    }

    /// On the first server of a cluster.
    pub(crate) async fn on(cluster: Cluster) -> Result<Self> {
        let (url, server) = (cluster.url(), cluster.commserver(0).alias);
        let speaker = Member::join_server(&url, server).await?;
        let hearer = Member::join_server(&url, server).await?;
        hearer.client.subscribe(&[TALK]).await?;
        Ok(Self {
            cluster,
            speaker,
            hearer,
            said: 0,
        })
    }

    /// A client who knows no limits, let in; its ERRORs are for the test to read.
    pub(crate) async fn offender(&self) -> Result<Client> {
        let mut offender = Client::join(&self.cluster.url()).await?;
        offender.auth(b"").await;
        let before = offender.settle().await?;
        ensure!(before.is_empty(), "{before:?}");
        Ok(offender)
    }

    /// The two talk, on both lanes, and lose nothing.
    pub(crate) async fn talk(&mut self) -> Result<()> {
        for lane in Lane::ALL {
            let body = self.said.to_string();
            self.speaker.publish(TALK, lane, body.clone()).await?;
            let heard = self.hearer.message().await?;
            ensure!(heard.body == body, "{heard:?} instead of {body}");
            self.said += 1;
        }
        Ok(())
    }

    /// Something is published by one of the two, and has gone where it goes.
    pub(crate) async fn publish(&mut self, topic: &str) -> Result<()> {
        self.speaker.publish(topic, Lane::Reliable, "").await?;
        self.speaker.client.flush().await?;
        self.said += 1;
        Ok(())
    }

    /// An offender has published so much that nothing was wrong with.
    pub(crate) const fn note(&mut self, published: u64) {
        self.said += published;
    }

    /// What is counted, of all that was there before the two have talked once more.
    pub(crate) async fn counts(&mut self) -> Result<Counts> {
        self.talk().await?;
        let (server, said) = (self.cluster.commserver(0), self.said);
        let published =
            |stats: &commserver_core::Stats| stats.published.iter().sum::<u64>() >= said;
        server.wait_for("the talk", published).await?;
        Ok(server.metrics().await?.beginning_with(COUNTED))
    }

    /// That nothing of it has moved since.
    pub(crate) async fn ensure_nothing_since(&mut self, before: &Counts) -> Result<()> {
        self.ensure_since(before, &[]).await
    }

    /// That of all that is counted these have moved since, by one each, and nothing else.
    pub(crate) async fn ensure_since(&mut self, before: &Counts, moved: &[&str]) -> Result<()> {
        let mut expected = before.clone();
        for name in moved {
            *expected.entry((*name).to_owned()).or_default() += 1;
        }
        let after = self.counts().await?;
        let differ = |(name, count): &(&String, &u64)| expected.get(*name) != Some(*count);
        let wrong: Vec<_> = after.iter().filter(differ).collect();
        ensure!(
            wrong.is_empty() && after.len() == expected.len(),
            "{wrong:?} after {moved:?}"
        );
        Ok(())
    }

    /// Neither of the two was ever anywhere else.
    pub(crate) async fn end(self) -> Result<()> {
        for member in [&self.speaker, &self.hearer] {
            ensure!(member.client.stats().connects == 1, "{:?}", member.client);
        }
        self.cluster.stop().await
    }
}

/// The ERROR that a client is told next: its reason, and the topic that it names.
pub(crate) async fn error(client: &mut Client) -> Result<(Reason, String)> {
    let Packet::Foreign { bytes, .. } = client.expect().await? else {
        bail!("no ERROR")
    };
    let error = ErrorMessage::decode(bytes)?;
    let reason = Reason::from_number(error.code).context("no reason of ours")?;
    Ok((reason, error.topic))
}

/// Families in which everything is counted that a server does not do for somebody.
const COUNTED: &[&str] = &[
    "broker_drops_total",
    "broker_errors_total",
    "broker_refusals_total",
    "broker_peers_closed_total",
    "broker_links_closed_total",
    "broker_authentications_refused_total",
    "broker_handshakes_evicted_total",
    "broker_rate_pauses_total",
    "broker_slow_consumers_total",
    "broker_crowded_out_total",
];
