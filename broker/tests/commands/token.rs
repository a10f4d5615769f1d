//! Tokens that are made on the command line: what they say, who takes them, what is said about them.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::program::{Ended, Program};

const SECRET: [(&str, &str); 1] = [("BROKER_JWT_SECRET", "the secret of signed tokens")];
const OTHER: [(&str, &str); 1] = [("BROKER_JWT_SECRET", "somebody else's secret")];

async fn token(args: &[&str], variables: &[(&str, &str)]) -> Result<Ended> {
    let args: Vec<&str> = ["token"].iter().chain(args).copied().collect();
    Program::start_with(&args, variables)?.ended().await
}

async fn create(args: &[&str]) -> Result<String> {
    let args: Vec<&str> = ["create"].iter().chain(args).copied().collect();
    let ended = token(&args, &SECRET).await?.with(0)?;
    ensure!(ended.errors.is_empty(), "{ended:?}");
    Ok(ended.output.trim_end().to_owned())
}

/// A file of this test's, gone with this value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Result<Self> {
        let name = format!("broker-token-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text)?;
        Ok(Self(path))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn what_was_asked_for_is_in_the_token() -> Result<()> {
    let args = [
        "--sub",
        "ann",
        "--publish",
        "rooms/+/chat",
        "--publish",
        "users/ann/#",
        "--subscribe",
        "",
        "--ttl",
        "10m",
        "--jti",
        "t1",
        "--iss",
        "us",
        "--aud",
        "them",
        "--kid",
        "k1",
        "--reliable-packets-per-s",
        "5",
        "--subscriptions-max",
        "7",
    ];
    let made = create(&args).await?;
    let inspect = ["inspect", &made, "--aud", "them", "--iss", "us"];
    let ended = token(&inspect, &SECRET).await?.with(0)?;
    for line in [
        "algorithm HS256, key \"k1\"\n",
        "subject   ann\n",
        "role      client\n",
        "publish   rooms/+/chat  users/ann/#\n",
        "subscribe nothing\n",
        "limits    reliable_packets_per_s=5  subscriptions_max=7\n",
        "issuer    us\n",
        "audience  them\n",
        "name      t1\n",
        "signature good, by BROKER_JWT_SECRET\n",
        "good ",
    ] {
        ensure!(ended.output.contains(line), "{line:?} in {ended:#?}");
    }
    ensure!(ended.output.contains(" GMT, in 9 min\n"), "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_a_server_would_refuse_is_explained() -> Result<()> {
    let made = create(&["--sub", "ann", "--aud", "them"]).await?;
    let later = create(&["--sub", "ann", "--not-before", "1h", "--ttl", "2h"]).await?;
    let plain = create(&["--sub", "ann"]).await?;
    let cut = plain.rsplit_once('.').context("three parts")?.0;
    for (args, variables, said) in [
        (&["inspect", &made][..], &SECRET, "another audience"),
        (
            &["inspect", &plain, "--iss", "us"],
            &SECRET,
            "auth.jwt.issuer",
        ),
        (
            &["inspect", &plain],
            &OTHER,
            "signature not by BROKER_JWT_SECRET",
        ),
        (&["inspect", &plain], &OTHER, "line end"),
        (
            &["inspect", &plain, "--algorithm", "HS512"],
            &SECRET,
            "auth.jwt.secret_algorithm",
        ),
        (&["inspect", &later], &SECRET, "(nbf)"),
        (&["inspect", cut], &SECRET, "header.claims.signature"),
        (&["inspect", "garbage"], &SECRET, "no signed token"),
    ] {
        let ended = token(args, variables).await?.with(1)?;
        ensure!(ended.output.contains(said), "{said:?} in {ended:#?}");
        ensure!(ended.output.contains("refused "), "{ended:#?}");
    }
    let unchecked = token(&["inspect", &plain], &[]).await?.with(0)?;
    ensure!(
        unchecked.output.contains("not checked: name a key"),
        "{unchecked:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_key_pair_makes_and_checks() -> Result<()> {
    let private = File::new("key.pem", ED25519_PRIVATE)?;
    let public = File::new("key.pub.pem", ED25519_PUBLIC)?;
    let made = create(&["--sub", "ann", "--key", private.path()]).await?;
    let inspect = ["inspect", &made, "--key", public.path()];
    let ended = token(&inspect, &SECRET).await?.with(0)?;
    ensure!(ended.output.contains("algorithm EdDSA\n"), "{ended:#?}");
    ensure!(ended.output.contains("signature good, by "), "{ended:#?}");

    let inspect = ["inspect", &made, "--key", private.path()];
    let ended = token(&inspect, &[]).await?.with(64)?;
    ensure!(
        ended.errors.contains("openssl pkey -in FILE -pubout"),
        "{ended:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn bad_usage_says_what_to_do_and_no_secret() -> Result<()> {
    let public = File::new("wrong.pem", ED25519_PUBLIC)?;
    for (args, variables, said) in [
        (
            &["create", "--sub", "ann"][..],
            &[][..],
            "BROKER_JWT_SECRET",
        ),
        (&["create", "--sub", ""], &SECRET, "subject"),
        (
            &["create", "--sub", "ann", "--role", "king"],
            &SECRET,
            "client, server and hub",
        ),
        (
            &["create", "--sub", "ann", "--publish", "a#"],
            &SECRET,
            "publish: ",
        ),
        (
            &["create", "--sub", "ann", "--ttl", "soon"],
            &SECRET,
            "a duration",
        ),
        (
            &["create", "--sub", "ann", "--algorithm", "none"],
            &SECRET,
            "HS256",
        ),
        (
            &["create", "--sub", "ann", "--key", "/nowhere"],
            &SECRET,
            "/nowhere",
        ),
        (
            &["create", "--sub", "ann", "--key", public.path()],
            &SECRET,
            "a private key",
        ),
        (
            &["create", "--sub", "ann"],
            &[("BROKER_JWT_SECRET", "hunter2")],
            "at least 16",
        ),
        (&["create"], &SECRET, "--sub"),
    ] {
        let ended = token(args, variables).await?.with(64)?;
        ensure!(ended.errors.contains(said), "{said:?} in {ended:#?}");
        ensure!(ended.output.is_empty(), "{ended:#?}");
        for (_, secret) in SECRET.iter().chain(&[("", "hunter2")]) {
            ensure!(!ended.errors.contains(secret), "{ended:#?}");
        }
    }
    Ok(())
}

/// Made for this test alone.
const ED25519_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINUgUpJOXnWEVLSnM+aSJSiA7QE8aB1IUDjM9KBE9V1u
-----END PRIVATE KEY-----
";
const ED25519_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAM9e9m/JDQF0vAhNH7fO/dnygDRGVAP8IIJVaOdoDSAg=
-----END PUBLIC KEY-----
";
