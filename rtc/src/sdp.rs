//! Session descriptions (RFC 8866) of exactly one data-channel section (RFC 8841): a template out,
//! a strict reader in.

use std::net::SocketAddr;

use crate::Fingerprint;

/// What a description says, as far as data channels go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) mid: String,
    pub(crate) ice_lite: bool,
    pub(crate) ice_ufrag: String,
    pub(crate) ice_password: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Setup,
    /// Bytes; `None` when there is no limit.
    pub(crate) message_bytes_max: Option<u32>,
    /// `candidate:…` each.
    pub(crate) candidates: Vec<String>,
}

/// Who sends the ClientHello (RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    ActPass,
    Active,
    Passive,
}

impl Setup {
    fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl Description {
    pub(crate) fn write(&self, session_id: u64) -> String {
        let lite = if self.ice_lite { "a=ice-lite\r\n" } else { "" };
        // RFC 8829 wants the session id below 2^63.
        let session_id = session_id >> 1;
        let mid = &self.mid;
        let mut sdp = format!(
            "v=0\r\no=- {session_id} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{lite}\
             a=group:BUNDLE {mid}\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
             a=mid:{mid}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {}\r\na=setup:{}\r\na=sctp-port:{SCTP_PORT}\r\n\
             a=max-message-size:{}\r\n",
            self.ice_ufrag,
            self.ice_password,
            self.fingerprint,
            self.setup.as_str(),
            self.message_bytes_max.unwrap_or(0),
        );
        for candidate in &self.candidates {
            sdp.push_str("a=");
            sdp.push_str(candidate);
            sdp.push_str("\r\n");
        }
        sdp.push_str("a=end-of-candidates\r\n");
        sdp
    }

    /// Reads a description of one data-channel section.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub(crate) fn parse(sdp: &str) -> Result<Self, &'static str> {
        if sdp.len() > SDP_BYTES_MAX {
            return Err("too long");
        }
        let mut reader = Reader::default();
        for line in sdp.lines() {
            reader.line(line.trim_end())?;
        }
        reader.finish()
    }
}

/// Attributes gathered so far; those of the section override those of the session.
#[derive(Debug, Default)]
struct Reader {
    in_section: bool,
    mid: Option<String>,
    ice_lite: bool,
    ice_ufrag: Option<String>,
    ice_password: Option<String>,
    fingerprint: Option<Fingerprint>,
    setup: Option<Setup>,
    sctp_port: Option<u16>,
    message_bytes_max: Option<u32>,
    candidates: Vec<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(section) = line.strip_prefix("m=") {
            return self.section(section);
        }
        let Some(attribute) = line.strip_prefix("a=") else {
            return Ok(());
        };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "mid" => self.mid = Some(token(value).ok_or("bad mid")?),
            "ice-lite" => self.ice_lite = true,
            "ice-ufrag" => {
                self.ice_ufrag = Some(ice_text(value, 4).ok_or("bad ice-ufrag")?);
            }
            "ice-pwd" => self.ice_password = Some(ice_text(value, 22).ok_or("bad ice-pwd")?),
            "fingerprint" => self.fingerprint = sha_256(value).or(self.fingerprint),
            "setup" => {
                self.setup = Some(match value {
                    "actpass" => Setup::ActPass,
                    "active" => Setup::Active,
                    "passive" => Setup::Passive,
                    _ => return Err("bad setup"),
                });
            }
            "sctp-port" => {
                self.sctp_port = Some(value.parse().map_err(|_| "bad sctp-port")?);
            }
            // Before RFC 8841: sctpmap:5000 webrtc-datachannel 1024.
            "sctpmap" => {
                let port = value.split(' ').next().unwrap_or_default();
                self.sctp_port = Some(port.parse().map_err(|_| "bad sctpmap")?);
            }
            "max-message-size" => {
                // Larger than we can count is as good as the largest that we can.
                self.message_bytes_max = Some(value.parse().unwrap_or(u32::MAX));
            }
            "candidate" if self.candidates.len() < CANDIDATES_MAX => {
                self.candidates.push(attribute.to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn section(&mut self, section: &str) -> Result<(), &'static str> {
        if self.in_section {
            return Err("more than one section");
        }
        self.in_section = true;
        let mut words = section.split(' ');
        let (kind, port, protocol) = (words.next(), words.next(), words.next());
        if kind != Some("application") || !protocol.is_some_and(|p| p.ends_with("DTLS/SCTP")) {
            return Err("no data-channel section");
        }
        if port == Some("0") {
            return Err("data channels refused");
        }
        Ok(())
    }

    fn finish(self) -> Result<Description, &'static str> {
        if !self.in_section {
            return Err("no section");
        }
        if self.sctp_port.is_some_and(|port| port != SCTP_PORT) {
            return Err("sctp-port is not 5000");
        }
        Ok(Description {
            mid: self.mid.unwrap_or_else(|| "0".to_owned()),
            ice_lite: self.ice_lite,
            ice_ufrag: self.ice_ufrag.ok_or("no ice-ufrag")?,
            ice_password: self.ice_password.ok_or("no ice-pwd")?,
            fingerprint: self.fingerprint.ok_or("no sha-256 fingerprint")?,
            setup: self.setup.unwrap_or(Setup::ActPass),
            message_bytes_max: match self.message_bytes_max {
                None => Some(MESSAGE_BYTES_MAX_DEFAULT),
                Some(0) => None,
                Some(bytes) => Some(bytes),
            },
            candidates: self.candidates,
        })
    }
}

/// A host candidate of ours (RFC 8839).
pub(crate) fn host_candidate(addr: SocketAddr, index: usize) -> String {
    // Type preference of hosts, then the order given, then component 1 (RFC 8445 section 5.1.2).
    let local_preference = 65_535_usize.saturating_sub(index);
    let priority = (126_usize << 24) + (local_preference << 8) + 255;
    format!(
        "candidate:{} 1 udp {priority} {} {} typ host",
        index + 1,
        addr.ip(),
        addr.port()
    )
}

fn token(text: &str) -> Option<String> {
    let good = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| text.to_owned())
}

fn ice_text(text: &str, bytes_min: usize) -> Option<String> {
    let is_ice_char = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    // RFC 8839 section 5.4: at most 256. Some engines put '-' and '_' there.
    let good = (bytes_min..=256).contains(&text.len())
        && text
            .bytes()
            .all(|b| is_ice_char(b) || b == b'-' || b == b'_');
    good.then(|| text.to_owned())
}

fn sha_256(value: &str) -> Option<Fingerprint> {
    let (hash, fingerprint) = value.split_once(' ')?;
    if !hash.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    Fingerprint::parse(fingerprint.trim())
}

/// The SCTP port of WebRTC, a fiction inside DTLS.
const SCTP_PORT: u16 = 5000;
/// RFC 8841 section 6.1, when the attribute is absent.
const MESSAGE_BYTES_MAX_DEFAULT: u32 = 64 * 1024;
/// A browser's description of one data-channel section is below 2 KiB.
const SDP_BYTES_MAX: usize = 16 * 1024;
/// Candidates read from one description.
const CANDIDATES_MAX: usize = 32;

#[cfg(test)]
mod tests;
