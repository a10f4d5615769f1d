//! All settings, one line each: key, kind, place.

use std::{fmt::Display, net::SocketAddr, path::PathBuf};

use shard::outbox::Policy;

use super::{
    Values,
    value::{Wanted, count, duration, list, parse, show_duration, show_text},
};

/// One setting: its key, and how it is set and shown as text.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) set: fn(&mut Values, &str) -> Result<(), Wanted>,
    pub(super) show: fn(&Values) -> String,
}

macro_rules! setting {
    ($key:literal, $read:expr, $show:expr, $($place:ident).+) => {
        Setting {
            key: $key,
            set: |values, text| {
                values.$($place).+ = $read(text)?;
                Ok(())
            },
            show: |values| $show(&values.$($place).+),
        }
    };
}

macro_rules! settings {
    ($($key:literal $kind:ident $($place:ident).+;)+) => {
        &[$(settings!(@$kind $key $($place).+)),+]
    };
    (@count $key:literal $($place:ident).+) => {
        setting!($key, count, ToString::to_string, $($place).+)
    };
    (@duration $key:literal $($place:ident).+) => {
        setting!($key, duration, |value: &_| show_duration(*value), $($place).+)
    };
    (@switch $key:literal $($place:ident).+) => {
        setting!($key, |text| parse(text, "true or false"), ToString::to_string, $($place).+)
    };
    (@policy $key:literal $($place:ident).+) => {
        setting!($key, policy, |value: &_| show_policy(*value), $($place).+)
    };
    (@file $key:literal $($place:ident).+) => {
        setting!($key, file, show_file, $($place).+)
    };
    (@listen $key:literal $($place:ident).+) => {
        setting!($key, |text| parse(text, ADDRESS), show_text, $($place).+)
    };
    (@listen_or_none $key:literal $($place:ident).+) => {
        setting!($key, listen_or_none, show_option, $($place).+)
    };
    (@addresses $key:literal $($place:ident).+) => {
        setting!($key, |text| list(text, "IP addresses"), show_list, $($place).+)
    };
    (@url $key:literal $($place:ident).+) => {
        setting!($key, |text| parse(text, "a URL").map(Some), show_option, $($place).+)
    };
}

/// Every setting, in the order in which they are printed.
pub(super) const SETTINGS: &[Setting] = settings! {
    "coordinator" url coordinator;
    "rtc_listen" listen rtc_listen;
    "advertise" addresses advertise;
    "admin_listen" listen_or_none admin_listen;
    "shards" count shards;
    "cluster_secret_file" file cluster_secret_file;
    "client_secret_file" file client_secret_file;
    "insecure" switch insecure;
    "limits.peers_max" count limits.peers_max;
    "limits.links_max" count limits.links_max;
    "limits.subscriptions_max" count limits.subscriptions_max;
    "limits.topics_max" count limits.topics_max;
    "limits.topic_bytes_max" count limits.topic_bytes_max;
    "limits.packet_bytes_max" count limits.packet_bytes_max;
    "limits.held_packets_max" count limits.held_packets_max;
    "limits.held_bytes_max" count limits.held_bytes_max;
    "timings.handshake_timeout" duration timings.handshake_timeout;
    "timings.auth_timeout" duration timings.auth_timeout;
    "timings.ready_timeout" duration timings.ready_timeout;
    "timings.interest_window" duration timings.interest_window;
    "timings.redial_min" duration timings.redial_min;
    "timings.redial_max" duration timings.redial_max;
    "compat.servers_2019" switch compat.servers_2019;
    "compat.trust_unstamped_servers" switch compat.trust_unstamped_servers;
    "rtc.ice_lite" switch rtc.ice_lite;
    "rtc.socket_buffer_bytes" count rtc.socket_buffer_bytes;
    "rtc.commands_max" count rtc.commands_max;
    "rtc.handshake_timeout" duration rtc.peer.handshake_timeout;
    "rtc.idle_timeout" duration rtc.peer.idle_timeout;
    "rtc.send_buffer_bytes" count rtc.peer.send_buffer_bytes;
    "outbox.reliable.policy" policy rtc.reliable.policy;
    "outbox.reliable.bytes_max" count rtc.reliable.bytes_max;
    "outbox.reliable.count_max" count rtc.reliable.count_max;
    "outbox.reliable.grace" duration rtc.reliable.grace;
    "outbox.unreliable.policy" policy rtc.unreliable.policy;
    "outbox.unreliable.bytes_max" count rtc.unreliable.bytes_max;
    "outbox.unreliable.count_max" count rtc.unreliable.count_max;
    "outbox.link_times" count rtc.link_outbox_times;
    "uplink.redial_min" duration uplink.redial_min;
    "uplink.redial_max" duration uplink.redial_max;
    "uplink.dial_timeout" duration uplink.dial_timeout;
    "uplink.write_timeout" duration uplink.write_timeout;
    "uplink.ping_interval" duration uplink.ping_interval;
    "uplink.idle_timeout" duration uplink.idle_timeout;
    "uplink.queue_max" count uplink.queue_max;
    "authentication.calls_max" count authentication.calls_max;
    "authentication.waiting_max" count authentication.waiting_max;
    "authentication.timeout" duration authentication.timeout;
};

fn policy(text: &str) -> Result<Policy, Wanted> {
    match text.trim() {
        "buffered" => Ok(Policy::Buffered),
        "fixed-queue" => Ok(Policy::FixedQueue),
        "discard" => Ok(Policy::Discard),
        _ => Err("buffered, fixed-queue or discard"),
    }
}

fn show_policy(policy: Policy) -> String {
    let name = match policy {
        Policy::Buffered => "buffered",
        Policy::FixedQueue => "fixed-queue",
        Policy::Discard => "discard",
    };
    show_text(&name)
}

fn file(text: &str) -> Result<Option<PathBuf>, Wanted> {
    if text.is_empty() {
        return Err("a path");
    }
    Ok(Some(text.into()))
}

fn show_file(file: &Option<PathBuf>) -> String {
    show_option(&file.as_ref().map(|path| path.display()))
}

fn listen_or_none(text: &str) -> Result<Option<SocketAddr>, Wanted> {
    if text.trim() == "none" {
        return Ok(None);
    }
    parse(text, "an address like 127.0.0.1:7001, or none").map(Some)
}

fn show_option(value: &Option<impl Display>) -> String {
    value.as_ref().map_or_else(|| show_text(&"none"), show_text)
}

fn show_list(values: &[impl Display]) -> String {
    let shown: Vec<String> = values.iter().map(show_text).collect();
    format!("[{}]", shown.join(", "))
}

const ADDRESS: Wanted = "an address like 0.0.0.0:7000";
