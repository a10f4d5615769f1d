//! The worst case is the sum of what the limits say.

use super::*;

fn config() -> Config {
    Config::new(
        Uri::from_static("ws://127.0.0.1:9090"),
        Arc::new(auth::AllowAll),
        ClusterSecret::generate(),
    )
}

#[test]
fn the_defaults_fit_into_six_gigabytes() {
    let most = config().memory_max();
    println!("{most:?}: {} bytes", most.total());
    assert!(most.total() <= 6_000_000_000, "{most:?}");
}

#[test]
fn the_shares_of_all_fit_into_what_there_is() {
    let config = config();
    let most = config.memory_max();
    assert_eq!(most.received, config.rtc.inbox_bytes_total_max);
    assert_eq!(most.waiting, config.rtc.outbox_bytes_total_max);
}

#[test]
fn each_limit_counts_for_what_it_allows() {
    let before = config().memory_max().total();
    let more = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        config.memory_max().total() - before
    };
    // Its transport and a successor's, what is held for it, and its topics.
    let topics = 1024 * SUBSCRIPTION_BYTES;
    let client = 2 * Peer::IDLE_BYTES + 64 * 1024 + GRANTS_BYTES + topics;
    assert_eq!(more(|config| config.limits.peers_max += 1), client);
    let link = 2 * Peer::IDLE_BYTES + 64 * 1024;
    assert_eq!(more(|config| config.limits.links_max += 1), link);
    let topic = 256 + TOPIC_BYTES + 2 * (256 + NAME_BYTES);
    assert_eq!(more(|config| config.limits.topics_max += 1), topic);
    let told = SUBSCRIPTION_BYTES + NEWS_BYTES;
    assert_eq!(
        more(|config| config.limits.link_topics_total_max += 1),
        told
    );
    assert_eq!(more(|config| config.rtc.inbox_bytes_total_max += 1), 1);
    assert_eq!(more(|config| config.rtc.outbox_bytes_total_max += 1), 1);
    assert_eq!(more(|config| config.limits.held_bytes_max += 1), 4352);
    let signal = proto::limits::SIGNAL_BYTES_MAX;
    assert_eq!(more(|config| config.uplink.queue_max += 1), 2 * signal);
    assert_eq!(more(|config| config.rtc.commands_max += 1), signal);
}

/// With shares for more peers than the total has room for, the shares are the limit.
#[test]
fn shares_that_come_to_more_than_the_total_count_instead_of_it() {
    let mut config = config();
    config.rtc.inbox_bytes_total_max = 1;
    let shares = 2 * 4352 * Peer::RECEIVED_BYTES_LEAST;
    assert_eq!(config.memory_max().received, shares);
}
