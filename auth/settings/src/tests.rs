//! What is let in by which settings, and what is said about those that do not go together.

use super::*;
use auth::{
    Credentials, Link, Refusal, Role,
    jwt::{
        claims::{Claims, Seconds},
        keys::Algorithm,
        signing::SigningKey,
    },
};
use std::time::{Duration, SystemTime};

const SECRET: &str = "the clients' shared secret";
const CLUSTER: &str = "the secret of the cluster";
const TOKENS: &str = "the secret of signed tokens";

fn doors(variables: &'static [(&str, &str)]) -> Result<Doors, String> {
    let look_up = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_string())
    };
    let mut settings = Settings::new(look_up);
    let cluster = ClusterSecret::parse(CLUSTER).expect("long enough");
    let host = Host {
        environment: &look_up,
        cluster: Some(&cluster),
        standing: None,
    };
    let doors = take(&mut settings, &host);
    let shown = settings.effective().to_string();
    for secret in [SECRET, TOKENS] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{doors:?}").contains(secret), "{doors:?}");
    }
    settings
        .finish()
        .map(|_| doors)
        .map_err(|problems| problems.to_string())
}

fn token(role: &str) -> String {
    let claims = Claims {
        sub: Some("ann".into()),
        role: Some(role.into()),
        exp: Some(Seconds::of(SystemTime::now() + Duration::from_secs(60))),
        ..Claims::default()
    };
    let key = SigningKey::secret(Algorithm::Hs256, &TOKENS.into());
    key.sign(&claims).expect("it can be signed")
}

fn asks(door: &dyn Authenticator, role: Role, body: &str) -> Option<Refusal> {
    use std::{
        future::Future as _,
        pin::pin,
        task::{Context, Poll, Waker},
    };
    let link = Link::default();
    let credentials = Credentials::Packet {
        alias: 0,
        body: body.as_bytes(),
        link: &link,
    };
    let answer =
        pin!(door.authenticate(role, credentials)).poll(&mut Context::from_waker(Waker::noop()));
    match answer {
        Poll::Ready(answer) => answer.err(),
        Poll::Pending => panic!("nothing here has to wait"),
    }
}

#[test]
fn whatever_there_is_something_for_lets_in() {
    let both = doors(&[
        ("BROKER_CLIENT_SECRET", SECRET),
        ("BROKER_JWT_SECRET", TOKENS),
    ]);
    let both = both.expect("nothing wrong");
    let only = doors(&[("BROKER_JWT_SECRET", TOKENS)]).expect("nothing wrong");
    let shared = doors(&[("BROKER_CLIENT_SECRET", SECRET)]).expect("nothing wrong");
    let chosen = doors(&[
        ("BROKER_CLIENT_SECRET", SECRET),
        ("BROKER_JWT_SECRET", TOKENS),
        ("BROKER_AUTH__CLIENTS", "secret"),
    ]);
    let chosen = chosen.expect("nothing wrong");
    for (doors, by_secret, by_token) in [
        (&both, true, true),
        (&only, false, true),
        (&shared, true, false),
        (&chosen, true, false),
    ] {
        let clients = &*doors.clients;
        let takes = |body: &str| asks(clients, Role::Client, body).is_none();
        assert_eq!(takes(&format!("ann:{SECRET}")), by_secret, "{doors:?}");
        assert_eq!(takes(&token("client")), by_token, "{doors:?}");
        assert!(!takes("x") && !takes(""), "{doors:?}");
        assert!(doors.servers.is_none() && !doors.insecure, "{doors:?}");
    }
}

#[test]
fn servers_are_let_in_by_token_when_that_is_said() {
    let doors = doors(&[
        ("BROKER_JWT_SECRET", TOKENS),
        ("BROKER_AUTH__SERVERS", "jwt"),
    ]);
    let servers = doors.expect("nothing wrong").servers.expect("it was said");
    assert_eq!(asks(&*servers, Role::Server, &token("server")), None);
    let client = asks(&*servers, Role::Server, &token("client"));
    assert_eq!(client, Some(Refusal::Forbidden));
}

#[test]
fn insecure_stands_alone() {
    let open = doors(&[("BROKER_INSECURE", "true")]).expect("nothing wrong");
    assert!(open.insecure);
    assert_eq!(asks(&*open.clients, Role::Client, ""), None);
    for more in [
        ("BROKER_CLIENT_SECRET", SECRET),
        ("BROKER_JWT_SECRET", TOKENS),
        ("BROKER_AUTH__CLIENTS", "jwt"),
    ] {
        let variables = vec![("BROKER_INSECURE", "true"), more].leak();
        let problem = doors(variables).expect_err("two that exclude each other");
        assert!(problem.contains("--insecure"), "{problem}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    for (variables, said) in [
        (&[][..], "BROKER_JWT_SECRET"),
        (&[], "--insecure"),
        (
            &[("BROKER_AUTH__CLIENTS", "jwt")],
            "auth.clients: jwt needs a key",
        ),
        (&[("BROKER_AUTH__CLIENTS", "secret")], "client_secret_file"),
        (
            &[("BROKER_AUTH__CLIENTS", "astrology")],
            "a list of jwt, registered, call-out, secret",
        ),
        (
            &[("BROKER_AUTH__SERVERS", "secret")],
            "a list of jwt, call-out, got",
        ),
        (&[("BROKER_JWT_SECRET", "short")], "secret for tokens"),
        (&[("BROKER_CLIENT_SECRET", "short")], "client secret"),
        (
            &[("BROKER_AUTH__JWT__KEY_FILES", "/nonexistent/a")],
            "key file /nonexistent/a",
        ),
        (
            &[("BROKER_AUTH__JWT__JWKS_FILE", "/nonexistent/b")],
            "key set /nonexistent/b",
        ),
        (&[("BROKER_AUTH__JWT__PUBLISH", "a#")], "auth.jwt.publish: "),
        (&[("BROKER_AUTH__CLIENTS", "call-out")], "auth.call_out.url"),
        (
            &[("BROKER_AUTH__CALL_OUT__URL", "http://10.0.0.1/a")],
            "in clear only to this machine",
        ),
        (
            &[("BROKER_AUTH__CALL_OUT__URL", "ftp://a")],
            "auth.call_out.url: expected a URL",
        ),
        (
            &[("BROKER_AUTH__CALL_OUT__ON_OUTAGE", "hope")],
            "deny or last-known",
        ),
        (
            &[("BROKER_AUTH__JWT__JWKS_URL", "http://id.example/k")],
            "auth.jwt.jwks_url: expected https",
        ),
        (&[("BROKER_AUTH__JWT__REFRESH", "9s")], "auth.jwt.refresh"),
        (
            &[
                ("BROKER_AUTH__CA_FILE", "/nonexistent/c"),
                ("BROKER_AUTH__JWT__JWKS_URL", "https://id.example/k"),
            ],
            "auth.ca_file",
        ),
        (&[("BROKER_AUTH__JWT__LEEWAY", "11m")], "auth.jwt.leeway"),
        (
            &[("BROKER_AUTH__JWT__SECRET_ALGORITHM", "RS256")],
            "HS256, HS384 or HS512",
        ),
    ] {
        let problem = doors(variables).expect_err("something is wrong");
        assert!(problem.contains(said), "{variables:?}: {problem}");
        assert!(!problem.contains("\"short\""), "{problem}");
    }
}
