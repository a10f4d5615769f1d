//! When keys are read, and what becomes of tokens meanwhile. In virtual time.

use std::{collections::VecDeque, time::SystemTime};

use serde_json::json;

use super::*;
use crate::jwt::{
    Jwt, Rules, Verified,
    claims::Seconds,
    keys::Algorithm,
    signing::SigningKey,
    tests::pair::{Texts, texts},
};
use crate::{double::Double, front::Front};

/// Says one thing after the other, and the last one for ever; each after a moment.
#[derive(Debug)]
struct Script {
    says: Mutex<VecDeque<Result<String, Trouble>>>,
    takes: Duration,
    readings: Mutex<u32>,
}

#[async_trait]
impl Publisher for Script {
    async fn read(&self) -> Result<String, Trouble> {
        *self.readings.lock() += 1;
        tokio::time::sleep(self.takes).await;
        let mut says = self.says.lock();
        let said = says.front().cloned().expect("something to say");
        if says.len() > 1 {
            says.pop_front();
        }
        said
    }
}

struct Stage {
    script: Arc<Script>,
    jwt: Jwt,
    metrics: Metrics,
}

impl Stage {
    fn new(says: Vec<Result<String, Trouble>>) -> Self {
        Self::taking(Duration::from_millis(100), says)
    }

    fn taking(takes: Duration, says: Vec<Result<String, Trouble>>) -> Self {
        let script = Arc::new(Script {
            says: Mutex::new(says.into()),
            takes,
            readings: Mutex::new(0),
        });
        let metrics = Metrics::default();
        let publisher = Arc::clone(&script);
        let published = Published::new(publisher, None, REFRESH, metrics.clone());
        let jwt = Jwt::new(KeySet::default(), Rules::default()).with_published(published);
        Self {
            script,
            jwt,
            metrics,
        }
    }

    async fn shows(&self, token: &str) -> Result<Verified, Problem> {
        self.jwt.examine(token, SystemTime::now()).await
    }

    fn readings(&self) -> u32 {
        *self.script.readings.lock()
    }
}

fn set(named: &[(&str, &Texts)]) -> Result<String, Trouble> {
    let keys = named.iter().map(|(name, texts)| {
        let mut jwk = texts.jwk.clone();
        jwk["kid"] = json!(name);
        jwk
    });
    Ok(json!({"keys": keys.collect::<Vec<_>>()}).to_string())
}

fn token(texts: &Texts, id: &str) -> String {
    let claims = Claims {
        sub: Some("ann".into()),
        exp: Some(Seconds::of(SystemTime::now() + Duration::from_hours(1))),
        ..Claims::default()
    };
    let key = SigningKey::pem(&texts.private).expect("a private key");
    key.named(Some(id.into()))
        .sign(&claims)
        .expect("it can be signed")
}

fn pair() -> Texts {
    texts(Algorithm::EdDsa)
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_when_they_are_needed() {
    let one = pair();
    let stage = Stage::new(vec![set(&[("1", &one)])]);
    assert_eq!(stage.readings(), 0);
    for _ in 0..3 {
        let shown = stage.shows(&token(&one, "1")).await;
        assert!(shown.is_ok(), "{shown:?}");
    }
    assert_eq!(stage.readings(), 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_come_together_wait_for_one_reading() {
    let one = pair();
    let stage = Arc::new(Stage::new(vec![set(&[("1", &one)])]));
    let token: Arc<str> = token(&one, "1").into();
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let (stage, token) = (Arc::clone(&stage), Arc::clone(&token));
        all.spawn(async move { stage.shows(&token).await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|good| good));
    assert_eq!(stage.readings(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_by_its_first_token_and_not_more_often_than_allowed() {
    let (one, two, three) = (pair(), pair(), pair());
    let stage = Stage::new(vec![
        set(&[("1", &one)]),
        set(&[("1", &one), ("2", &two)]),
        set(&[("1", &one), ("2", &two), ("3", &three)]),
    ]);
    let begun = Instant::now();
    stage.shows(&token(&one, "1")).await.expect("the first key");
    // Just before the pause is over, at its end, and after.
    tokio::time::sleep_until(begun + PAUSE - Duration::from_millis(1)).await;
    let early = stage.shows(&token(&two, "2")).await;
    assert!(matches!(early, Err(Problem::UnknownKey)), "{early:?}");
    assert_eq!(
        (stage.readings(), stage.metrics.key_sets(KeySets::TooSoon)),
        (1, 1)
    );
    tokio::time::sleep_until(begun + PAUSE).await;
    let due = stage.shows(&token(&two, "2")).await;
    assert!(due.is_ok(), "{due:?}");
    assert_eq!(stage.readings(), 2);
    // A stranger's tokens are answered, whatever key they name, and read nothing more.
    for _ in 0..100 {
        let stranger = stage.shows(&token(&pair(), "stranger")).await;
        assert!(matches!(stranger, Err(Problem::UnknownKey)), "{stranger:?}");
    }
    assert_eq!(stage.readings(), 2);
    tokio::time::sleep(PAUSE).await;
    assert!(stage.shows(&token(&three, "3")).await.is_ok());
    assert_eq!(stage.metrics.key_sets(KeySets::Read), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_get_so_old_and_nobody_waits_for_newer_ones() {
    let (one, two) = (pair(), pair());
    let stage = Stage::new(vec![set(&[("1", &one)]), set(&[("2", &two)])]);
    let begun = Instant::now();
    let old = token(&one, "1");
    stage.shows(&old).await.expect("the first key");
    tokio::time::sleep_until(begun + REFRESH - Duration::from_millis(1)).await;
    assert!(stage.shows(&old).await.is_ok());
    assert_eq!(stage.readings(), 1);
    tokio::time::sleep_until(begun + REFRESH).await;
    let before = Instant::now();
    assert!(
        stage.shows(&old).await.is_ok(),
        "by the keys that are there"
    );
    assert_eq!(Instant::now(), before, "without waiting");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.readings(), 2);
    let gone = stage.shows(&old).await;
    assert!(matches!(gone, Err(Problem::UnknownKey)), "{gone:?}");
    assert!(stage.shows(&token(&two, "2")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_stay_while_there_are_no_new_ones() {
    let (one, two) = (pair(), pair());
    let stage = Stage::new(vec![
        set(&[("1", &one)]),
        Err(Trouble::Connection),
        Ok("an error page".into()),
        Ok(r#"{"keys": []}"#.into()),
        set(&[("2", &two)]),
    ]);
    let (known, new) = (token(&one, "1"), token(&two, "2"));
    assert!(stage.shows(&known).await.is_ok());
    for failed in 1..=3 {
        tokio::time::sleep(PAUSE).await;
        // It may be good: whoever shows it may try again.
        let shown = stage.shows(&new).await.expect_err("nobody can tell");
        assert_eq!(shown.refusal(), crate::Refusal::Unavailable, "{shown}");
        assert_eq!(stage.metrics.key_sets(KeySets::Failed), failed);
        assert!(stage.shows(&known).await.is_ok());
    }
    tokio::time::sleep(PAUSE).await;
    assert!(stage.shows(&new).await.is_ok());
    let gone = stage.shows(&known).await.expect_err("its key has gone");
    assert_eq!(gone.refusal(), crate::Refusal::Invalid, "{gone}");
}

#[tokio::test(start_paused = true)]
async fn without_any_keys_nobody_can_tell() {
    let one = pair();
    let stage = Stage::new(vec![Err(Trouble::Connection), set(&[("1", &one)])]);
    let good = token(&one, "1");
    for _ in 0..10 {
        let shown = stage.shows(&good).await.expect_err("there are no keys");
        assert_eq!(shown.refusal(), crate::Refusal::Unavailable, "{shown}");
    }
    assert_eq!(stage.readings(), 1, "not for each of them");
    tokio::time::sleep(PAUSE).await;
    assert!(stage.shows(&good).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_says_nothing_is_given_up() {
    let one = pair();
    let stage = Stage::taking(Duration::from_hours(1), vec![set(&[("1", &one)])]);
    let begun = Instant::now();
    let shown = stage.shows(&token(&one, "1")).await;
    assert!(matches!(shown, Err(Problem::NoKeys)), "{shown:?}");
    assert!(begun.elapsed() <= READING_TIMEOUT + Duration::from_millis(10));
}

#[tokio::test]
async fn a_file_may_be_replaced() {
    let (one, two) = (pair(), pair());
    let name = format!("jwks-{}.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, set(&[("1", &one)]).expect("a set")).expect("a file");
    let published = Published::new(
        Arc::new(InFile(path.clone())),
        None,
        Duration::ZERO,
        Metrics::default(),
    );
    let jwt = Jwt::new(KeySet::default(), Rules::default()).with_published(published);
    let now = SystemTime::now();
    jwt.examine(&token(&one, "1"), now)
        .await
        .expect("the first key");
    fs::write(&path, set(&[("2", &two)]).expect("a set")).expect("a file");
    jwt.examine(&token(&two, "2"), now)
        .await
        .expect("the second key");
    fs::remove_file(&path).expect("the file");
}

#[tokio::test]
async fn an_encrypted_publisher_is_believed_by_its_certificate() {
    let published = set(&[("1", &pair())]).expect("a set");
    let said = published.clone();
    let double = Double::start(move |_| std::future::ready((200, said.clone()))).await;
    let front = Front::start(double.addr, "http/1.1").await;
    let reads = async |ca: &std::path::Path| {
        let url = format!("https://{}/keys", front.addr);
        let address = Address::parse(&url, ["http", "https"]).expect("an address");
        let trust = Trust::file(ca).expect("an authority");
        AtAddress::new(address, &trust).read().await
    };
    assert_eq!(reads(&front.ca).await, Ok(published));
    assert_eq!(reads(&front.stranger).await, Err(Trouble::Untrusted));
}
