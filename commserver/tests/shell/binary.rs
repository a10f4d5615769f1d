//! The binary: its ready line and its exit codes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::{coordinator::Coordinator, within};

fn commserver(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commserver"));
    command
        .args(arguments)
        .env("BROKER_CLUSTER_SECRET", "the secret of the cluster")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn send_signal(child: &Child, signal: &str) {
    let mut kill = Command::new("kill");
    let status = kill.args([signal, &child.id().to_string()]).status();
    assert!(status.expect("kill ran").success());
}

#[tokio::test]
async fn says_when_it_is_ready_and_goes_when_told() {
    for signal in ["-TERM", "-INT"] {
        let coordinator = Coordinator::new().await;
        let arguments = ["--rtc-listen", "127.0.0.1:0", "--insecure", "--coordinator"];
        let mut command = commserver(&arguments);
        let mut child = command.arg(&coordinator.url).spawn().expect("started");
        let mut session = coordinator.accept().await;
        session.welcome(77).await;
        let stdout = child.stdout.take().expect("its stdout");
        let line = within(tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).expect("a line");
            line
        }));
        let line = line.await.expect("a line");
        assert!(
            line.starts_with("commserver ready: rtc=udp://127.0.0.1:"),
            "{line}"
        );
        assert!(line.contains(" admin=http://127.0.0.1:"), "{line}");
        assert!(line.ends_with("(reached, alias=77)\n"), "{line}");
        send_signal(&child, signal);
        let ended = within(tokio::task::spawn_blocking(move || child.wait()));
        let status = ended.await.expect("waited").expect("ended");
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn bad_configuration_is_64_and_all_of_it_is_told() {
    let output = commserver(&["--shards", "2", "--rtc-listen", "here"]).output();
    let output = output.expect("it ran");
    assert_eq!(output.status.code(), Some(64));
    let log = String::from_utf8_lossy(&output.stderr);
    for problem in ["coordinator:", "rtc_listen", "shards:", "--insecure"] {
        assert!(log.contains(problem), "{problem} in {log}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn checks_and_prints_without_starting() {
    let arguments = ["--coordinator", "ws://127.0.0.1:1", "--insecure"];
    let output = commserver(&arguments).arg("--check-config").output();
    assert_eq!(output.expect("it ran").status.code(), Some(0));
    let output = commserver(&arguments).arg("--print-config").output();
    let printed = String::from_utf8(output.expect("it ran").stdout).expect("text");
    assert!(
        printed.contains("limits.peers_max = 4096  # default\n"),
        "{printed}"
    );
    assert!(
        printed.contains("insecure = true  # --insecure\n"),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_used_is_64_however_it_is_asked() {
    let good = ["--coordinator", "ws://127.0.0.1:1", "--insecure"];
    for arguments in [
        &["--print-config", "--rtc-listen", "here"][..],
        &["--nonsense"],
    ] {
        let output = commserver(&good).args(arguments).output().expect("it ran");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let output = commserver(&["--help"]).output().expect("it ran");
    assert_eq!(output.status.code(), Some(0));
}

/// Runs one until it is told to go, and yields what it has logged.
async fn log(settings: &[(&str, &str)]) -> String {
    let coordinator = Coordinator::new().await;
    let arguments = ["--rtc-listen", "127.0.0.1:0", "--insecure", "--coordinator"];
    let mut command = commserver(&arguments);
    command
        .env_remove("RUST_LOG")
        .envs(settings.iter().copied());
    let mut child = command.arg(&coordinator.url).spawn().expect("started");
    coordinator.accept().await.welcome(77).await;
    let stdout = child.stdout.take().expect("its stdout");
    let stopped = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        send_signal(&child, "-TERM");
        child.wait_with_output().expect("its end").stderr
    });
    let stderr = within(stopped).await.expect("waited");
    String::from_utf8(stderr).expect("text")
}

#[tokio::test]
async fn logs_what_its_settings_say() {
    let usual = log(&[]).await;
    assert!(
        usual.contains("INSECURE") && usual.contains("shutting down"),
        "{usual}"
    );
    assert!(!usual.contains("DEBUG"), "{usual}");

    let json = log(&[
        ("BROKER_LOG__FORMAT", "json"),
        ("BROKER_LOG__FILTER", "commserver=info"),
    ]);
    let json = json.await;
    let is_object = |line: &str| line.starts_with("{\"timestamp\":") && line.ends_with('}');
    assert!(
        json.contains("shutting down") && json.lines().all(is_object),
        "{json}"
    );

    let quiet = log(&[("BROKER_LOG__FILTER", "error"), ("RUST_LOG", "trace")]).await;
    assert_eq!(quiet, "");
}

#[test]
fn what_is_wrong_is_told_whatever_is_logged() {
    let arguments = ["--coordinator", "here", "--insecure"];
    let output = commserver(&arguments)
        .env("BROKER_LOG__FILTER", "off")
        .output();
    let output = output.expect("it ran");
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("coordinator"), "{told}");
}
