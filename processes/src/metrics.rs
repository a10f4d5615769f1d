//! What a commserver counts, as its `/metrics` tells: OpenMetrics text over HTTP.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::usage::float;

/// Samples by family, all labels together; and by series, as it is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// From these servers (`host:port`), added up.
    pub async fn scrape(servers: &[String]) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for server in servers {
            let text = timeout(SCRAPE_TIMEOUT, fetch(server)).await;
            let text = text.context("no answer")?;
            sum.add(&text.with_context(|| format!("metrics of {server}"))?);
        }
        Ok(sum)
    }

    /// How much a counter, or a gauge, has grown since.
    pub fn growth(&self, since: &Self, name: &str) -> Option<f64> {
        Some(self.value(name)? - since.value(name).unwrap_or(0.0))
    }

    /// One of them, now.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            *self.0.entry(series.to_owned()).or_default() += value;
            if let Some((name, _)) = series.split_once('{') {
                *self.0.entry(name.to_owned()).or_default() += value;
            }
        }
    }
}

async fn fetch(server: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    let limit = RESPONSE_BYTES_MAX;
    stream.take(limit).read_to_end(&mut response).await?;
    ensure!(
        float(limit) > crate::usage::float_of_usize(response.len()),
        "too much"
    );
    let response = String::from_utf8(response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("no HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(body.to_owned())
}

const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

const RESPONSE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP broker_delivered Frames\n\
        # TYPE broker_delivered counter\n\
        broker_delivered_total{lane=\"reliable\"} 40\n\
        broker_delivered_total{lane=\"unreliable\"} 2\n\
        broker_clients 7\n\
        # EOF\n";

    #[test]
    fn labels_and_servers_are_added_up() {
        let mut metrics = Metrics::default();
        metrics.add(TEXT);
        assert_eq!(metrics.value("broker_delivered_total"), Some(42.0));
        metrics.add(TEXT);
        assert_eq!(metrics.value("broker_clients"), Some(14.0));
        let unreliable = "broker_delivered_total{lane=\"unreliable\"}";
        assert_eq!(metrics.value(unreliable), Some(4.0));
        assert_eq!(metrics.value("broker_links"), None);
    }

    #[test]
    fn growth_is_since_then() {
        let (mut before, mut after) = (Metrics::default(), Metrics::default());
        before.add(TEXT);
        after.add(TEXT);
        after.add("broker_delivered_total{lane=\"reliable\"} 8\nbroker_new_total 1\n");
        assert_eq!(after.growth(&before, "broker_delivered_total"), Some(8.0));
        assert_eq!(after.growth(&before, "broker_new_total"), Some(1.0));
        assert_eq!(after.growth(&before, "nonsense"), None);
    }
}
