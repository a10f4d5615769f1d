//! Every limit of a commserver: each row of the table at the end says how one is shown. Those that
//! the broker or its shell keeps are walked here, over real sockets: just below, at and just above
//! them, with what the offender is told, what is counted, and two others who talk on. Those that need
//! virtual time, or a reader that stands still, are walked where the shard is tested.

mod addresses;
mod authentication;
mod documented;
mod links;
mod packets;
mod peers;
mod scene;
mod topics;

use self::documented::Shown;

/// Makes a test of each limit that is walked here, and the table of all of them.
macro_rules! walk {
    (
        here { $($key:literal => $module:ident :: $name:ident,)* }
        elsewhere { $($far_key:literal => $file:literal, $test:literal,)* }
    ) => {
        $(
            #[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                $module::$name().await
            }
        )*

        const LIMITS: &[(&str, Shown)] = &[
            $(($key, Shown::Here),)*
            $(($far_key, Shown::By { file: $file, test: $test }),)*
        ];
    };
}

walk! {
    here {
        "limits.peers_max" => peers::clients,
        "limits.links_max" => links::to_other_servers,
        "limits.subscriptions_max" => topics::of_one_client,
        "limits.topics_max" => topics::of_all,
        "limits.topic_bytes_max" => topics::length,
        "limits.topic_levels_max" => topics::levels,
        "limits.address_peers_max" => addresses::clients_of_one,
        "limits.address_exempt" => addresses::exempt_ones,
        "limits.packet_bytes_max" => packets::size,
        "limits.held_packets_max" => authentication::held_packets,
        "limits.held_bytes_max" => authentication::held_bytes,
        "authentication.calls_max" => authentication::calls,
        "authentication.waiting_max" => authentication::waiting,
    }
    elsewhere {
        "limits.handshakes_max" => "commserver/core/tests/scripts/handshakes.rs",
            "a_rush_keeps_its_places",
        "limits.topic_changes_per_s" => "commserver/core/tests/scripts/requests.rs",
            "topics_are_counted_and_not_requests",
        "limits.link_topics_total_max" => "commserver/core/tests/scripts/interest_limits.rs",
            "what_links_want_together_is_limited_and_each_has_its_share",
        "limits.unproved_checks_per_s" => "shard/src/peers/tests/garbage.rs",
            "a_burst_of_strangers_checks_is_looked_at_and_not_one_more",
        "limits.outbox_bytes_total_max" => "shard/src/peers/tests/room.rs",
            "what_waits_for_all_is_taken_up_to_the_limit_and_not_beyond",
        "limits.inbox_bytes_total_max" => "shard/src/peers/tests/room.rs",
            "what_many_fast_senders_have_us_hold_is_the_limit",
        "limits.reliable_packets_per_s" => "shard/src/peers/tests/budgets.rs",
            "the_reliable_lane_passes_a_burst_and_then_waits",
        "limits.reliable_bytes_per_s" => "shard/src/budget.rs",
            "a_burst_of_bytes_passes_and_the_last_packet_may_go_into_debt",
        "limits.unreliable_packets_per_s" => "shard/src/peers/tests/budgets.rs",
            "the_unreliable_lane_drops_what_is_over_and_counts_it",
        "limits.unreliable_bytes_per_s" => "shard/src/budget.rs",
            "a_burst_of_bytes_passes_and_the_last_packet_may_go_into_debt",
        "limits.rate_burst" => "shard/src/budget.rs", "it_refills_with_the_time_up_to_a_burst",
        "outbox.reliable.policy" => "tests/tests/slow_reader/main.rs",
            "fixed_queue_and_discard_drop_for_who_does_not_read",
        "outbox.reliable.bytes_max" => "shard/src/outbox/tests.rs",
            "buffered_overruns_past_the_byte_limit_and_says_so_once",
        "outbox.reliable.count_max" => "shard/src/outbox/tests.rs",
            "buffered_overruns_past_the_count_limit",
        "outbox.reliable.grace" => "shard/src/outbox/tests.rs",
            "the_grace_runs_above_half_and_stops_below",
        "outbox.unreliable.policy" => "tests/tests/slow_reader/main.rs",
            "fixed_queue_and_discard_drop_for_who_does_not_read",
        "outbox.unreliable.bytes_max" => "shard/src/outbox/tests.rs",
            "fixed_queue_does_not_empty_itself_for_what_can_never_fit",
        "outbox.unreliable.count_max" => "shard/src/outbox/tests.rs",
            "fixed_queue_keeps_the_newest",
        "outbox.link_times" => "shard/src/outbox/tests.rs",
            "a_scaled_one_holds_so_many_times_as_much",
    }
}

#[test]
fn each_limit_that_is_documented_is_shown() {
    documented::each_is_shown(LIMITS);
}
