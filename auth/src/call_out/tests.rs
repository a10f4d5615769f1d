//! Services that answer, that do not, and that say nonsense; over HTTP and gRPC, on loopback.

mod service;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::{Link, double::Double, front::Front, jwt::claims::Seconds, suite::Subject};

const TOKEN: &str = "ann's token";
const SECRET: &str = "the secret of the service";

fn call_out(url: &str, config: Config) -> CallOut {
    let trust = Trust::system()
        .or_else(|_| Trust::none())
        .expect("a library");
    let service = Service::at(url, &trust, Some(SECRET.into()));
    CallOut::new(service.expect("an address"), config, Metrics::default())
}

/// Lets in whoever shows `TOKEN-ROLE`, as ann.
async fn decides(body: String) -> (u16, String) {
    let asked: Value = serde_json::from_str(&body).expect("JSON");
    let expected = format!("{TOKEN}-{}", asked["role"].as_str().expect("a role"));
    let answer = json!({"allow": asked["token"] == expected, "identity": "ann"});
    (200, answer.to_string())
}

fn token(role: Role) -> String {
    format!("{TOKEN}-{}", crate::cluster::role_claim(role))
}

#[tokio::test]
async fn each_way_passes_the_suite() {
    let http = Double::start(decides).await;
    let grpc = service::start().await;
    for url in [http.url(), format!("grpc://{}", grpc.addr)] {
        let subject = Subject {
            authenticator: Arc::new(call_out(&url, Config::default())),
            roles: &Role::ALL,
            open: false,
            secrets: vec![SECRET],
            upgrade_token: Box::new(token),
            packet_body: Box::new(|role, _| token(role).into_bytes()),
        };
        subject.check().await;
    }
    let asked = http.asked.lock();
    assert!(
        asked
            .iter()
            .all(|asked| { asked.authorization.as_deref() == Some(&format!("Bearer {SECRET}")) })
    );
    let places = ["coordinator", "commserver"];
    for place in places {
        let found = asked.iter().any(|asked| asked.body.contains(place));
        assert!(found, "nobody asked at the {place}");
    }
    assert!(
        asked
            .iter()
            .any(|asked| asked.body.contains("token_base64"))
    );
    assert_eq!(grpc.authorizations(), [format!("Bearer {SECRET}")]);
}

async fn shows(call_out: &CallOut, token: &str) -> Answer {
    let link = Link::default();
    let credentials = Credentials::Packet {
        alias: 64,
        body: token.as_bytes(),
        link: &link,
    };
    call_out.authenticate(Role::Client, credentials).await
}

#[tokio::test]
async fn what_the_service_says_is_what_it_gets() {
    let http = Double::start(async |body: String| {
        let asked: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(asked["alias"], 64);
        let answer = match asked["token"].as_str() {
            Some("forbidden") => json!({"allow": false, "reason": "forbidden"}),
            Some("over") => json!({"allow": true, "identity": "ann", "expires": 1}),
            _ => json!({
                "allow": true, "identity": "ann", "publish": ["a/#"], "subscribe": [],
                "limits": {"subscriptions_max": 3}, "expires": 4_000_000_000_u64, "token_id": "t",
                "more": "is skipped",
            }),
        };
        (200, answer.to_string())
    });
    let http = http.await;
    let call_out = call_out(&http.url(), Config::default());
    let ann = shows(&call_out, "good").await.expect("it was allowed");
    assert!(ann.identity == "ann" && ann.token_id.as_deref() == Some("t"));
    assert!(ann.grants.publish.matches("a/b") && !ann.grants.publish.matches("b"));
    assert!(!ann.grants.subscribe.matches("a/b"));
    assert_eq!(ann.limits.subscriptions_max, Some(3));
    assert!(ann.expires.is_some());
    assert_eq!(shows(&call_out, "forbidden").await, Err(Refusal::Forbidden));
    assert_eq!(shows(&call_out, "over").await, Err(Refusal::Invalid));
}

#[tokio::test]
async fn what_is_no_answer_is_an_outage() {
    let http = Double::start(async |body: String| {
        let asked: Value = serde_json::from_str(&body).expect("JSON");
        match asked["token"].as_str().expect("text") {
            "status" => (500, String::new()),
            "denied" => (401, String::new()),
            "page" => (200, "<html>".into()),
            "nameless" => (200, r#"{"allow": true}"#.into()),
            "filters" => (
                200,
                r##"{"allow": true, "identity": "a", "publish": ["#a"]}"##.into(),
            ),
            "limits" => (
                200,
                r#"{"allow":true,"identity":"a","limits":{"all":1}}"#.into(),
            ),
            "long" => (200, "x".repeat(300 * 1024)),
            _ => (403, String::new()),
        }
    });
    let http = http.await;
    let call_out = call_out(&http.url(), Config::default());
    for (token, how) in [
        ("status", Call::Status),
        ("denied", Call::Status),
        ("page", Call::Malformed),
        ("nameless", Call::Malformed),
        ("filters", Call::Malformed),
        ("limits", Call::Malformed),
        ("long", Call::Malformed),
    ] {
        let before = call_out.metrics.calls(how);
        assert_eq!(
            shows(&call_out, token).await,
            Err(Refusal::Unavailable),
            "{token}"
        );
        assert_eq!(call_out.metrics.calls(how), before + 1, "{token}");
    }
    assert_eq!(shows(&call_out, "else").await, Err(Refusal::Forbidden));
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    let gone = Double::start(decides).await.addr;
    for url in [format!("http://{gone}"), format!("grpc://{gone}")] {
        let call_out = call_out(&url, Config::default());
        assert_eq!(shows(&call_out, TOKEN).await, Err(Refusal::Unavailable));
        assert_eq!(call_out.metrics.calls(Call::Unreachable), 1, "{url}");
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_is_given_up() {
    let http = Double::start(async |_| std::future::pending().await).await;
    let config = Config {
        timeout: Duration::from_millis(50),
        calls_max: 1,
        ..Config::default()
    };
    let call_out = call_out(&http.url(), config);
    let (one, other) = tokio::join!(shows(&call_out, "one"), shows(&call_out, "other"));
    assert_eq!(
        [one, other],
        [Err(Refusal::Unavailable), Err(Refusal::Unavailable)]
    );
    // Who waits for room has no more time than who has it.
    let given_up = [Call::Timeout, Call::Overload].map(|how| call_out.metrics.calls(how));
    assert_eq!(given_up.iter().sum::<u64>(), 2);
    assert!(given_up[1] <= 1 && http.count() <= 2, "{given_up:?}");
}

#[tokio::test]
async fn so_many_calls_go_on_at_once() {
    let under_way = Arc::new(Mutex::new((0_usize, 0_usize)));
    let counted = Arc::clone(&under_way);
    let http = Double::start(move |_: String| {
        let counted = Arc::clone(&counted);
        async move {
            {
                let mut counted = counted.lock();
                counted.0 += 1;
                counted.1 = counted.1.max(counted.0);
            }
            // Time for all others to come, if they may.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            counted.lock().0 -= 1;
            (200, r#"{"allow": true, "identity": "ann"}"#.into())
        }
    });
    let http = http.await;
    let config = Config {
        timeout: Duration::from_secs(60),
        calls_max: 3,
        ..Config::default()
    };
    let call_out = Arc::new(call_out(&http.url(), config));
    let mut all = tokio::task::JoinSet::new();
    for nth in 0..20 {
        let call_out = Arc::clone(&call_out);
        all.spawn(async move { shows(&call_out, &format!("{nth}")).await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|good| good));
    assert_eq!(under_way.lock().1, 3);
}

/// A service that answers until it is told to fail.
async fn moody() -> (Double, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let mood = Arc::clone(&fails);
    let http = Double::start(move |body: String| {
        let fails = mood.load(Ordering::Relaxed);
        async move {
            if fails {
                return (503, String::new());
            }
            if body.contains("bad") {
                return (200, r#"{"allow": false}"#.into());
            }
            (200, r#"{"allow": true, "identity": "ann"}"#.into())
        }
    });
    (http.await, fails)
}

#[tokio::test]
async fn a_good_answer_is_remembered_where_that_is_wanted() {
    for (remember, asked) in [(Duration::ZERO, 3), (Duration::from_hours(1), 1)] {
        let (http, _) = moody().await;
        let config = Config {
            remember,
            ..Config::default()
        };
        let call_out = call_out(&http.url(), config);
        for _ in 0..3 {
            assert!(shows(&call_out, "good").await.is_ok());
        }
        assert_eq!(http.count(), asked);
        // A refusal is not: it may be another one in a moment.
        for _ in 0..2 {
            assert_eq!(shows(&call_out, "bad").await, Err(Refusal::Invalid));
        }
        assert_eq!(http.count(), asked + 2);
    }
}

#[tokio::test]
async fn what_is_over_is_not_remembered() {
    let http = Double::start(async |_: String| {
        let soon = Seconds::of(SystemTime::now()).0 + 1;
        let answer = json!({"allow": true, "identity": "ann", "expires": soon});
        (200, answer.to_string())
    });
    let http = http.await;
    let config = Config {
        remember: Duration::from_hours(1),
        ..Config::default()
    };
    let call_out = call_out(&http.url(), config);
    let ann = shows(&call_out, "good")
        .await
        .expect("it is good for a moment");
    let later = ann.expires.expect("it says so") + Duration::from_nanos(1);
    assert!(is_still_good(&ann, later - Duration::from_millis(1)));
    assert!(!is_still_good(&ann, later));
    let key = cache::key(Role::Client, b"good");
    let found = call_out
        .cache
        .lock()
        .find(&key, Duration::MAX, Instant::now());
    assert_eq!(found, Some(ann));
}

#[tokio::test]
async fn an_outage_keeps_out_or_keeps_in_as_the_operator_says() {
    let last_known = OnOutage::LastKnown(Duration::from_hours(1));
    for (on_outage, kept) in [(OnOutage::Deny, false), (last_known, true)] {
        let (http, fails) = moody().await;
        let config = Config {
            on_outage,
            ..Config::default()
        };
        let call_out = call_out(&http.url(), config);
        assert!(shows(&call_out, "good").await.is_ok());
        assert_eq!(shows(&call_out, "bad").await, Err(Refusal::Invalid));
        fails.store(true, Ordering::Relaxed);
        assert_eq!(
            shows(&call_out, "good").await.is_ok(),
            kept,
            "{on_outage:?}"
        );
        assert_eq!(call_out.metrics.calls(Call::LastKnown), u64::from(kept));
        for stranger in ["bad", "new"] {
            assert_eq!(shows(&call_out, stranger).await, Err(Refusal::Unavailable));
        }
        fails.store(false, Ordering::Relaxed);
        assert!(shows(&call_out, "good").await.is_ok());
    }
}

#[tokio::test]
async fn who_is_refused_is_not_known_any_more() {
    let allows = Arc::new(Mutex::new(Some(true)));
    let mood = Arc::clone(&allows);
    let http = Double::start(move |_: String| {
        let said = *mood.lock();
        async move {
            match said {
                Some(allow) => (200, json!({"allow": allow, "identity": "ann"}).to_string()),
                None => (503, String::new()),
            }
        }
    });
    let http = http.await;
    let config = Config {
        on_outage: OnOutage::LastKnown(Duration::from_hours(1)),
        ..Config::default()
    };
    let call_out = call_out(&http.url(), config);
    assert!(shows(&call_out, "t").await.is_ok());
    *allows.lock() = Some(false);
    assert_eq!(shows(&call_out, "t").await, Err(Refusal::Invalid));
    *allows.lock() = None;
    assert_eq!(shows(&call_out, "t").await, Err(Refusal::Unavailable));
}

#[tokio::test]
async fn an_encrypted_service_is_believed_by_its_certificate() {
    let http = Double::start(decides).await;
    let grpc = service::start().await;
    for (scheme, addr, protocol) in [("https", http.addr, "http/1.1"), ("grpcs", grpc.addr, "h2")] {
        let front = Front::start(addr, protocol).await;
        let url = format!("{scheme}://{}", front.addr);
        let asks = async |ca: &std::path::Path| {
            let trust = Trust::file(ca).expect("an authority");
            let service = Service::at(&url, &trust, Some(SECRET.into())).expect("an address");
            let call_out = CallOut::new(service, Config::default(), Metrics::default());
            let token = token(Role::Client);
            let link = Link::default();
            let question = Question {
                role: Role::Client,
                token: token.as_bytes(),
                alias: None,
            };
            let called = call_out.call(&question).await.map(|answer| answer.is_ok());
            let credentials = Credentials::Packet {
                alias: 64,
                body: token.as_bytes(),
                link: &link,
            };
            let answer = call_out.authenticate(Role::Client, credentials).await;
            (called, answer.map(|ann| ann.identity))
        };
        let (called, answer) = asks(&front.ca).await;
        assert_eq!((called, answer), (Ok(true), Ok("ann".into())), "{scheme}");
        let (called, answer) = asks(&front.stranger).await;
        let refused = (Err(Trouble::Untrusted), Err(Refusal::Unavailable));
        assert_eq!((called, answer), refused, "{scheme}");
    }
    let said = Trouble::Untrusted.to_string();
    assert!(said.contains("auth.ca_file"), "{said}");
}
