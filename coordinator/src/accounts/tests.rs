//! Registering, logging in, going away; and what the file remembers of it.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use super::*;

const KEY: &str = "ann's key, of thirty-two bytes or more";
const OTHER: &str = "bob's key, of thirty-two bytes or more";

/// A file that is gone with this value.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("accounts-{}-{nth}.redb", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Not every test gets as far as making it.
        drop(std::fs::remove_file(&self.0));
    }
}

fn secret() -> ClusterSecret {
    ClusterSecret::parse("the secret of this cluster").expect("long enough")
}

fn open_with(path: &Path, change: impl FnOnce(&mut Config)) -> Accounts {
    let mut config = Config::new(path.into());
    config.keys_per_s = 1_000_000;
    change(&mut config);
    Accounts::open(config, secret(), Metrics::default(), TaskTracker::new()).expect("a store")
}

fn open(path: &Path) -> Accounts {
    open_with(path, |_| {})
}

fn new(client: &str, key: &str) -> Registration {
    Registration {
        client: client.into(),
        key: Key(key.into()),
        publish: None,
        subscribe: None,
    }
}

async fn login(accounts: &Accounts, client: &str, key: &str) -> Result<Login, Refused> {
    accounts.login(client.into(), Key(key.into())).await
}

/// Whether the coordinator takes the token.
fn is_in_force(accounts: &Accounts, login: &Login) -> bool {
    let standing = Arc::clone(&accounts.0.config.standing);
    let registered = Registered::new(&secret()).with_standing(standing);
    registered.verify(&login.token, SystemTime::now()).is_ok()
}

#[tokio::test]
async fn who_has_registered_may_log_in_with_its_key() {
    let file = File::new();
    let accounts = open(&file.0);
    accounts
        .register(new("ann", KEY))
        .await
        .expect("nobody has it");
    let again = accounts.register(new("ann", OTHER)).await;
    assert!(matches!(again, Err(Refused::Taken)), "{again:?}");
    for (client, key) in [
        ("ann", OTHER),
        ("bob", KEY),
        ("ann", ""),
        ("", KEY),
        ("Ann", KEY),
    ] {
        let wrong = login(&accounts, client, key).await;
        assert!(matches!(wrong, Err(Refused::Wrong)), "{client} {wrong:?}");
    }
    let good = login(&accounts, "ann", KEY).await.expect("the right key");
    assert!(is_in_force(&accounts, &good));
    assert_eq!(accounts.0.store.count(), 1);
}

#[tokio::test]
async fn one_token_is_in_force_the_last_one() {
    let file = File::new();
    let accounts = open(&file.0);
    for client in ["ann", "bob"] {
        accounts
            .register(new(client, KEY))
            .await
            .expect("nobody has it");
    }
    let bob = login(&accounts, "bob", KEY).await.expect("the right key");
    let first = login(&accounts, "ann", KEY).await.expect("the right key");
    let second = login(&accounts, "ann", KEY).await.expect("the right key");
    let in_force = [&bob, &first, &second].map(|login| is_in_force(&accounts, login));
    assert_eq!(in_force, [true, false, true]);

    drop(accounts);
    let accounts = open(&file.0);
    let in_force = [&bob, &first, &second].map(|login| is_in_force(&accounts, login));
    assert_eq!(in_force, [true, false, true], "after a restart");

    let gone = accounts
        .unregister("ann".into())
        .await
        .expect("it is there");
    assert!(gone.is_some());
    let in_force = [&bob, &first, &second].map(|login| is_in_force(&accounts, login));
    assert_eq!(in_force, [true, false, false], "after ann went");
    let wrong = login(&accounts, "ann", KEY).await;
    assert!(matches!(wrong, Err(Refused::Wrong)), "{wrong:?}");
    let unknown = accounts.unregister("ann".into()).await;
    assert!(matches!(unknown, Err(Refused::Unknown)), "{unknown:?}");
}

#[tokio::test]
async fn what_was_said_about_a_client_is_in_its_token() {
    let file = File::new();
    let accounts = open_with(&file.0, |config| {
        config.publish = Some(vec!["lobby".into()])
    });
    let told = Registration {
        publish: Some(vec!["rooms/#".into()]),
        subscribe: Some(vec![]),
        ..new("ann", KEY)
    };
    accounts.register(told).await.expect("nobody has it");
    accounts
        .register(new("bob", KEY))
        .await
        .expect("nobody has it");
    let registered = Registered::new(&secret());
    let mut grants = Vec::new();
    for client in ["ann", "bob"] {
        let login = login(&accounts, client, KEY).await.expect("the right key");
        let verified = registered.verify(&login.token, SystemTime::now());
        grants.push(verified.expect("a good token").authenticated.grants);
    }
    let [ann, bob] = grants.try_into().expect("two");
    assert!(ann.publish.matches("rooms/1") && !ann.publish.matches("lobby"));
    assert!(!ann.subscribe.matches("rooms/1"));
    assert!(bob.publish.matches("lobby") && !bob.publish.matches("rooms/1"));
    assert_eq!(bob.subscribe, Filters::All);
}

#[tokio::test]
async fn names_keys_and_filters_have_their_bounds() {
    let file = File::new();
    let accounts = open(&file.0);
    let longest = "n".repeat(CLIENT_BYTES_MAX);
    for (client, key, good) in [
        ("", KEY, false),
        ("a\nb", KEY, false),
        (longest.as_str(), KEY, true),
        (&format!("{longest}n"), KEY, false),
        ("a", &"k".repeat(KEY_BYTES_MIN - 1), false),
        ("b", &"k".repeat(KEY_BYTES_MIN), true),
        ("c", &"k".repeat(KEY_BYTES_MAX), true),
        ("d", &"k".repeat(KEY_BYTES_MAX + 1), false),
    ] {
        let answer = accounts.register(new(client, key)).await;
        assert_eq!(answer.is_ok(), good, "{client:?} {} {answer:?}", key.len());
    }
    let with = |publish: Vec<String>| Registration {
        publish: Some(publish),
        ..new("e", KEY)
    };
    let bad = accounts.register(with(vec!["a#".into()])).await;
    assert!(matches!(bad, Err(Refused::Filter(_))), "{bad:?}");
    let large = accounts.register(with(vec!["x".repeat(250); 100])).await;
    assert!(matches!(large, Err(Refused::TooMuch)), "{large:?}");
}

#[tokio::test]
async fn there_are_so_many_at_most() {
    let file = File::new();
    let accounts = open_with(&file.0, |config| config.clients_max = 2);
    for (client, good) in [("a", true), ("b", true), ("c", false)] {
        let answer = accounts.register(new(client, KEY)).await;
        assert_eq!(answer.is_ok(), good, "{client} {answer:?}");
    }
    accounts.unregister("a".into()).await.expect("it is there");
    accounts
        .register(new("c", KEY))
        .await
        .expect("there is room");
}

#[tokio::test]
async fn who_took_a_name_over_gets_no_token_for_the_key_before() {
    let file = File::new();
    let accounts = open(&file.0);
    accounts
        .register(new("ann", KEY))
        .await
        .expect("nobody has it");
    let before = accounts
        .0
        .store
        .find("ann")
        .expect("it works")
        .expect("ann");
    accounts
        .unregister("ann".into())
        .await
        .expect("it is there");
    accounts
        .register(new("ann", OTHER))
        .await
        .expect("nobody has it");
    let token = Token {
        id: "t".into(),
        until: 1,
    };
    let noted = accounts.0.store.put_token("ann", &before.key, token);
    assert!(!noted.expect("it works"));
}

#[tokio::test]
async fn nobody_else_may_read_the_file_and_no_key_is_in_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::new();
    let accounts = open(&file.0);
    accounts
        .register(new("ann", KEY))
        .await
        .expect("nobody has it");
    let login = login(&accounts, "ann", KEY).await.expect("the right key");
    let mode = std::fs::metadata(&file.0)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(&file.0).expect("a file");
    for secret in [KEY, &login.token] {
        let found = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} is in the file");
    }
    let shown = format!("{accounts:?} {:?}", new("ann", KEY));
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn a_file_that_is_none_is_an_error() {
    let file = File::new();
    std::fs::write(&file.0, "no database").expect("a file");
    for path in [&file.0, Path::new("/nonexistent/accounts")] {
        let config = Config::new(path.into());
        let tasks = TaskTracker::new();
        let opened = Accounts::open(config, secret(), Metrics::default(), tasks);
        assert!(opened.is_err(), "{}", path.display());
    }
}
