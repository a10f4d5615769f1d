//! The certificate of the public listener: read again when somebody asks for it, and when its files
//! have changed. Sessions that stand notice nothing.

use std::{sync::Arc, time::Duration};

use tls::Acceptor;
use tokio::{sync::Notify, time};

use crate::metrics::{Metrics, Reload};

/// Asks a running server to read its certificate again.
#[derive(Debug, Clone, Default)]
pub struct Reloader(Arc<Notify>);

impl Reloader {
    /// Now. Without TLS nothing comes of it.
    pub fn reload(&self) {
        self.0.notify_one();
    }
}

/// Reads again for ever. Files that cannot be used, as when only one of two is written yet, change
/// nothing; they are tried again.
pub(crate) async fn watch(
    acceptor: Arc<Acceptor>,
    reloader: Reloader,
    interval: Duration,
    metrics: Metrics,
) {
    let mut failed = false;
    loop {
        let asked = time::timeout(interval, reloader.0.notified()).await.is_ok();
        match acceptor.reload() {
            Ok(changed) => {
                failed = false;
                if changed {
                    metrics.tls_reloaded(Reload::Changed);
                    tracing::info!("a new certificate is in use");
                } else if asked {
                    tracing::info!("the certificate is the same as before");
                }
            }
            Err(error) => {
                metrics.tls_reloaded(Reload::Failed);
                // Once, until it is mended; not every few seconds.
                if asked || !std::mem::replace(&mut failed, true) {
                    tracing::error!(%error, "the certificate stays as it was");
                }
            }
        }
    }
}
