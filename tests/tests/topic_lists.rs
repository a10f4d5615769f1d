//! Lists of topics that are too long, too large or none, while two others go on talking.

use anyhow::{Result, bail};
use bytes::Bytes;
use proto::{
    ErrorMessage, Format, Message as _, MessageType, Reason, SubscribeMessage, SubscriptionEntry,
    SubscriptionMessage, limits, topic_list,
};
use tests::cluster::Cluster;
use tests::double::{Client, Lane, Packet};
use tests::member::Member;

const TOPIC: &str = "plaza/1";

/// Two members who talk to each other, and somebody who sends what is to be refused.
struct Scene {
    cluster: Cluster,
    speaker: Member,
    listener: Member,
    mallory: Client,
}

impl Scene {
    async fn set() -> Result<Self> {
        let cluster = Cluster::start(1).await?;
        let speaker = Member::join(&cluster.url()).await?;
        let listener = Member::join(&cluster.url()).await?;
        listener.client.subscribe(&[TOPIC]).await?;
        let mallory = Client::join(&cluster.url()).await?;
        mallory.auth(b"").await;
        Ok(Self {
            cluster,
            speaker,
            listener,
            mallory,
        })
    }

    /// Sends it on the reliable lane while the two talk; the answer is the ERROR, and nothing else
    /// happens to anybody.
    async fn refused(&mut self, bytes: impl Into<Bytes>) -> Result<ErrorMessage> {
        self.mallory.send(Lane::Reliable, bytes.into()).await;
        for body in ["one", "two", "three"] {
            let lane = proto::Lane::Reliable;
            self.speaker.publish(TOPIC, lane, body).await?;
            assert_eq!(self.listener.message().await?.body, body);
        }
        let Packet::Foreign { bytes, .. } = self.mallory.expect().await? else {
            bail!("something else than an ERROR");
        };
        let error = ErrorMessage::decode(bytes)?;
        assert_eq!(error.r#type(), MessageType::Error);
        assert_eq!(self.mallory.settle().await?, [], "one ERROR, no more");
        Ok(error)
    }

    /// Whether mallory, whom nobody has closed, hears what is said about this topic.
    async fn mallory_hears(&mut self, topic: &str) -> Result<bool> {
        let lane = proto::Lane::Reliable;
        self.speaker.publish(topic, lane, "heard").await?;
        self.speaker.client.flush().await?;
        Ok(!self.mallory.settle().await?.is_empty())
    }

    async fn end(self) -> Result<()> {
        let server = self.cluster.commserver(0);
        server
            .wait_for("all three", |stats| stats.clients_ready == 3)
            .await?;
        self.cluster.stop().await
    }
}

fn subscription(format: Format, topics: Bytes) -> Vec<u8> {
    let message = SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: format.into(),
        topics,
    };
    message.encode_to_vec()
}

fn subscribe(topics: &[&str]) -> Vec<u8> {
    let entry = |&topic: &&str| SubscriptionEntry {
        topic: topic.to_owned(),
        options: None,
    };
    let message = SubscribeMessage {
        r#type: MessageType::Subscribe.into(),
        id: 7,
        entries: topics.iter().map(entry).collect(),
    };
    message.encode_to_vec()
}

#[tokio::test]
async fn a_set_beyond_the_limit_is_cut_and_one_beyond_a_packet_is_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let set = |count: usize| {
        let topics: Vec<String> = (0..count).map(|n| format!("room/{n:04}")).collect();
        let plain = topic_list::encode_plain(topics.iter().map(String::as_str));
        subscription(Format::Gzip, topic_list::compress(&plain))
    };
    let error = scene.refused(set(10_000)).await?;
    assert_eq!(error.code, u32::from(Reason::PacketTooLarge.number()));
    assert!(!scene.mallory_hears("room/0000").await?, "nothing of it");
    let error = scene.refused(set(2_000)).await?;
    assert_eq!(error.code, u32::from(Reason::TooManySubscriptions.number()));
    let last = format!("room/{:04}", limits::SUBSCRIPTIONS_MAX - 1);
    assert!(scene.mallory_hears(&last).await?, "up to the limit");
    assert!(!scene.mallory_hears(&error.topic).await?, "and no further");
    scene.end().await
}

#[tokio::test]
async fn a_gzip_bomb_is_cut_short() -> Result<()> {
    let mut scene = Scene::set().await?;
    let bomb = topic_list::compress(&vec![b'a'; 12 * 1024 * 1024]);
    let list = subscription(Format::Gzip, bomb);
    assert!(list.len() <= limits::PACKET_BYTES_MAX, "{}", list.len());
    let error = scene.refused(list).await?;
    assert_eq!(error.code, u32::from(Reason::BadTopicList.number()));
    let error = scene
        .refused(subscription(Format::Gzip, "none".into()))
        .await?;
    assert_eq!(error.code, u32::from(Reason::BadTopicList.number()));
    scene.end().await
}

#[tokio::test]
async fn topics_that_are_none_are_named_and_the_others_count() -> Result<()> {
    let mut scene = Scene::set().await?;
    let long = "x".repeat(limits::TOPIC_BYTES_MAX + 1);
    let huge = "x".repeat(10_000);
    for (n, bad) in ["", "with space", "tab\t", "line\n", "$to/1", &long, &huge]
        .into_iter()
        .enumerate()
    {
        let good = format!("good/{n}");
        let error = scene.refused(subscribe(&[bad, &good])).await?;
        assert_eq!((error.code, error.id), (101, 7), "{bad:?}");
        assert!(
            bad.starts_with(&error.topic),
            "{:?} of {bad:?}",
            error.topic
        );
        assert!(scene.mallory_hears(&good).await?, "{good} beside {bad:?}");
    }
    let longest = "x".repeat(limits::TOPIC_BYTES_MAX);
    let list = topic_list::encode_plain([longest.as_str()]);
    let list = subscription(Format::Plain, list);
    scene.mallory.send(Lane::Reliable, list.into()).await;
    scene.mallory.settle().await?;
    assert!(scene.mallory_hears(&longest).await?, "the longest there is");
    scene.end().await
}
