//! What one address may have at once: requests, sessions, and new connections a second. It counts
//! by site: an IPv4 address, or the /64 of an IPv6 address.
//!
//! Behind a proxy all connections come from the proxy, so the address is read from a header there,
//! and only there: anybody can write one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, header};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelValue;
use settings::network::{Network, site};

/// How much one address may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections a second, in the long run; 0 for any number.
    pub connections_per_s: u32,
    /// Connections at once, after a pause.
    pub connections_burst: u32,
    /// Requests that are being read or answered, upgrades included until they are sessions; 0 for any
    /// number.
    pub requests_max: usize,
    /// Sessions of clients; 0 for any number.
    pub sessions_max: usize,
    /// Addresses that none of this counts for.
    pub exempt: Vec<Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_s: 200,
            connections_burst: 4096,
            requests_max: 256,
            // As many as one commserver takes: an office, a school, a provider's NAT.
            sessions_max: 4096,
            exempt: Network::LOOPBACK.into(),
        }
    }
}

/// Who may say for whom it asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Where proxies are.
    pub addresses: Vec<Network>,
    /// Where they write the address of who asked them.
    pub header: ProxyHeader,
}

/// The header of a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Proxies {
    /// Whether a connection is a proxy's.
    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        Network::any_contains(&self.addresses, ip)
    }

    /// Whose request a connection from `ip` carries: of those that the proxies have noted, the last
    /// that is no proxy itself. What stands before it, anybody may have written.
    pub(crate) fn client(&self, ip: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contain(ip) {
            return ip;
        }
        let noted = headers.get_all(self.header.name()).iter();
        let noted: Vec<&str> = noted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut last = ip;
        for entry in noted.iter().rev() {
            match self.header.address(entry) {
                Some(client) if self.contain(client) => last = client,
                Some(client) => return client,
                // Whoever the proxy before hides, it is behind that one.
                None => return last,
            }
        }
        last
    }
}

impl ProxyHeader {
    /// Each by its name.
    pub(crate) const ALL: [(&'static str, Self); 2] = [
        ("x-forwarded-for", Self::XForwardedFor),
        ("forwarded", Self::Forwarded),
    ];

    const fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => header::FORWARDED,
        }
    }

    fn address(self, entry: &str) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => address(entry),
            Self::Forwarded => entry.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                let is_for = name.trim().eq_ignore_ascii_case("for");
                is_for.then(|| address(value.trim().trim_matches('"')))?
            }),
        }
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let ip: Option<IpAddr> = match bracketed {
        Some((inside, _)) => inside.parse().ok(),
        None => text.parse().ok().or_else(|| {
            let (ip, _) = text.split_once(':')?;
            ip.parse().ok()
        }),
    };
    ip.map(|ip| ip.to_canonical())
}

/// What every address has now.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    // A keyed hash: remotes choose the keys.
    sites: HashMap<IpAddr, Site>,
    swept_at: Option<Instant>,
}

#[derive(Debug)]
struct Site {
    requests: usize,
    sessions: usize,
    /// When all connections so far are paid for.
    paid_at: Instant,
}

/// What an address has as much of as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum TooMany {
    /// New connections.
    Connections,
    /// Requests at once.
    Requests,
    /// Sessions of clients.
    Sessions,
}

/// Something that an address has. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    addresses: Arc<Addresses>,
    site: Option<IpAddr>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Request,
    Session,
}

impl Addresses {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
        })
    }

    /// How many addresses it knows.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().sites.len()
    }

    /// A new connection, or a request by way of a proxy.
    pub(crate) fn request(self: &Arc<Self>, now: Instant, ip: IpAddr) -> Result<Held, TooMany> {
        let (rate, burst) = (self.limits.connections_per_s, self.limits.connections_burst);
        let requests_max = self.limits.requests_max;
        let took = self.with_site(now, ip, |site| {
            if requests_max > 0 && site.requests >= requests_max {
                return Err(TooMany::Requests);
            }
            if rate > 0 {
                let interval = Duration::from_secs(1) / rate;
                let ahead = site.paid_at.saturating_duration_since(now);
                if ahead > interval * (burst.max(1) - 1) {
                    return Err(TooMany::Connections);
                }
                site.paid_at = site.paid_at.max(now) + interval;
            }
            site.requests += 1;
            Ok(())
        });
        took.transpose()
            .map(|site| self.held(site.map(|()| ip), What::Request))
    }

    /// Whether an address has as many sessions as it may.
    pub(crate) fn is_full(&self, now: Instant, ip: IpAddr) -> bool {
        let max = self.limits.sessions_max;
        let full = self.with_site(now, ip, |site| max > 0 && site.sessions >= max);
        full.unwrap_or(false)
    }

    /// A session. One that takes the place of another may come on top for the moment.
    pub(crate) fn session(
        self: &Arc<Self>,
        now: Instant,
        ip: IpAddr,
        replaces: bool,
    ) -> Option<Held> {
        let max = self.limits.sessions_max;
        let took = self.with_site(now, ip, |site| {
            let room = max == 0 || replaces || site.sessions < max;
            if room {
                site.sessions += 1;
            }
            room
        });
        match took {
            Some(false) => None,
            Some(true) => Some(self.held(Some(ip), What::Session)),
            None => Some(self.held(None, What::Session)),
        }
    }

    fn held(self: &Arc<Self>, ip: Option<IpAddr>, what: What) -> Held {
        Held {
            addresses: Arc::clone(self),
            site: ip.map(site),
            what,
        }
    }

    /// `None` for an address that nothing counts for: an exempt one, or one too many to be known.
    fn with_site<T>(
        &self,
        now: Instant,
        ip: IpAddr,
        ask: impl FnOnce(&mut Site) -> T,
    ) -> Option<T> {
        if Network::any_contains(&self.limits.exempt, ip) {
            return None;
        }
        let mut table = self.table.lock();
        let ip = site(ip);
        if !table.sites.contains_key(&ip) && table.sites.len() >= SITES_MAX {
            table.sweep(now);
            if table.sites.len() >= SITES_MAX {
                return None;
            }
        }
        let site = table.sites.entry(ip).or_insert(Site {
            requests: 0,
            sessions: 0,
            paid_at: now,
        });
        Some(ask(site))
    }

    fn give_back(&self, ip: IpAddr, what: What) {
        let mut table = self.table.lock();
        let Some(site) = table.sites.get_mut(&ip) else {
            debug_assert!(false, "whoever holds something is known");
            return;
        };
        let count = match what {
            What::Request => &mut site.requests,
            What::Session => &mut site.sessions,
        };
        *count = count.saturating_sub(1);
        if site.is_idle(Instant::now()) {
            table.sites.remove(&ip);
        }
    }
}

impl Table {
    /// Forgets who has nothing and has paid for everything; not more than once a second, for it
    /// looks at all.
    fn sweep(&mut self, now: Instant) {
        let since = self.swept_at.map(|at| now.saturating_duration_since(at));
        if since.is_none_or(|since| since >= Duration::from_secs(1)) {
            self.swept_at = Some(now);
            self.sites.retain(|_, site| !site.is_idle(now));
        }
    }
}

impl Site {
    fn is_idle(&self, now: Instant) -> bool {
        self.requests == 0 && self.sessions == 0 && self.paid_at <= now
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(site) = self.site {
            self.addresses.give_back(site, self.what);
        }
    }
}

/// Addresses that are known at once. Those beyond are let in and not counted: whoever has so many
/// is not stopped by a limit for each, and the others are not to be either.
const SITES_MAX: usize = 65_536;

/// What they take.
pub(crate) const TABLE_BYTES: usize = SITES_MAX * 128;

#[cfg(test)]
mod tests;
