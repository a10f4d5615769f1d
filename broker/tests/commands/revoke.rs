//! Somebody is shut out on the command line, and stays away.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use auth::{
    SharedSecret,
    jwt::{
        Jwt, Rules,
        claims::{Claims, Seconds},
        keys::{Algorithm, Key, KeySet},
        signing::SigningKey,
    },
};
use proto::Reason;
use tests::{
    cluster::{Cluster, Setup},
    front::Front,
    member::{self, Member},
    pki::{Authority, Folder, Validity},
};

use crate::program::{Ended, Program};

const TOKENS: &str = "the secret of signed tokens";
const ADMIN: &str = "the operator's own secret";

fn setup() -> Result<Setup> {
    let keys = KeySet::new([Key::secret(Algorithm::Hs256, &TOKENS.into())])?;
    Ok(Setup {
        clients: Arc::new(Jwt::new(keys, Rules::default())),
        coordinator: Arc::new(|config| {
            config.admin_secret = Some(SharedSecret::new(&ADMIN.into()));
        }),
        ..Setup::default()
    })
}

/// Somebody by this name, with a token that has a name too.
fn token(name: &str, id: &str) -> Result<String> {
    let claims = Claims {
        sub: Some(name.into()),
        jti: Some(id.into()),
        exp: Some(Seconds::of(SystemTime::now() + Duration::from_hours(1))),
        ..Claims::default()
    };
    Ok(SigningKey::secret(Algorithm::Hs256, &TOKENS.into()).sign(&claims)?)
}

fn as_whom(cluster: &Cluster, name: &str, id: &str) -> Result<client::Config> {
    Ok(member::config(&cluster.url())?.with_token(token(name, id)?))
}

async fn join(cluster: &Cluster, name: &str, id: &str) -> Result<Member> {
    Member::join_as(&as_whom(cluster, name, id)?).await
}

async fn revoke(cluster: &Cluster, args: &[&str], secret: Option<&str>) -> Result<Ended> {
    revoke_at(&format!("http://{}", cluster.admin_addr()), args, secret).await
}

async fn revoke_at(admin: &str, args: &[&str], secret: Option<&str>) -> Result<Ended> {
    let args: Vec<&str> = ["revoke"].iter().chain(args).copied().collect();
    let mut variables = vec![("BROKER_ADMIN", admin)];
    variables.extend(secret.map(|secret| ("BROKER_ADMIN_SECRET", secret)));
    Program::start_with(&args, &variables)?.ended().await
}

#[tokio::test]
async fn whoever_is_named_is_gone_and_the_others_stay() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let mut ann = join(&cluster, "ann", "a").await?;
    let mut bob = join(&cluster, "bob", "b1").await?;
    let mut other_bob = join(&cluster, "bob", "b2").await?;
    let mut cid = join(&cluster, "cid", "c").await?;
    let alias = cid.alias().to_string();

    for (args, said, gone) in [
        (["--subject", "ann"], "subject ann", &mut ann),
        (["--token-id", "b1"], "token b1", &mut bob),
        (["--alias", &alias], "alias ", &mut cid),
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--for", "10m"]).collect();
        let ended = revoke(&cluster, &args, Some(ADMIN)).await?.with(0)?;
        ensure!(ended.output.starts_with(said), "{ended:?}");
        ensure!(ended.output.contains(" is revoked until "), "{ended:?}");
        let reason = gone.stopped().await?;
        ensure!(reason == Reason::Revoked, "{said}: {reason:?}");
    }
    other_bob.settle().await?;
    let mut again = Member::start(&as_whom(&cluster, "ann", "another")?)?;
    ensure!(again.stopped().await? == Reason::Revoked);

    let ended = revoke(&cluster, &["--subject", "ann", "--take-back"], Some(ADMIN)).await?;
    ensure!(ended.with(0)?.output == "subject ann may come again\n");
    join(&cluster, "ann", "another").await?;
    cluster.stop().await
}

#[tokio::test]
async fn what_does_not_work_is_said_and_no_secret() -> Result<()> {
    let cluster = setup()?.start(0).await?;
    let wrong = "somebody else's secret";
    let ann = ["--subject", "ann"];
    let both = ["--subject", "ann", "--alias", "7"];
    let file = ["--subject", "ann", "--admin-secret-file", "/nowhere"];
    let soon = ["--subject", "ann", "--for", "soon"];
    let scheme = ["--subject", "ann", "--admin", "ftp://127.0.0.1"];
    let nobody = ["--subject", "ann", "--admin", "http://127.0.0.1:1"];
    for (args, secret, code, said) in [
        (&ann[..], None, 1, "another admin secret"),
        (&ann, Some(wrong), 1, "another admin secret"),
        (&["--subject", ""], Some(ADMIN), 1, "1 to 1024 bytes"),
        (&["--alias", "0"], Some(ADMIN), 1, "a number above 0"),
        (&ann, Some("short"), 64, "at least 16"),
        (&both, Some(ADMIN), 64, "cannot be used with"),
        (&[], Some(ADMIN), 64, "--subject"),
        (&soon, Some(ADMIN), 64, "expected"),
        (&file, None, 64, "/nowhere"),
        (&scheme, Some(ADMIN), 64, "expected http://"),
        (&nobody, Some(ADMIN), 1, "http://127.0.0.1:1"),
    ] {
        let ended = revoke(&cluster, args, secret).await?;
        let ended = ended.with(code)?;
        ensure!(ended.errors.contains(said), "{said:?} in {ended:#?}");
        let shown = secret.is_some_and(|secret| ended.errors.contains(secret));
        ensure!(!shown, "{ended:#?}");
    }
    cluster.stop().await
}

#[tokio::test]
async fn behind_https_only_the_named_authority_is_believed() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let mut ann = join(&cluster, "ann", "a").await?;
    let folder = Folder::new()?;
    let authority = Authority::new("ours")?;
    let pair = authority.issue(&folder, "proxy", &["127.0.0.1"], Validity::Now)?;
    let front = Front::start(cluster.admin_addr(), pair).await?;
    let admin = format!("https://{}", front.addr());
    let ours = authority.write(&folder, "ca.pem")?;
    let stranger = Authority::new("a stranger's")?.write(&folder, "strange.pem")?;
    let [ours, stranger] = [&ours, &stranger].map(|file| file.display().to_string());

    let args = ["--subject", "ann", "--ca-file", &stranger];
    let ended = revoke_at(&admin, &args, Some(ADMIN)).await?.with(1)?;
    ensure!(ended.errors.contains("--ca-file"), "{ended:?}");
    ensure!(!ended.errors.contains(ADMIN), "{ended:?}");
    ann.settle().await?;

    let args = ["--subject", "ann", "--ca-file", &ours];
    let ended = revoke_at(&admin, &args, Some(ADMIN)).await?.with(0)?;
    ensure!(
        ended.output.starts_with("subject ann is revoked until "),
        "{ended:?}"
    );
    ensure!(ann.stopped().await? == Reason::Revoked);
    cluster.stop().await
}
