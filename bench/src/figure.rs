//! What is measured of a run, by name, and how people read it.

use serde::{Deserialize, Serialize};

/// One number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Deliveries for each second of the servers' CPU time.
    DeliveriesPerCpuS,
    /// Deliveries a second.
    DeliveriesPerS,
    /// Latency, microseconds: from the scheduled time, in a closed loop from the sending.
    P50Us,
    P99Us,
    P999Us,
    MaxUs,
    /// Datagrams that came to the clients, for each delivery.
    DatagramsPerDelivery,
    /// Resident memory of all servers for each client, bytes.
    ResidentPerClient,
    /// The same of those that carry packets alone.
    ResidentPerClientCarriers,
    /// CPU time of all servers for each client that connects and subscribes, microseconds.
    HandshakeCpuUs,
    /// The same of those that carry packets alone.
    HandshakeCpuUsCarriers,
    /// Share of one core that all servers use for clients that do nothing.
    IdleCpuShare,
    /// Datagrams a second of each client that does nothing: its keep-alives, and answers to them.
    KeepAlivesPerS,
    /// Clients connected for each second until the last one was.
    ConnectionsPerS,
    /// How long a client took to connect, milliseconds.
    ConnectP99Ms,
    ConnectMaxMs,
    /// Clients that connected.
    Connected,
    /// Memory after the last cycle of connecting and disconnecting, for what it was after the third.
    ResidentGrowth,
    /// Memory of a subscription to a topic of its own, bytes.
    BytesPerSubscription,
    /// Packets sent over links between servers.
    Relayed,
    /// Share of the servers' cores that was in use.
    ServerShare,
    /// Share of the load's cores that was in use.
    LoadShare,
    /// Deliveries that are missing, of those due.
    LostShare,
}

impl Figure {
    /// As a column's head.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::DeliveriesPerCpuS => "deliveries per CPU-second",
            Self::DeliveriesPerS => "deliveries/s",
            Self::P50Us => "p50",
            Self::P99Us => "p99",
            Self::P999Us => "p99.9",
            Self::MaxUs => "max",
            Self::DatagramsPerDelivery => "datagrams per delivery",
            Self::ServerShare => "server CPU",
            Self::LoadShare => "load CPU",
            Self::LostShare => "lost",
            Self::ResidentPerClient => "memory per client",
            Self::ResidentPerClientCarriers => "of that, without the coordinator",
            Self::HandshakeCpuUs => "CPU per connection",
            Self::HandshakeCpuUsCarriers => "of that, without the coordinator",
            Self::IdleCpuShare => "idle CPU",
            Self::KeepAlivesPerS => "datagrams/s of a client",
            Self::ConnectionsPerS => "connections/s",
            Self::ConnectP99Ms => "connected p99",
            Self::ConnectMaxMs => "connected max",
            Self::Connected => "connected",
            Self::ResidentGrowth => "memory after 10 cycles, after 3 = 1",
            Self::BytesPerSubscription => "memory per subscription",
            Self::Relayed => "packets over links",
        }
    }

    /// With its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::DeliveriesPerCpuS | Self::DeliveriesPerS => thousands(value),
            Self::P50Us | Self::P99Us | Self::P999Us | Self::MaxUs => {
                format!("{:.2} ms", value / 1_000.0)
            }
            Self::HandshakeCpuUs | Self::HandshakeCpuUsCarriers => {
                format!("{:.2} ms", value / 1_000.0)
            }
            Self::ConnectP99Ms | Self::ConnectMaxMs => format!("{value:.0} ms"),
            Self::DatagramsPerDelivery | Self::KeepAlivesPerS | Self::ResidentGrowth => {
                format!("{value:.2}")
            }
            Self::ServerShare | Self::LoadShare | Self::IdleCpuShare => {
                format!("{:.1} %", value * 100.0)
            }
            Self::LostShare => format!("{:.3} %", value * 100.0),
            Self::ResidentPerClient | Self::ResidentPerClientCarriers => {
                format!("{:.1} KiB", value / 1024.0)
            }
            Self::BytesPerSubscription => format!("{value:.0} B"),
            Self::ConnectionsPerS | Self::Connected | Self::Relayed => format!("{value:.0}"),
        }
    }
}

fn thousands(value: f64) -> String {
    match value {
        value if value >= 999_500.0 => format!("{:.2} M", value / 1e6),
        value if value >= 1_000.0 => format!("{:.1} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        for (figure, value, shown) in [
            (Figure::DeliveriesPerCpuS, 1_234_567.0, "1.23 M"),
            (Figure::DeliveriesPerCpuS, 147_000.0, "147.0 k"),
            (Figure::DeliveriesPerS, 12.0, "12"),
            (Figure::P99Us, 1_350.0, "1.35 ms"),
            (Figure::IdleCpuShare, 0.0312, "3.1 %"),
            (Figure::ResidentPerClient, 65_536.0, "64.0 KiB"),
        ] {
            assert_eq!(figure.show(value), shown);
        }
    }

    #[test]
    fn names_in_the_file_are_words() {
        let name = serde_json::to_string(&Figure::DeliveriesPerCpuS).expect("JSON");
        assert_eq!(name, "\"deliveries_per_cpu_s\"");
    }
}
