//! DTLS around `dimpl`: one record per datagram, and a certificate that must be the one described.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Dtls, Output};

use crate::certificate::{Certificate, CertificateError, Fingerprint};

/// What a session does.
#[derive(Debug)]
pub(crate) enum Event {
    /// To be sent along the selected path.
    Transmit(Vec<u8>),
    /// Decrypted.
    Received(Bytes),
    /// The handshake is done and the other side's certificate is the one described.
    Connected,
    /// The certificate is another one.
    FingerprintMismatch,
    /// The other side closed.
    Closed,
    /// The session is broken for good.
    Failed,
}

pub(crate) struct Session {
    dtls: Dtls,
    expected: Fingerprint,
    verified: bool,
    connected: bool,
    failed: bool,
    ended: bool,
    deadline: Option<Instant>,
}

impl Session {
    pub(crate) fn new(
        now: Instant,
        certificate: &Certificate,
        active: bool,
        expected: Fingerprint,
    ) -> Self {
        let mut dtls = Dtls::new_12(certificate.dtls_config(), certificate.dtls(), now);
        dtls.set_active(active);
        Self {
            dtls,
            expected,
            verified: false,
            connected: false,
            failed: false,
            ended: false,
            deadline: Some(now),
        }
    }

    /// The other side's fingerprint, proven.
    pub(crate) fn verified(&self) -> Option<Fingerprint> {
        (self.verified && self.connected).then_some(self.expected)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.failed |= self.dtls.handle_timeout(now).is_err();
    }

    pub(crate) fn handle(&mut self, now: Instant, datagram: &[u8]) {
        self.failed |=
            self.dtls.handle_timeout(now).is_err() || self.dtls.handle_packet(datagram).is_err();
    }

    /// Seals one SCTP packet; the datagram comes out of the next [`Session::poll`].
    pub(crate) fn send(&mut self, packet: &[u8]) {
        self.failed |= self.dtls.send_application_data(packet).is_err();
    }

    /// Queues a close_notify.
    pub(crate) fn close(&mut self) {
        self.failed |= self.dtls.close().is_err();
    }

    pub(crate) fn poll(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        if self.failed {
            self.ended = true;
            self.deadline = None;
            return Some(Event::Failed);
        }
        let mut small = [0; DATAGRAM_BYTES];
        self.poll_into(&mut small).unwrap_or_else(|BufferTooSmall| {
            // Only a record larger than our own datagrams ever are comes here.
            let mut large = vec![0; RECORD_BYTES_MAX];
            self.poll_into(&mut large).unwrap_or(Some(Event::Failed))
        })
    }

    fn poll_into(&mut self, buffer: &mut [u8]) -> Result<Option<Event>, BufferTooSmall> {
        loop {
            let event = match self.dtls.poll_output(buffer) {
                Output::Packet(bytes) => Event::Transmit(bytes.to_vec()),
                Output::ApplicationData(bytes) if self.verified => {
                    Event::Received(Bytes::copy_from_slice(bytes))
                }
                Output::PeerCert(der) => {
                    if Fingerprint::of(der) == self.expected {
                        self.verified = true;
                        continue;
                    }
                    self.ended = true;
                    Event::FingerprintMismatch
                }
                Output::Connected if self.verified => {
                    self.connected = true;
                    Event::Connected
                }
                Output::CloseNotify => Event::Closed,
                Output::BufferTooSmall { .. } => return Err(BufferTooSmall),
                Output::Timeout(deadline) => {
                    self.deadline = Some(deadline);
                    return Ok(None);
                }
                // Nothing may pass before the certificate did; keying material is for media.
                _ => continue,
            };
            return Ok(Some(event));
        }
    }
}

struct BufferTooSmall;

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("dtls", &self.dtls)
            .field("connected", &self.connected)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// The process's DTLS parameters.
pub(crate) fn config() -> Result<Arc<dimpl::Config>, CertificateError> {
    dimpl::Config::builder()
        .mtu(HANDSHAKE_DATAGRAM_BYTES)
        // An address has proven itself by ICE before DTLS starts: no cookie round trip.
        .use_server_cookie(false)
        .flight_start_rto(FLIGHT_TIMEOUT)
        .flight_retries(FLIGHT_RETRIES)
        .dtls12_cipher_suites(&[Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256])
        .build()
        .map(Arc::new)
        .map_err(|_| CertificateError::Generation)
}

/// Room for every datagram that we make or that comes over a usual path.
const DATAGRAM_BYTES: usize = 1536;
/// Largest plaintext of a record is 2^14 bytes (RFC 6347); room for a datagram of one.
const RECORD_BYTES_MAX: usize = 16 * 1024 + 512;
const HANDSHAKE_DATAGRAM_BYTES: usize = 1200;
/// First retransmission of a flight; doubles. Browsers start at 50 ms to 1 s.
const FLIGHT_TIMEOUT: Duration = Duration::from_millis(250);
/// More than a handshake lives: the peer's own deadline ends it.
const FLIGHT_RETRIES: usize = 8;
