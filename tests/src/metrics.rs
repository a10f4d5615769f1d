//! What a server counts, as its metrics page says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PATIENCE;

/// One scrape.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Reads `/metrics` at an admin listener.
    ///
    /// # Errors
    /// When there is no such page.
    pub async fn scrape(admin_addr: SocketAddr) -> Result<Self> {
        timeout(PATIENCE, read(admin_addr))
            .await
            .context("no metrics in time")?
            .map(Self)
    }

    /// The value of a metric, named with its labels as on the page; 0 when it is not there.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        let values = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let mut values = values.filter_map(|rest| rest.strip_prefix(' ')?.parse().ok());
        values.next().unwrap_or_default()
    }

    /// All values whose families begin with one of these, by their names with labels.
    #[must_use]
    pub fn beginning_with(&self, families: &[&str]) -> BTreeMap<String, u64> {
        let wanted = |line: &&str| families.iter().any(|family| line.starts_with(family));
        let values = self.0.lines().filter(wanted);
        let values = values.filter_map(|line| line.rsplit_once(' '));
        values
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// What the transport dropped for a reason.
    #[must_use]
    pub fn transport_drops(&self, reason: &str) -> u64 {
        self.value(&format!(
            "broker_transport_drops_total{{reason=\"{reason}\"}}"
        ))
    }

    /// What the broker dropped for a reason.
    #[must_use]
    pub fn drops(&self, reason: &str) -> u64 {
        self.value(&format!("broker_drops_total{{reason=\"{reason}\"}}"))
    }
}

async fn read(addr: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    ensure!(page.starts_with("HTTP/1.1 200"), "{page}");
    Ok(page)
}
