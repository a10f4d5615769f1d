//! What a server must know to be taken for one of the cluster's.

use super::*;
use crate::suite::Subject;
use proptest::prelude::*;

const SECRET: &str = "sixteen bytes or more";

fn cluster_secret() -> ClusterSecret {
    ClusterSecret::parse(SECRET).expect("long enough")
}

fn link() -> Link {
    Link {
        dialer_alias: 128,
        acceptor_alias: 64,
        dialer_fingerprint: [1; 32],
        acceptor_fingerprint: [2; 32],
    }
}

fn packet<'a>(body: &'a [u8], link: &'a Link) -> Credentials<'a> {
    Credentials::Packet {
        alias: link.dialer_alias,
        body,
        link,
    }
}

#[tokio::test]
async fn passes_the_suite() {
    for raw_allowed in [false, true] {
        let subject = Subject {
            authenticator: Arc::new(Cluster::new(cluster_secret()).allow_raw_secret(raw_allowed)),
            roles: &[Role::Server, Role::Hub],
            open: false,
            secrets: vec![SECRET],
            upgrade_token: Box::new(|role| cluster_secret().uplink_token(role, SystemTime::now())),
            packet_body: Box::new(|_, link| {
                cluster_secret().link_proof(Side::Dialer, link).to_vec()
            }),
        };
        subject.check().await;
    }
}

#[tokio::test]
async fn the_raw_secret_passes_only_where_it_is_allowed() {
    let link = link();
    for (allowed, body, good) in [
        (false, SECRET, false),
        (true, SECRET, true),
        (true, "sixteen bytes or mor", false),
    ] {
        let authenticator = Cluster::new(cluster_secret()).allow_raw_secret(allowed);
        let credentials = packet(body.as_bytes(), &link);
        let answer = authenticator.authenticate(Role::Server, credentials).await;
        assert_eq!(answer.is_ok(), good, "{allowed} {body}");
    }
}

#[test]
fn uplink_tokens_end() {
    let secret = cluster_secret();
    let then = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let token = secret.uplink_token(Role::Server, then);
    let last = then + UPLINK_TOKEN_LIFETIME + CLOCK_SKEW_MAX;
    assert_eq!(
        secret.verify_uplink_token(&token, Role::Server, last),
        Ok(())
    );
    let late = secret.verify_uplink_token(&token, Role::Server, last + Duration::from_secs(1));
    assert_eq!(late, Err(Refusal::Invalid));
}

#[test]
fn a_coordinator_an_hour_ahead_refuses_a_server_and_one_an_hour_behind_takes_it() {
    let secret = cluster_secret();
    let then = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let token = secret.uplink_token(Role::Server, then);
    let hour = Duration::from_secs(3_600);
    let ahead = secret.verify_uplink_token(&token, Role::Server, then + hour);
    assert_eq!(ahead, Err(Refusal::Invalid));
    let behind = secret.verify_uplink_token(&token, Role::Server, then - hour);
    assert_eq!(behind, Ok(()));
}

#[test]
fn uplink_tokens_are_for_one_role_and_one_cluster() {
    let secret = cluster_secret();
    let now = SystemTime::now();
    let token = secret.uplink_token(Role::Server, now);
    let as_hub = secret.verify_uplink_token(&token, Role::Hub, now);
    assert_eq!(as_hub, Err(Refusal::Forbidden));
    let other = ClusterSecret::parse("another cluster's secret").expect("long enough");
    let elsewhere = other.verify_uplink_token(&token, Role::Server, now);
    assert_eq!(elsewhere, Err(Refusal::Invalid));
}

#[test]
fn an_unsigned_token_is_none() {
    // {"alg":"none","typ":"JWT"} . {"role":"server","exp":4102444800} .
    let token = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.\
                 eyJyb2xlIjoic2VydmVyIiwiZXhwIjo0MTAyNDQ0ODAwfQ.";
    let answer = cluster_secret().verify_uplink_token(token, Role::Server, SystemTime::now());
    assert_eq!(answer, Err(Refusal::Invalid));
}

#[test]
fn a_proof_is_good_for_one_side_of_one_link() {
    let secret = cluster_secret();
    let proof = secret.link_proof(Side::Dialer, &link());
    assert!(secret.verify_link_proof(Side::Dialer, &link(), &proof));
    assert!(
        !secret.verify_link_proof(Side::Acceptor, &link(), &proof),
        "mirrored"
    );
    assert!(!secret.verify_link_proof(Side::Dialer, &link(), &proof[..31]));
    assert!(!secret.verify_link_proof(Side::Dialer, &link(), &[]));
    let mut others = [link(); 4];
    others[0].dialer_alias += 1;
    others[1].acceptor_alias += 1;
    others[2].dialer_fingerprint[31] ^= 1;
    others[3].acceptor_fingerprint[0] ^= 1;
    for other in others {
        assert!(
            !secret.verify_link_proof(Side::Dialer, &other, &proof),
            "{other:?}"
        );
    }
    let stranger = ClusterSecret::parse("another cluster's secret").expect("long enough");
    assert!(!stranger.verify_link_proof(Side::Dialer, &link(), &proof));
}

#[tokio::test]
async fn a_proof_is_good_for_the_alias_that_it_names() {
    let link = link();
    let body = cluster_secret().link_proof(Side::Dialer, &link);
    let credentials = Credentials::Packet {
        alias: link.dialer_alias + 1,
        body: &body,
        link: &link,
    };
    let answer = Cluster::new(cluster_secret())
        .authenticate(Role::Server, credentials)
        .await;
    assert_eq!(answer, Err(Refusal::Invalid));
}

#[test]
fn keys_are_fixed_so_that_versions_agree() {
    // Another build with the same secret must come to the same proof: this one is HMAC-SHA256
    // under HMAC-SHA256(secret, "webrtc-broker.1 link proof").
    let proof = cluster_secret().link_proof(Side::Acceptor, &link());
    let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN_PROOF);
}

#[test]
fn generated_secrets_differ() {
    let [one, other] = [ClusterSecret::generate(), ClusterSecret::generate()];
    let proof = one.link_proof(Side::Dialer, &link());
    assert!(!other.verify_link_proof(Side::Dialer, &link(), &proof));
}

proptest! {
    #[test]
    fn any_token_is_answered(token: String) {
        let answer = cluster_secret().verify_uplink_token(&token, Role::Server, SystemTime::now());
        prop_assert_eq!(answer, Err(Refusal::Invalid));
    }

    #[test]
    fn any_proof_is_answered(proof: Vec<u8>) {
        prop_assert!(!cluster_secret().verify_link_proof(Side::Dialer, &link(), &proof));
    }
}

const GOLDEN_PROOF: &str = "53214287f74fb649b65dd258b0593e4f3a006da1838c418715fe71f026d111b0";
