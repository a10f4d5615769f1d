use super::*;
use settings::Value as _;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(text: &str) -> Network {
    Network::parse(text).expect("a network")
}

/// Three connections at once and ten a second, three requests, two sessions.
fn addresses() -> Arc<Addresses> {
    Addresses::new(Limits {
        connections_per_s: 10,
        connections_burst: 3,
        requests_max: 3,
        sessions_max: 2,
        exempt: vec![network("10.9.0.0/16")],
    })
}

#[test]
fn an_address_has_a_burst_and_then_its_rate() {
    let addresses = addresses();
    let start = Instant::now();
    let ask = |ms| {
        let now = start + Duration::from_millis(ms);
        addresses.request(now, ip("10.0.0.1")).map(drop)
    };
    for _ in 0..3 {
        assert_eq!(ask(0), Ok(()));
    }
    assert_eq!(ask(0), Err(TooMany::Connections));
    assert_eq!(ask(99), Err(TooMany::Connections));
    assert_eq!(ask(100), Ok(()));
    assert_eq!(ask(100), Err(TooMany::Connections));
    let other = addresses.request(start, ip("10.0.0.2"));
    assert!(other.is_ok(), "each has its own");
}

#[test]
fn an_address_has_so_many_requests_at_once() {
    let addresses = addresses();
    let mut now = Instant::now();
    let mut held = Vec::new();
    for _ in 0..3 {
        now += Duration::from_secs(1);
        held.push(addresses.request(now, ip("10.0.0.1")).expect("room"));
    }
    now += Duration::from_secs(1);
    let refused = addresses.request(now, ip("10.0.0.1"));
    assert_eq!(refused.map(drop), Err(TooMany::Requests));
    held.pop();
    assert!(addresses.request(now, ip("10.0.0.1")).is_ok());
}

#[test]
fn an_address_has_so_many_sessions() {
    let addresses = addresses();
    let now = Instant::now();
    let one = ip("2001:db8::1");
    let neighbour = ip("2001:db8::2");
    let first = addresses.session(now, one, false).expect("room");
    assert!(!addresses.is_full(now, one));
    let second = addresses.session(now, neighbour, false).expect("room");
    assert!(addresses.is_full(now, one), "a /64 counts as one");
    assert!(addresses.session(now, one, false).is_none());
    assert!(
        addresses
            .session(now, ip("2001:db8:0:1::1"), false)
            .is_some()
    );
    let successor = addresses.session(now, one, true).expect("it replaces one");
    drop(first);
    assert!(addresses.session(now, one, false).is_none());
    drop(second);
    assert!(addresses.session(now, one, false).is_some());
    drop(successor);
    assert_eq!(addresses.len(), 0, "who has nothing is forgotten");
}

#[test]
fn exempt_addresses_are_not_counted() {
    let addresses = addresses();
    let now = Instant::now();
    let held: Vec<Held> = (0..100)
        .map(|_| addresses.request(now, ip("10.9.1.1")).expect("exempt"))
        .collect();
    assert!(addresses.session(now, ip("10.9.1.1"), false).is_some());
    assert_eq!((held.len(), addresses.len()), (100, 0));
    let zeroes = Addresses::new(Limits {
        connections_per_s: 0,
        connections_burst: 0,
        requests_max: 0,
        sessions_max: 0,
        exempt: Vec::new(),
    });
    for _ in 0..100 {
        assert!(zeroes.request(now, ip("10.0.0.1")).is_ok());
        assert!(zeroes.session(now, ip("10.0.0.1"), false).is_some());
    }
}

#[test]
fn the_table_has_its_bounds() {
    let addresses = addresses();
    // So far ahead of the clock that nothing is paid for when it is given back.
    let start = Instant::now() + Duration::from_secs(3600);
    let site = |n: u32| IpAddr::from(n.to_be_bytes());
    let count = u32::try_from(SITES_MAX).expect("it fits");
    for n in 0..count {
        let asked = addresses.request(start, site(n));
        drop(asked.expect("its first"));
    }
    assert_eq!(addresses.len(), SITES_MAX);
    let held = addresses.request(start, site(count)).expect("uncounted");
    assert!(held.site.is_none());
    assert_eq!(addresses.len(), SITES_MAX);
    let later = start + Duration::from_secs(2);
    let held = addresses.request(later, site(count)).expect("counted");
    assert!(held.site.is_some());
    assert_eq!(addresses.len(), 1);
}

#[test]
fn only_a_proxy_is_believed() {
    let proxies = Proxies {
        addresses: vec![network("10.0.0.0/8")],
        header: ProxyHeader::XForwardedFor,
    };
    let headers = |values: &[&str]| {
        let values = values.iter().map(|value| {
            let value = value.parse().expect("a header value");
            (HeaderName::from_static("x-forwarded-for"), value)
        });
        values.collect::<HeaderMap>()
    };
    for (from, noted, client) in [
        ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
        ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &[], "10.0.0.1"),
        // The first is what the client has written itself.
        ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (
            "10.0.0.1",
            &["198.51.100.1", "203.0.113.9, 10.0.0.2"],
            "203.0.113.9",
        ),
        ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["203.0.113.9:1234"], "203.0.113.9"),
        ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
    ] {
        assert_eq!(
            proxies.client(ip(from), &headers(noted)),
            ip(client),
            "{noted:?}"
        );
    }
}

#[test]
fn a_proxy_writes_one_header() {
    let mut proxies = Proxies {
        addresses: vec![network("10.0.0.1")],
        header: ProxyHeader::Forwarded,
    };
    let headers = HeaderMap::from_iter([
        (
            header::FORWARDED,
            "for=198.51.100.1, proto=https;For=\"[2001:db8::7]:443\""
                .parse()
                .expect("a header value"),
        ),
        // Which this proxy has passed on as it came.
        (
            HeaderName::from_static("x-forwarded-for"),
            "192.0.2.66".parse().expect("a header value"),
        ),
    ]);
    assert_eq!(proxies.client(ip("10.0.0.1"), &headers), ip("2001:db8::7"));
    proxies.header = ProxyHeader::XForwardedFor;
    assert_eq!(proxies.client(ip("10.0.0.1"), &headers), ip("192.0.2.66"));
}
