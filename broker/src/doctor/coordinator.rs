//! The way to the coordinator and its WELCOME, one step after the other.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use client::{Config, Reason};
use futures_util::StreamExt as _;
use hyper::StatusCode;
use proto::{
    ErrorMessage, Message as _, MessageType, ServerState, ServersMessage, WelcomeMessage, peek,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use url::Host;

use super::{STEP_TIMEOUT, clock, http, report::Report, upgrade::upgrade};

/// What the coordinator is to its clients.
#[derive(Debug)]
pub(super) struct Coordinator {
    /// Where it was reached.
    pub(super) ip: IpAddr,
    /// The servers that it offers, the assigned one first.
    pub(super) servers: Vec<u64>,
}

/// Goes all the way; `None` when it ends before.
pub(super) async fn examine(report: &mut Report, config: &Config) -> Option<Coordinator> {
    let site = Site::of(config);
    let addrs = resolve(report, &site).await?;
    let addr = connect(report, &addrs).await?;
    tls(report, &site, addr).await?;
    let health = health(report, &site, addr).await;
    let mut socket = upgrade(report, config, &site, addr, &health).await?;
    let welcome = welcome(report, config, &mut socket).await?;
    let servers = servers(report, &site, addr, &mut socket, welcome).await;
    // Polite, but the other side may be gone already.
    let _closed = timeout(STEP_TIMEOUT, socket.close(None)).await;
    Some(Coordinator {
        ip: addr.ip(),
        servers: servers?,
    })
}

pub(super) type Socket = WebSocketStream<tls::Stream>;

/// The parts of the coordinator's URL.
#[derive(Debug)]
pub(super) struct Site {
    host: Host<String>,
    port: u16,
    /// As HTTP names it.
    pub(super) authority: String,
    /// Whether it is to speak TLS, and whom to trust then.
    secure: bool,
    tls: tls::Connector,
    /// Before `/connect`, without a slash at its end.
    pub(super) base: String,
}

impl Site {
    fn of(config: &Config) -> Self {
        let url = &config.coordinator;
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix("/connect").unwrap_or(path).to_owned();
        let host = url
            .host()
            .map_or_else(|| Host::Domain(String::new()), |host| host.to_owned());
        let port = url.port_or_known_default().unwrap_or(80);
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Self {
            host,
            port,
            authority,
            secure: url.scheme() == "wss",
            tls: config.tls.clone(),
            base,
        }
    }

    /// A connection to it, at `addr`.
    pub(super) async fn open(&self, addr: SocketAddr) -> io::Result<tls::Stream> {
        let stream = TcpStream::connect(addr).await?;
        let host = self.host.to_string();
        self.tls.secure(&host, stream, self.secure).await
    }
}

async fn resolve(report: &mut Report, site: &Site) -> Option<Vec<SocketAddr>> {
    const STEP: &str = "dns";
    let name = match &site.host {
        Host::Domain(name) => name,
        Host::Ipv4(ip) => return Some(vec![(*ip, site.port).into()]),
        Host::Ipv6(ip) => return Some(vec![(*ip, site.port).into()]),
    };
    let looked_up = timeout(STEP_TIMEOUT, lookup_host((name.as_str(), site.port))).await;
    let addrs: Vec<SocketAddr> = match looked_up {
        Ok(Ok(addrs)) => addrs.collect(),
        Ok(Err(error)) => {
            report.bad(
                STEP,
                format!("{name}: {error}"),
                "check the name in the URL, and this machine's DNS",
            );
            return None;
        }
        Err(_) => {
            let what = format!("{name}: no answer within {STEP_TIMEOUT:?}");
            report.bad(STEP, what, "check this machine's DNS");
            return None;
        }
    };
    let shown: Vec<String> = addrs.iter().map(|addr| addr.ip().to_string()).collect();
    report.ok(STEP, format!("{name} is {}", shown.join(", ")));
    Some(addrs)
}

async fn connect(report: &mut Report, addrs: &[SocketAddr]) -> Option<SocketAddr> {
    const STEP: &str = "tcp";
    let mut failures = Vec::new();
    for addr in addrs {
        let begun = Instant::now();
        match timeout(STEP_TIMEOUT, TcpStream::connect(addr)).await {
            Ok(Ok(_)) => {
                let took = Ms(begun.elapsed());
                if let [first, ..] = &*failures {
                    let what = format!("{addr} answers after {took}, but {first}");
                    report.note(STEP, what, "clients that try that one first lose time");
                } else {
                    report.ok(STEP, format!("{addr} answers after {took}"));
                }
                return Some(*addr);
            }
            Ok(Err(error)) => failures.push(format!("{addr}: {}", refusal(&error))),
            Err(_) => failures.push(format!("{addr}: no answer within {STEP_TIMEOUT:?}")),
        }
    }
    report.bad(
        STEP,
        failures.join("; "),
        "is the coordinator running, and on this port? By default it listens on 127.0.0.1 only \
         (--listen 0.0.0.0:9090 for others). No answer at all: a firewall",
    );
    None
}

pub(super) fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether it is who it should be, where that can be told.
async fn tls(report: &mut Report, site: &Site, addr: SocketAddr) -> Option<()> {
    const STEP: &str = "tls";
    if !site.secure {
        return Some(());
    }
    let error = match timeout(STEP_TIMEOUT, site.open(addr)).await {
        Ok(Ok(_)) => {
            report.ok(STEP, format!("its certificate is good for {}", site.host));
            return Some(());
        }
        Ok(Err(error)) => error,
        Err(_) => io::Error::from(io::ErrorKind::TimedOut),
    };
    match tls::trouble(&error) {
        Some(trouble) => report.bad(STEP, trouble.to_string(), trouble.advice()),
        None => report.bad(
            STEP,
            format!("no agreement: {error}"),
            "either it speaks no TLS (use ws://), or the file with the authority cannot be used",
        ),
    }
    None
}

/// Whether it looks like a coordinator. Its pages may be kept from us, so nothing is decided here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Its answer is a coordinator's.
    Coordinator,
    /// Something else answers, or nothing that can be told.
    Other(String),
}

async fn health(report: &mut Report, site: &Site, addr: SocketAddr) -> Health {
    const STEP: &str = "http";
    let path = format!("{}/healthz", site.base);
    let before = SystemTime::now();
    let answer = match http::get(site, addr, &path).await {
        Ok(answer) => answer,
        Err(error) => {
            let what = format!("no HTTP answer to GET {path}: {error:#}");
            report.note(STEP, what.clone(), "the next steps show whether it matters");
            return Health::Other(what);
        }
    };
    let (status, body) = (answer.status, &answer.body);
    let health = if status == StatusCode::OK && body == "ok" {
        report.ok(STEP, "it answers as a coordinator does");
        Health::Coordinator
    } else {
        let what = format!("GET {path} is answered with {status}");
        let advice = "a coordinator says \"ok\": either this is none, or a proxy keeps that page";
        report.note(STEP, what.clone(), advice);
        Health::Other(what)
    };
    if let Some(date) = answer.date() {
        // Dates are whole seconds: the middle of it is the best guess.
        let theirs = date + Duration::from_millis(500);
        let ours = before + before.elapsed().unwrap_or_default() / 2;
        clock::compare(report, "the coordinator's", theirs, ours);
    }
    health
}

/// WELCOME, or why there is none.
async fn welcome(
    report: &mut Report,
    config: &Config,
    socket: &mut Socket,
) -> Option<WelcomeMessage> {
    const STEP: &str = "token";
    let shown = !matches!(config.credentials, client::Credentials::None);
    match next(socket, MessageType::Welcome).await {
        Next::Signal(bytes) => match WelcomeMessage::decode(&*bytes) {
            Ok(welcome) => {
                report.ok(
                    STEP,
                    match shown {
                        true => "accepted",
                        false => "none given, and none asked for",
                    },
                );
                Some(welcome)
            }
            Err(error) => {
                report.bad(
                    "welcome",
                    format!("it cannot be read: {error}"),
                    NO_COORDINATOR,
                );
                None
            }
        },
        Next::Refused(reason) => {
            let (step, advice) = explain_refusal(reason, shown);
            report.bad(step, format!("refused: {reason}"), advice);
            None
        }
        Next::Ended(why) => {
            report.bad("welcome", why, NO_COORDINATOR);
            None
        }
    }
}

fn explain_refusal(reason: Reason, shown: bool) -> (&'static str, &'static str) {
    match reason {
        Reason::Unauthenticated if shown => (
            "token",
            "the coordinator does not know this token: it was made for another cluster or secret, \
             or has run out",
        ),
        Reason::Unauthenticated => ("token", "give it with BROKER_TOKEN or --token"),
        Reason::Forbidden => ("token", "the token is good, but not for this"),
        Reason::AuthUnavailable => (
            "token",
            "the coordinator could not check it in time: look at its log",
        ),
        Reason::Overloaded => (
            "welcome",
            "raise limits.clients_max of the coordinator, or find out who holds all those sessions",
        ),
        Reason::ShuttingDown => ("welcome", "the coordinator is going: wait for the next one"),
        _ => ("welcome", "look at the coordinator's log"),
    }
}

/// The servers that are offered; `None` when there are none.
async fn servers(
    report: &mut Report,
    site: &Site,
    addr: SocketAddr,
    socket: &mut Socket,
    welcome: WelcomeMessage,
) -> Option<Vec<u64>> {
    const STEP: &str = "welcome";
    let alias = welcome.alias;
    let mut offered = welcome.available_servers;
    if offered.is_empty() && !welcome.capabilities.is_empty() {
        // One may appear while we look.
        let waited = timeout(SERVERS_TIMEOUT, next(socket, MessageType::Servers)).await;
        if let Ok(Next::Signal(bytes)) = waited
            && let Ok(servers) = ServersMessage::decode(&*bytes)
        {
            let live = i32::from(ServerState::Live);
            let live = servers.entries.iter().filter(|entry| entry.state == live);
            offered = live.map(|entry| entry.alias).collect();
        }
    }
    if !offered.is_empty() {
        let shown: Vec<String> = offered.iter().map(u64::to_string).collect();
        let what = format!("as {alias}; servers {}", shown.join(", "));
        report.ok(STEP, what);
        return Some(offered);
    }
    let path = format!("{}/readyz", site.base);
    let ready = http::get(site, addr, &path).await;
    let (what, advice) = match ready {
        Ok(ready) if ready.status == StatusCode::OK => (
            "it offers no server, though some are there",
            "all of them are full, draining or stale: look at the servers' broker_clients, and at \
             their uplinks (broker_uplink_connected)",
        ),
        Ok(ready) if ready.body.contains("shutting down") => (
            "it offers no server, because it is shutting down",
            "wait for the next one",
        ),
        _ => (
            "it offers no server",
            "start a commserver; if one runs, its log says why it does not reach this coordinator \
             (address, cluster secret, clock)",
        ),
    };
    report.bad(STEP, format!("as {alias}; {what}"), advice);
    None
}

/// What the coordinator says next.
enum Next {
    Signal(bytes::Bytes),
    Refused(Reason),
    Ended(String),
}

async fn next(socket: &mut Socket, wanted: MessageType) -> Next {
    let heard = timeout(STEP_TIMEOUT, hear(socket, wanted)).await;
    heard.unwrap_or_else(|_| {
        let wanted = wanted.as_str_name();
        Next::Ended(format!("no {wanted} within {STEP_TIMEOUT:?}"))
    })
}

async fn hear(socket: &mut Socket, wanted: MessageType) -> Next {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => match peek::message_type(&bytes) {
                Some(kind) if kind == wanted => return Next::Signal(bytes),
                Some(MessageType::Error) => {
                    let error = ErrorMessage::decode(&*bytes).unwrap_or_default();
                    if let Some(reason) = Reason::from_number(error.code) {
                        return Next::Refused(reason);
                    }
                }
                _ => {}
            },
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| u16::from(frame.code));
                return match code.and_then(Reason::from_close_code) {
                    Some(reason) => Next::Refused(reason),
                    None => Next::Ended(format!("it closed, with code {code:?}")),
                };
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Next::Ended(format!("it broke off: {error}")),
            None => return Next::Ended("it broke off".into()),
        }
    }
}

/// Milliseconds, to the tenth.
pub(super) struct Ms(pub(super) Duration);

impl std::fmt::Display for Ms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0)
    }
}

const NO_COORDINATOR: &str = "what answers there is no coordinator, or of another version";

/// A server that is about to join has done so by then.
const SERVERS_TIMEOUT: Duration = Duration::from_secs(2);
