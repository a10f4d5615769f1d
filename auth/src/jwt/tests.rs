//! Good tokens by every kind of key, and every way in which one is not good.

pub(crate) mod pair;

use std::{sync::Arc, time::UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::json;

use self::pair::{SECRET, pair, texts};
use super::{
    claims::OneOrMany,
    keys::{BadKey, KEYS_MAX},
    signing::SigningKey,
    *,
};
use crate::{Link, suite::Subject};

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOON)
}

fn ann() -> Claims {
    Claims {
        sub: Some("ann".into()),
        exp: Some(Seconds(NOON + 3600)),
        ..Claims::default()
    }
}

fn hs256() -> SigningKey {
    pair(Algorithm::Hs256).signing
}

fn with_secret(rules: Rules) -> Jwt {
    let keys = KeySet::new([pair(Algorithm::Hs256).key]).expect("one key");
    Jwt::new(keys, rules)
}

/// What a token that says `claims` comes to.
fn judged(rules: &Rules, claims: &Claims) -> Result<Verified, Problem> {
    let token = hs256().sign(claims).expect("it can be signed");
    with_secret(rules.clone()).verify(&token, noon())
}

#[tokio::test]
async fn each_algorithm_passes_the_suite() {
    for (_, algorithm) in Algorithm::ALL {
        let pair = pair(algorithm);
        let token = move |role: Role| {
            let claims = Claims {
                role: Some(crate::cluster::role_claim(role).into()),
                exp: Some(Seconds::of(SystemTime::now() + Duration::from_secs(60))),
                ..ann()
            };
            pair.signing.sign(&claims).expect("it can be signed")
        };
        let token = Arc::new(token);
        let body = Arc::clone(&token);
        let keys = KeySet::new([pair.key]).expect("one key");
        let subject = Subject {
            authenticator: Arc::new(Jwt::new(keys, Rules::default())),
            roles: &Role::ALL,
            open: false,
            secrets: vec![SECRET],
            upgrade_token: Box::new(move |role| token(role)),
            packet_body: Box::new(move |role, _| body(role).into_bytes()),
        };
        subject.check().await;
    }
}

#[tokio::test]
async fn a_token_is_for_its_role_alone() {
    let jwt = with_secret(Rules::default());
    for (claim, its) in [
        (None, Role::Client),
        (Some("client"), Role::Client),
        (Some("server"), Role::Server),
        (Some("hub"), Role::Hub),
    ] {
        let claims = Claims {
            role: claim.map(Into::into),
            exp: Some(Seconds::of(SystemTime::now() + Duration::from_secs(60))),
            ..ann()
        };
        let token = hs256().sign(&claims).expect("it can be signed");
        for role in Role::ALL {
            let link = Link::default();
            let credentials = Credentials::Packet {
                alias: 0,
                body: token.as_bytes(),
                link: &link,
            };
            let answer = jwt.authenticate(role, credentials).await;
            if role == its {
                assert!(answer.is_ok(), "{claim:?} {role:?}: {answer:?}");
            } else {
                assert_eq!(answer, Err(Refusal::Forbidden), "{claim:?} {role:?}");
            }
        }
    }
    let king = Claims {
        role: Some("king".into()),
        ..ann()
    };
    let king = judged(&Rules::default(), &king);
    assert!(matches!(king, Err(Problem::Role)), "{king:?}");
}

/// A token whose header is `header`, signed by HMAC with `secret`.
fn forged(header: &serde_json::Value, secret: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let encode = |json: &[u8]| URL_SAFE_NO_PAD.encode(json);
    let claims = serde_json::to_vec(&ann()).expect("plain claims");
    let message = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(&claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}

#[test]
fn an_algorithm_belongs_to_its_key() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let public = texts(algorithm).public;
        let keys = KeySet::new([Key::pem(&public).expect("a public key")]).expect("one key");
        let jwt = Jwt::new(keys, Rules::default());
        // Everybody has the public key: as an HMAC secret it would sign for everybody.
        for secret in [public.as_bytes(), public.trim_end().as_bytes()] {
            for name in ["HS256", algorithm.name()] {
                let token = forged(&json!({"alg": name, "typ": "JWT"}), secret);
                let answer = jwt.verify(&token, noon());
                let expected = match name {
                    "HS256" => matches!(answer, Err(Problem::NoKeyFor(Algorithm::Hs256))),
                    _ => matches!(answer, Err(Problem::Signature)),
                };
                assert!(expected, "{name}: {answer:?}");
            }
        }
    }
    let longer = pair(Algorithm::Hs512).signing.sign(&ann());
    let answer = with_secret(Rules::default()).verify(&longer.expect("signed"), noon());
    let expected = matches!(answer, Err(Problem::NoKeyFor(Algorithm::Hs512)));
    assert!(expected, "{answer:?}");
}

#[test]
fn a_token_without_a_signature_is_none() {
    let jwt = with_secret(Rules::default());
    for name in [
        "none", "None", "NONE", "nOnE", "", "HS256 ", "RS512", "PS256", "ES384",
    ] {
        let token = forged(&json!({"alg": name}), SECRET.as_bytes());
        let (message, _) = token.rsplit_once('.').expect("three parts");
        for token in [token.clone(), format!("{message}.")] {
            let answer = jwt.verify(&token, noon());
            assert!(
                matches!(answer, Err(Problem::Algorithm)),
                "{name}: {answer:?}"
            );
        }
    }
    let good = hs256().sign(&ann()).expect("it can be signed");
    let (message, _) = good.rsplit_once('.').expect("three parts");
    let stripped = jwt.verify(&format!("{message}."), noon());
    assert!(matches!(stripped, Err(Problem::Signature)), "{stripped:?}");
    let two_parts = jwt.verify(message, noon());
    assert!(
        matches!(two_parts, Err(Problem::Malformed)),
        "{two_parts:?}"
    );
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let answer = with_secret(Rules::default()).verify(&forged(&header, SECRET.as_bytes()), noon());
    assert!(matches!(answer, Err(Problem::Critical)), "{answer:?}");
    // A key that the token brings itself counts for nothing.
    let header = json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "YQ"}});
    let answer = with_secret(Rules::default()).verify(&forged(&header, b"a"), noon());
    assert!(matches!(answer, Err(Problem::Signature)), "{answer:?}");
}

#[test]
fn a_changed_token_is_none() {
    let token = hs256().sign(&ann()).expect("it can be signed");
    let jwt = with_secret(Rules::default());
    let good = jwt.verify(&token, noon()).expect("a good token");
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        match jwt.verify(&changed, noon()) {
            // The last character of a part has bits that say nothing.
            Ok(verified) => {
                assert_eq!(verified, good);
                assert!(token[at + 1..].find('.').is_none_or(|dot| dot == 0), "{at}");
            }
            Err(problem) => assert_eq!(problem.refusal(), Refusal::Invalid),
        }
    }
}

#[test]
fn times_have_their_leeway() {
    let rules = Rules {
        leeway: Duration::from_secs(10),
        ..Rules::default()
    };
    for (exp, good) in [(NOON - 11, false), (NOON - 10, true), (NOON - 9, true)] {
        let claims = Claims {
            exp: Some(Seconds(exp)),
            ..ann()
        };
        let answer = judged(&rules, &claims);
        assert_eq!(answer.is_ok(), good, "{exp}: {answer:?}");
        if let Ok(verified) = answer {
            let until = UNIX_EPOCH + Duration::from_secs(exp + 10);
            assert_eq!(verified.authenticated.expires, Some(until));
        }
    }
    for (nbf, good) in [(NOON + 9, true), (NOON + 10, true), (NOON + 11, false)] {
        let claims = Claims {
            nbf: Some(Seconds(nbf)),
            ..ann()
        };
        let answer = judged(&rules, &claims);
        assert_eq!(answer.is_ok(), good, "{nbf}: {answer:?}");
    }
    let for_ever = Claims { exp: None, ..ann() };
    let answer = judged(&rules, &for_ever);
    assert!(matches!(answer, Err(Problem::NoExpiry)), "{answer:?}");
    let beyond_all_clocks = Claims {
        exp: Some(Seconds(u64::MAX)),
        ..ann()
    };
    assert!(judged(&rules, &beyond_all_clocks).is_ok());
}

#[test]
fn issuer_and_audience_are_those_that_are_asked_for() {
    let some = |names: &[&str]| OneOrMany(names.iter().map(|name| (*name).into()).collect());
    let (ours, none) = (["us", "we"], []);
    for (asked, said, good) in [
        (&none[..], &none[..], true),
        (&ours, &none, false),
        (&ours, &["us"], true),
        (&ours, &["them", "we"], true),
        (&ours, &["them"], false),
        (&ours, &["u"], false),
    ] {
        let asked = some(asked).0;
        let (issuers, audiences) = (asked.clone(), asked);
        let rules = Rules {
            issuers,
            ..Rules::default()
        };
        let claims = Claims {
            iss: some(said),
            ..ann()
        };
        assert_eq!(judged(&rules, &claims).is_ok(), good, "iss {said:?}");
        let rules = Rules {
            audiences,
            ..Rules::default()
        };
        let claims = Claims {
            aud: some(said),
            ..ann()
        };
        assert_eq!(judged(&rules, &claims).is_ok(), good, "aud {said:?}");
    }
    // Whoever is not among those that a token names must not take it: RFC 7519, 4.1.3.
    let for_them = Claims {
        aud: some(&["them"]),
        ..ann()
    };
    let answer = judged(&Rules::default(), &for_them);
    assert!(matches!(answer, Err(Problem::Audience)), "{answer:?}");
}

#[test]
fn names_have_their_bounds() {
    let longest = "n".repeat(NAME_BYTES_MAX);
    for (name, good) in [
        ("", false),
        ("a", true),
        ("Ann Äöü", true),
        ("a\nb", false),
        (&longest[1..], true),
        (&longest, true),
        (&format!("{longest}n"), false),
    ] {
        let claims = Claims {
            sub: Some(name.into()),
            ..ann()
        };
        let answer = judged(&Rules::default(), &claims);
        assert_eq!(answer.is_ok(), good, "sub {name:?}: {answer:?}");
        if let Ok(verified) = answer {
            assert_eq!(verified.authenticated.identity, name.as_bytes());
        }
        let claims = Claims {
            jti: Some(name.into()),
            ..ann()
        };
        let answer = judged(&Rules::default(), &claims);
        assert_eq!(answer.is_ok(), good, "jti {name:?}: {answer:?}");
        if let Ok(verified) = answer {
            assert_eq!(verified.authenticated.token_id.as_deref(), Some(name));
        }
    }
    let nobody = judged(&Rules::default(), &Claims { sub: None, ..ann() });
    assert!(matches!(nobody, Err(Problem::Subject)), "{nobody:?}");
}

#[test]
fn grants_are_what_the_token_says_and_else_the_operator() {
    let rules = Rules {
        publish: Filters::none(),
        subscribe: Filters::parse(["news/#"]).expect("a filter"),
        ..Rules::default()
    };
    let silent = judged(&rules, &ann()).expect("a good token");
    let grants = silent.authenticated.grants;
    assert!(!grants.publish.matches("news/a"));
    assert!(grants.subscribe.matches("news/a") && !grants.subscribe.matches("rooms/1"));

    let open = judged(&Rules::default(), &ann()).expect("a good token");
    assert_eq!(open.authenticated.grants, Grants::ALL);

    let says = Claims {
        publish: Some(vec!["rooms/+/chat".into()]),
        subscribe: Some(vec![]),
        ..ann()
    };
    let grants = judged(&rules, &says)
        .expect("a good token")
        .authenticated
        .grants;
    assert!(grants.publish.matches("rooms/1/chat") && !grants.publish.matches("rooms/1/moves"));
    assert!(!grants.subscribe.matches("news/a"));

    for (publish, subscribe, claim) in [
        (Some(vec!["a#".into()]), None, "publish"),
        (None, Some(vec!["a".into(), String::new()]), "subscribe"),
        (Some(vec!["a".into(); 257]), None, "publish"),
    ] {
        let claims = Claims {
            publish,
            subscribe,
            ..ann()
        };
        let problem = judged(&rules, &claims).expect_err("a bad list");
        assert!(problem.to_string().starts_with(claim), "{problem}");
    }
}

/// What a token that says this JSON comes to.
fn judged_json(claims: &serde_json::Value) -> Result<Verified, Problem> {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key);
    with_secret(Rules::default()).verify(&token.expect("it can be signed"), noon())
}

#[test]
fn limits_lower_and_are_never_nothing() {
    let exp = NOON + 60;
    let limits = json!({"reliable_packets_per_s": 5, "unreliable_bytes_per_s": 7,
        "subscriptions_max": 0});
    let claims = json!({"sub": "ann", "exp": exp, "limits": limits});
    let limits = judged_json(&claims)
        .expect("a good token")
        .authenticated
        .limits;
    let number = |limit: Option<std::num::NonZeroU64>| limit.map(std::num::NonZeroU64::get);
    assert_eq!(number(limits.reliable.packets_per_s), Some(5));
    assert_eq!(number(limits.reliable.bytes_per_s), None);
    assert_eq!(number(limits.unreliable.packets_per_s), None);
    assert_eq!(number(limits.unreliable.bytes_per_s), Some(7));
    assert_eq!(limits.subscriptions_max, Some(0));
    for limits in [
        json!({"reliable_packets_per_s": 0}),
        json!({"reliable_packets_per_s": -1}),
        json!({"reliable_packets_per_s": "many"}),
        // A limit that nobody keeps to must not look like one.
        json!({"packets_per_s": 5}),
    ] {
        let claims = json!({"sub": "ann", "exp": exp, "limits": limits});
        let answer = judged_json(&claims);
        assert!(
            matches!(answer, Err(Problem::Claims(_))),
            "{claims}: {answer:?}"
        );
    }
}

#[test]
fn claims_of_another_kind_are_said_to_be() {
    for (claims, good) in [
        (json!({"sub": "ann", "exp": NOON + 60}), true),
        (json!({"sub": "ann", "exp": 1_800_000_060.75}), true),
        (
            json!({"sub": "ann", "exp": NOON + 60, "mine": {"a": [1]}}),
            true,
        ),
        (json!({"sub": "ann", "exp": NOON + 60, "role": null}), true),
        (json!({"sub": "ann", "exp": "soon"}), false),
        (json!({"sub": "ann", "exp": -1}), false),
        (json!({"sub": "ann", "exp": 1e300}), false),
        (json!({"sub": 7, "exp": NOON + 60}), false),
        (
            json!({"sub": "ann", "exp": NOON + 60, "publish": "a"}),
            false,
        ),
        (
            json!({"sub": "ann", "exp": NOON + 60, "publish": [1]}),
            false,
        ),
        (json!({"sub": "ann", "exp": NOON + 60, "aud": {}}), false),
        (json!(["sub"]), false),
        (json!("ann"), false),
    ] {
        let answer = judged_json(&claims);
        assert_eq!(answer.is_ok(), good, "{claims}: {answer:?}");
        let said = matches!(answer, Ok(_) | Err(Problem::Claims(_)));
        assert!(said, "{claims}: {answer:?}");
    }
}

/// A set of the public keys of `named`, each under its name.
fn set(named: &[(&str, &pair::Texts)]) -> String {
    let keys = named.iter().map(|(name, texts)| {
        let mut jwk = texts.jwk.clone();
        jwk["kid"] = json!(name);
        jwk
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

fn signed(texts: &pair::Texts, id: Option<&str>) -> String {
    let key = SigningKey::pem(&texts.private).expect("a private key");
    let key = key.named(id.map(Into::into));
    key.sign(&ann()).expect("it can be signed")
}

#[test]
fn a_set_has_each_key_under_its_name() {
    let (rsa, ec) = (texts(Algorithm::Rs256), texts(Algorithm::Es256));
    let (ed, other) = (texts(Algorithm::EdDsa), texts(Algorithm::EdDsa));
    let text = set(&[("r", &rsa), ("e", &ec), ("d", &ed), ("o", &other)]);
    let (keys, unused) = KeySet::jwks(&text).expect("four keys");
    assert_eq!(unused, 0);
    let jwt = Jwt::new(keys, Rules::default());
    for (texts, id, good) in [
        (&rsa, Some("r"), true),
        (&ec, Some("e"), true),
        (&ed, Some("d"), true),
        (&other, Some("o"), true),
        (&other, None, true),
        (&ed, Some("o"), false),
        (&ed, Some("r"), false),
        (&ed, Some("unheard"), false),
        (&texts(Algorithm::EdDsa), Some("d"), false),
    ] {
        let answer = jwt.verify(&signed(texts, id), noon());
        assert_eq!(answer.is_ok(), good, "{id:?}: {answer:?}");
    }
    let unheard = jwt.verify(&signed(&ed, Some("unheard")), noon());
    assert!(matches!(unheard, Err(Problem::UnknownKey)), "{unheard:?}");
}

#[test]
fn what_is_of_no_use_in_a_set_costs_the_others_nothing() {
    let ed = texts(Algorithm::EdDsa);
    let with = |change: fn(&mut serde_json::Value)| {
        let mut jwk = ed.jwk.clone();
        change(&mut jwk);
        jwk
    };
    let no_use = [
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "unheard", "x": 1}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!(7),
        pair::p384().jwk,
        with(|jwk| jwk["use"] = json!("enc")),
        with(|jwk| jwk["alg"] = json!("HS256")),
        with(|jwk| jwk["x"] = json!("AAAA")),
    ];
    let text = |keys: &[serde_json::Value]| json!({"keys": keys}).to_string();
    for key in &no_use {
        let alone = KeySet::jwks(&text(std::slice::from_ref(key)));
        assert_eq!(alone.map(drop), Err(BadKey::NoneOfUse), "{key}");
    }
    let named = with(|jwk| jwk["alg"] = json!("EdDSA"));
    let all: Vec<_> = no_use.iter().cloned().chain([named]).collect();
    let (keys, unused) = KeySet::jwks(&text(&all)).expect("one is of use");
    assert_eq!((keys.iter().len(), unused), (1, no_use.len()));
    for (count, good) in [
        (KEYS_MAX - 1, true),
        (KEYS_MAX, true),
        (KEYS_MAX + 1, false),
    ] {
        let many = vec![ed.jwk.clone(); count];
        assert_eq!(KeySet::jwks(&text(&many)).is_ok(), good, "{count}");
    }
    for text in ["", "[]", "{}", r#"{"keys": 7}"#, r#"{"keys": []}"#] {
        assert!(KeySet::jwks(text).is_err(), "{text}");
    }
}

#[test]
fn keys_that_are_none_are_refused_with_what_to_do() {
    let ed = texts(Algorithm::EdDsa);
    assert_eq!(Key::pem(&ed.private).map(drop), Err(BadKey::Private));
    assert_eq!(Key::pem(&pair::p384().public).map(drop), Err(BadKey::Size));
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(Key::pem(certificate).map(drop), Err(BadKey::Certificate));
    for text in ["", "a secret", &ed.public[40..]] {
        assert_eq!(Key::pem(text).map(drop), Err(BadKey::NoPem), "{text}");
        assert!(SigningKey::pem(text).is_err(), "{text}");
    }
    assert!(SigningKey::pem(&ed.public).is_err());
}

#[test]
fn what_is_longer_than_any_token_is_not_looked_at() {
    for (bytes, long) in [(TOKEN_BYTES_MAX, false), (TOKEN_BYTES_MAX + 1, true)] {
        let answer = with_secret(Rules::default()).verify(&"a".repeat(bytes), noon());
        assert_eq!(matches!(answer, Err(Problem::TooLong)), long, "{answer:?}");
    }
}

proptest! {
    #[test]
    fn any_token_is_answered(token: String) {
        let answer = with_secret(Rules::default()).verify(&token, noon());
        prop_assert!(answer.is_err());
    }

    #[test]
    fn any_claims_are_answered(json in r#"[{}\[\]",:a-z0-9.]{0,40}"#) {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(json));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let answer = with_secret(Rules::default()).verify(&token, noon());
        prop_assert!(answer.is_err());
    }
}

const NOON: u64 = 1_800_000_000;
