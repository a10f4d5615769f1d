//! A published packet costs a handful of allocations, however many subscribers it has.

use std::time::Instant;

use bytes::Bytes;
use commserver_core::{Broker, Config, Identity, Input, Output, PeerId};
use proto::{
    AuthMessage, ConnectMessage, Lane, Message, MessageType, Role, SubscriptionMessage,
    WelcomeMessage, frame,
};

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

/// A client that subscribes to the topic; every other one speaks only the 2019 protocol.
fn subscriber(broker: &mut Broker, now: Instant, from_alias: u64) -> PeerId {
    let connect = encoded(&ConnectMessage {
        r#type: MessageType::Connect.into(),
        from_alias,
        from_role: Role::Client.into(),
        ..ConnectMessage::default()
    });
    let peer = input(broker, now, Input::Signal(connect)).unwrap_or_else(|| panic!("a peer"));
    input(broker, now, Input::PeerOpened { peer });
    let ours = from_alias.is_multiple_of(2);
    let auth = encoded(&AuthMessage {
        r#type: MessageType::Auth.into(),
        role: Role::Client.into(),
        capabilities: if ours {
            frame::capabilities(false)
        } else {
            Vec::new()
        },
        ..AuthMessage::default()
    });
    let subscription = encoded(&SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: 1,
        topics: "t".into(),
    });
    let lane = Lane::Reliable;
    for bytes in [auth, subscription] {
        input(broker, now, Input::Packet { peer, lane, bytes });
    }
    let verdict = Input::Authenticated {
        peer,
        result: Ok(Identity::everything(Bytes::new())),
        proof: Bytes::new(),
    };
    input(broker, now, verdict);
    peer
}

/// Allocations for one packet to this many others.
fn allocations(subscribers: u64) -> u64 {
    let now = Instant::now();
    let mut broker = Broker::new(now, Config::new(1, 1));
    let welcome = encoded(&WelcomeMessage {
        r#type: MessageType::Welcome.into(),
        alias: 100_000,
        ..WelcomeMessage::default()
    });
    input(&mut broker, now, Input::Signal(welcome));
    let publisher = subscriber(&mut broker, now, 1);
    for alias in 0..subscribers {
        subscriber(&mut broker, now, alias + 2);
    }
    let bytes = frame::publish("t", vec![0; 100].into(), 1, false);
    let publish = |broker: &mut Broker| {
        let (peer, lane, bytes) = (publisher, Lane::Unreliable, bytes.clone());
        broker.handle_input(now, Input::Packet { peer, lane, bytes });
        let mut recipients = 0;
        while let Some(output) = broker.poll_output() {
            if let Output::Deliver(delivery) = output {
                recipients += delivery.recipients.len();
            }
        }
        recipients
    };
    // The first one may make room in queues that stay.
    publish(&mut broker);
    let mut recipients = 0;
    let counted = allocation_counter::measure(|| recipients = publish(&mut broker));
    assert_eq!(u64::try_from(recipients), Ok(subscribers));
    counted.count_total
}

#[test]
fn do_not_grow_with_the_recipients() {
    let few = allocations(20);
    let many = allocations(2_000);
    assert_eq!(few, many, "allocations for 20 and for 2,000 recipients");
    assert!((1..=6).contains(&few), "{few} allocations");
}
