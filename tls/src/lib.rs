//! TLS for the signalling: what a coordinator listens with, and what commservers and clients dial
//! with. Certificates, keys and authorities come from PEM files. Packets are none of its business:
//! they have DTLS.

mod client;
mod files;
#[cfg(feature = "pki")]
pub mod pki;
mod server;
mod trouble;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// A connection that was accepted.
pub use tokio_rustls::server::TlsStream;

pub use client::{Connector, Stream, Trust};
pub use files::{Error, Pair};
pub use server::{Accepted, Acceptor, Files};
pub use trouble::{Trouble, trouble};

/// The one of the rest of the tree; a process may have others, so none is taken for granted.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
