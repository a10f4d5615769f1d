//! What subscriptions cost in memory, their topics included, as the allocator counts it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use commserver_core::{Broker, Config, Identity, Input, Output, PeerId};
use proto::{
    AuthMessage, ConnectMessage, Format, Lane, Message, MessageType, Role, SubscriptionMessage,
    WelcomeMessage, frame, topic_list,
};

const PEERS: usize = 1_000;
const SUBSCRIPTIONS: usize = 100;

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn input(broker: &mut Broker, now: Instant, input: Input) -> Option<PeerId> {
    broker.handle_input(now, input);
    let outputs = std::iter::from_fn(|| broker.poll_output());
    let opened = outputs.filter_map(|output| match output {
        Output::OpenPeer { peer, .. } => Some(peer),
        _ => None,
    });
    opened.last()
}

fn client(broker: &mut Broker, now: Instant, from_alias: usize) -> PeerId {
    let connect = encoded(&ConnectMessage {
        r#type: MessageType::Connect.into(),
        from_alias: u64::try_from(from_alias).unwrap_or_default() + 1,
        from_role: Role::Client.into(),
        ..ConnectMessage::default()
    });
    let peer = input(broker, now, Input::Signal(connect)).unwrap_or_else(|| panic!("a peer"));
    input(broker, now, Input::PeerOpened { peer });
    let bytes = encoded(&AuthMessage {
        r#type: MessageType::Auth.into(),
        role: Role::Client.into(),
        capabilities: frame::capabilities(false),
        ..AuthMessage::default()
    });
    let lane = Lane::Reliable;
    input(broker, now, Input::Packet { peer, lane, bytes });
    let verdict = Input::Authenticated {
        peer,
        result: Ok(Identity::everything(Bytes::new())),
        proof: Bytes::new(),
    };
    input(broker, now, verdict);
    peer
}

/// Bytes for each subscription of 1,000 clients to 100 of so many topics each.
fn bytes_per_subscription(topics: usize) -> u64 {
    let now = Instant::now();
    let mut broker = Broker::new(now, Config::new(1, 1));
    let welcome = encoded(&WelcomeMessage {
        r#type: MessageType::Welcome.into(),
        alias: 100_000,
        ..WelcomeMessage::default()
    });
    input(&mut broker, now, Input::Signal(welcome));
    let clients: Vec<PeerId> = (0..PEERS).map(|at| client(&mut broker, now, at)).collect();
    let lists = (0..PEERS).map(|at| {
        let numbers = (0..SUBSCRIPTIONS).map(|n| (at * SUBSCRIPTIONS + n) % topics);
        let names: Vec<String> = numbers.map(|n| format!("plaza/{n:06}")).collect();
        let plain = topic_list::encode_plain(names.iter().map(String::as_str));
        encoded(&SubscriptionMessage {
            r#type: MessageType::Subscription.into(),
            format: Format::Plain.into(),
            topics: plain,
        })
    });
    let lists: Vec<Bytes> = lists.collect();
    let counted = allocation_counter::measure(|| {
        for (&peer, list) in clients.iter().zip(&lists) {
            let (lane, bytes) = (Lane::Reliable, list.clone());
            input(&mut broker, now, Input::Packet { peer, lane, bytes });
        }
        input(&mut broker, now + Duration::from_secs(1), Input::Tick);
    });
    assert_eq!(broker.stats().topics, topics);
    assert_eq!(broker.stats().subscriptions, PEERS * SUBSCRIPTIONS);
    let bytes = u64::try_from(counted.bytes_current).unwrap_or_default();
    bytes / u64::try_from(PEERS * SUBSCRIPTIONS).unwrap_or(1)
}

#[test]
fn a_subscription_costs_little() {
    for (topics, bytes_max) in [(100_000, 200), (10_000, 60), (100, 40)] {
        let bytes = bytes_per_subscription(topics);
        eprintln!("{topics} topics: {bytes} bytes for each subscription");
        assert!(bytes <= bytes_max, "{bytes} bytes, {topics} topics");
    }
}
