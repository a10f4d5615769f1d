//! `broker doctor`: each thing that can be wrong, made wrong.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use auth::SharedSecret;
use client::Impair;
use serde_json::Value;
use tests::cluster::{Cluster, Setup};
use tests::pki::{Authority, Folder, Validity};

use crate::{
    program::Program,
    proxy::{self, Proxy, as_it_is, without},
};

const SECRET: &str = "a long enough secret";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the doctor says, and its status.
struct Diagnosis {
    code: Option<i32>,
    report: Value,
}

async fn diagnose(url: &str, more: &[&str]) -> Result<Diagnosis> {
    let mut args = vec!["doctor", "--json", "--coordinator", url];
    args.extend(more);
    let ended = Program::run(&args).await?;
    let report = serde_json::from_str(&ended.output).with_context(|| format!("{ended:?}"))?;
    let code = ended.code;
    Ok(Diagnosis { code, report })
}

impl Diagnosis {
    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.report["findings"].as_array().into_iter().flatten()
    }

    /// Everything is as it should be, but for notes.
    fn is_well(&self) -> Result<()> {
        let bad = self.findings().any(|finding| finding["verdict"] == "bad");
        ensure!(!bad && self.report["healthy"] == true, "{:#}", self.report);
        ensure!(self.code == Some(0), "{:?}", self.code);
        Ok(())
    }

    /// One step is bad, says this, and nothing else is.
    fn is_bad(&self, step: &str, says: &str) -> Result<()> {
        let bad: Vec<&Value> = self
            .findings()
            .filter(|finding| finding["verdict"] == "bad")
            .collect();
        let [finding] = &*bad else {
            anyhow::bail!("one thing was expected to be bad: {:#}", self.report);
        };
        ensure!(finding["step"] == step, "{step}: {:#}", self.report);
        let told = format!("{} {}", finding["what"], finding["advice"]);
        ensure!(told.contains(says), "{says:?} in {told}");
        ensure!(
            finding["advice"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        ensure!(self.report["healthy"] == false && self.code == Some(1));
        Ok(())
    }

    /// What is said about a step, of all servers together.
    fn said(&self, step: &str, verdict: &str) -> Vec<String> {
        self.findings()
            .filter(|finding| finding["step"] == step && finding["verdict"] == verdict)
            .map(|finding| finding["what"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

fn commserver(change: impl Fn(&mut commserver::Config) + Send + Sync + 'static) -> Setup {
    Setup {
        commserver: Arc::new(change),
        ..Setup::default()
    }
}

fn guarded() -> Setup {
    Setup {
        clients: Arc::new(SharedSecret::new(&SECRET.into())),
        ..Setup::default()
    }
}

#[tokio::test]
async fn all_is_well() -> Result<()> {
    let cluster = guarded().start(2).await?;
    let found = diagnose(&cluster.url(), &["--token", SECRET]).await?;
    found.is_well()?;
    for (step, count) in [
        ("tcp", 1),
        ("http", 1),
        ("websocket", 1),
        ("token", 1),
        ("welcome", 1),
        ("clock", 3),
        ("connect", 2),
        ("addresses", 2),
        ("udp", 2),
        ("dtls", 2),
        ("channels", 2),
        ("auth", 2),
        ("ping", 2),
        ("reliable", 2),
        ("unreliable", 2),
        ("large packet", 2),
        ("mesh", 1),
    ] {
        let said = found.said(step, "ok").len();
        ensure!(said == count, "{step} {said} times in {:#}", found.report);
    }
    // For people, and behind a path that a proxy takes away.
    let strip: proxy::Edit = |head| head.replace(" /broker/", " /");
    let proxy = Proxy::start(LOCALHOST, cluster.addr(), strip, as_it_is).await?;
    let url = proxy.url() + "/broker/connect";
    let args = ["doctor", "--coordinator", &url, "--token", SECRET];
    let ended = Program::run(&args).await?.with(0)?;
    ensure!(ended.output.ends_with("\nall well\n"), "{}", ended.output);
    ensure!(!ended.output.contains(SECRET) && ended.errors.is_empty());
    cluster.stop().await
}

#[tokio::test]
async fn nobody_is_there() -> Result<()> {
    let nobody = diagnose("ws://127.0.0.1:9", &[]).await?;
    nobody.is_bad("tcp", "nobody listens there")?;
    let nowhere = diagnose("ws://nowhere.invalid:9090", &[]).await?;
    nowhere.is_bad("dns", "nowhere.invalid")
}

#[tokio::test]
async fn somebody_else_is_there() -> Result<()> {
    for (answer, says) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200"),
        (
            "HTTP/1.1 301 Moved\r\nLocation: wss://elsewhere/connect\r\nContent-Length: 0\r\n\r\n",
            "use wss://elsewhere/connect",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "does not reach",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "no coordinator"),
    ] {
        let somebody = proxy::say(answer).await?;
        let found = diagnose(&somebody.url(), &[]).await?;
        found.is_bad("websocket", says).with_context(|| answer)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_takes_something_away() -> Result<()> {
    let cluster = guarded().start(1).await?;
    let upgrade: proxy::Edit = |head| without(head, &["upgrade", "connection"]);
    let proxy = Proxy::start(LOCALHOST, cluster.addr(), upgrade, as_it_is).await?;
    let found = diagnose(&proxy.url(), &["--token", SECRET]).await?;
    found.is_bad("websocket", "proxy_set_header Upgrade")?;
    // With it goes the token.
    let protocol: proxy::Edit = |head| without(head, &["sec-websocket-protocol"]);
    let proxy = Proxy::start(LOCALHOST, cluster.addr(), protocol, as_it_is).await?;
    let found = diagnose(&proxy.url(), &["--token", SECRET]).await?;
    found.is_bad("websocket", "401")?;
    cluster.stop().await?;

    let open = Cluster::start(1).await?;
    let proxy = Proxy::start(LOCALHOST, open.addr(), protocol, as_it_is).await?;
    let found = diagnose(&proxy.url(), &[]).await?;
    found.is_bad("websocket", "drops Sec-WebSocket-Protocol")?;
    open.stop().await
}

#[tokio::test]
async fn a_clock_is_wrong() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let date: proxy::Edit = |head| {
        let date = "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n";
        without(head, &["date"]).trim_end().to_owned() + "\r\n" + date
    };
    let proxy = Proxy::start(LOCALHOST, cluster.addr(), as_it_is, date).await?;
    let found = diagnose(&proxy.url(), &[]).await?;
    found.is_bad("clock", "the coordinator's clock is")?;
    cluster.stop().await
}

#[tokio::test]
async fn the_token_is_wrong_or_missing() -> Result<()> {
    let cluster = guarded().start(1).await?;
    let wrong = diagnose(&cluster.url(), &["--token", "another secret"]).await?;
    wrong.is_bad("token", "does not know this token")?;
    let missing = diagnose(&cluster.url(), &[]).await?;
    missing.is_bad("token", "BROKER_TOKEN")?;
    cluster.stop().await
}

#[tokio::test]
async fn the_servers_do_not_agree_on_the_token() -> Result<()> {
    let setup = Setup {
        commserver: Arc::new(|config| {
            config.clients = Arc::new(SharedSecret::new(&"of another time".into()));
        }),
        ..guarded()
    };
    let cluster = setup.start(1).await?;
    let found = diagnose(&cluster.url(), &["--token", SECRET]).await?;
    found.is_bad("auth", "different client secrets")?;
    cluster.stop().await
}

#[tokio::test]
async fn no_server_is_there() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let found = diagnose(&cluster.url(), &[]).await?;
    found.is_bad("welcome", "start a commserver")?;
    cluster.stop().await
}

#[tokio::test]
async fn nobody_answers_at_the_address_advertised() -> Result<()> {
    // For documents alone; and a port where nobody is.
    for ip in [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(127, 0, 0, 2)] {
        let setup = commserver(move |config| config.advertise = vec![ip.into()]);
        let cluster = setup.start(1).await?;
        let found = diagnose(&cluster.url(), &[]).await?;
        found.is_bad("udp", &format!("nothing answers at {ip}"))?;
        cluster.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_of_two_addresses_is_enough_and_worth_a_note() -> Result<()> {
    let setup = commserver(|config| {
        config.advertise = vec![Ipv4Addr::new(192, 0, 2, 1).into(), LOCALHOST];
    });
    let cluster = setup.start(1).await?;
    let found = diagnose(&cluster.url(), &[]).await?;
    found.is_well()?;
    let note = found.said("udp", "note").concat();
    let port = cluster.commserver(0).rtc_addr.port();
    let expected = format!("127.0.0.1:{port} answers, 192.0.2.1:{port} does not");
    ensure!(note == expected, "{note}");
    cluster.stop().await?;

    // Both answer, and both are known to.
    let setup = commserver(|config| {
        config.rtc_listen = (Ipv4Addr::UNSPECIFIED, 0).into();
        config.advertise = vec![Ipv4Addr::new(127, 0, 0, 2).into(), LOCALHOST];
    });
    let cluster = setup.start(1).await?;
    let found = diagnose(&cluster.url(), &[]).await?;
    found.is_well()?;
    ensure!(found.said("udp", "ok").len() == 1, "{:#}", found.report);
    cluster.stop().await
}

#[tokio::test]
async fn udp_is_blocked() -> Result<()> {
    let impair = Impair {
        loss: 1.0,
        ..Impair::default()
    };
    let setup = commserver(move |config| config.rtc.impair = Some(impair));
    let cluster = setup.start(1).await?;
    let found = diagnose(&cluster.url(), &[]).await?;
    found.is_bad("udp", "a firewall that drops UDP")?;
    cluster.stop().await
}

#[tokio::test]
async fn a_loopback_address_is_offered_to_others() -> Result<()> {
    // Where the coordinator is reached by an address that others reach, too.
    let outside = UdpSocket::bind("0.0.0.0:0")?;
    outside
        .connect("192.0.2.1:9")
        .context("this machine has no network")?;
    let outside = outside.local_addr()?.ip();
    let cluster = Cluster::start(1).await?;
    let proxy = Proxy::start(outside, cluster.addr(), as_it_is, as_it_is).await?;
    let found = diagnose(&proxy.url(), &[]).await?;
    found.is_bad("addresses", "--advertise")?;
    cluster.stop().await
}

#[tokio::test]
async fn a_server_is_full() -> Result<()> {
    let cluster = commserver(|config| config.limits.peers_max = 1)
        .start(1)
        .await?;
    let found = diagnose(&cluster.url(), &[]).await?;
    found.is_bad("second", "ServerFull")?;
    cluster.stop().await
}

#[tokio::test]
async fn two_servers_are_not_linked() -> Result<()> {
    let setup = commserver(|config| config.limits.links_max = 0);
    let mut cluster = setup.start(1).await?;
    cluster.add_commserver().await?;
    let found = diagnose(&cluster.url(), &[]).await?;
    found.is_bad("mesh", "broker_links")?;
    cluster.stop().await
}

#[tokio::test]
async fn a_certificate_is_looked_at() -> Result<()> {
    let folder = Folder::new()?;
    let authority = Authority::new("ours")?;
    let ca = authority.write(&folder, "ca.pem")?;
    let pair = authority.issue(&folder, "coordinator", &["127.0.0.1"], Validity::Now)?;
    let trusted = ca.clone();
    let setup = Setup {
        scheme: "wss",
        coordinator: Arc::new(move |config| {
            config.tls = Some(tls::Files {
                pair: pair.clone(),
                client_ca: None,
            });
        }),
        commserver: Arc::new(move |config| config.trust.ca = Some(trusted.clone())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let found = diagnose(&cluster.url(), &["--ca-file", &ca.display().to_string()]).await?;
    found.is_well()?;
    ensure!(found.said("tls", "ok") == ["its certificate is good for 127.0.0.1"]);

    let stranger = Authority::new("a stranger's")?.write(&folder, "strange.pem")?;
    let stranger = stranger.display().to_string();
    let found = diagnose(&cluster.url(), &["--ca-file", &stranger]).await?;
    found.is_bad(
        "tls",
        "nobody who is trusted here has signed its certificate",
    )?;
    let plain = Cluster::start(0).await?;
    let url = plain.url().replace("ws://", "wss://");
    let found = diagnose(&url, &["--ca-file", &stranger]).await?;
    found.is_bad("tls", "it does not speak TLS")?;
    plain.stop().await?;
    cluster.stop().await
}

#[tokio::test]
async fn bad_usage_is_64() -> Result<()> {
    for args in [
        &["doctor"][..],
        &["doctor", "--coordinator", "http://127.0.0.1:9090"],
        &["doctor", "--coordinator", "nonsense"],
        &["doctor", "--coordinator", "ws://127.0.0.1:9090", "--fast"],
    ] {
        let ended = Program::run(args).await?;
        ensure!(ended.code == Some(64), "{args:?} ended {ended:#?}");
        ensure!(!ended.errors.is_empty() && ended.output.is_empty());
    }
    Ok(())
}
