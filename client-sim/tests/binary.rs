//! The binary: its exit status, and what it leaves behind when it is cut short.

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        process::{Output, Stdio},
        sync::Arc,
        time::Duration,
    };

    use anyhow::{Context as _, Result, ensure};
    use auth::jwt::{
        Jwt, Rules,
        keys::{Algorithm, Key, KeySet},
    };
    use serde_json::Value;
    use tests::{
        PATIENCE,
        cluster::{Cluster, Setup},
        pki::{Authority, Folder, Validity},
    };
    use tls::{Files, Trust};
    use tokio::{
        process::{Child, Command},
        time::{sleep, timeout},
    };

    const TOKENS: &str = "the secret of signed tokens";

    fn start(url: &str, args: &[&str]) -> Result<Child> {
        Command::new(env!("CARGO_BIN_EXE_client-sim"))
            .env_clear()
            .args(["--coordinator", url, "--clients", "4", "--ramp", "50ms"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the binary")
    }

    async fn run(url: &str, args: &[&str]) -> Result<Output> {
        let output = start(url, args)?.wait_with_output();
        timeout(3 * PATIENCE, output)
            .await
            .context("it does not end")?
            .context("its output")
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("{name}-{}", std::process::id()))
    }

    #[tokio::test]
    async fn its_status_says_whether_the_run_met_what_was_required() -> Result<()> {
        let cluster = Cluster::start(1).await?;
        let url = cluster.url();
        let short = ["--duration", "500ms", "--json", "-", "--require"];
        for (required, code) in [
            ("lost=0,failed=0,aliases_changed=0", 0),
            ("recovery_p99=5s", 1),
        ] {
            let args: Vec<&str> = short.into_iter().chain([required]).collect();
            let output = run(&url, &args).await?;
            ensure!(output.status.code() == Some(code), "{required}: {output:?}");
            let report: Value = serde_json::from_slice(&output.stdout)?;
            ensure!(report["connected"] == 4 && report["lost"] == 0, "{report}");
            let said = String::from_utf8(output.stderr)?;
            ensure!(said.contains("missed: ") == (code == 1), "{said}");
        }
        cluster.stop().await?;
        let nobody = run("ws://127.0.0.1:9", &["--patience", "200ms"]).await?;
        ensure!(nobody.status.code() == Some(2), "{nobody:?}");
        for bad in [
            &["--churn", "1%"][..],
            &["--churn", "5/s"],
            &["--churn", "1/s", "--window", "2"],
            &["--require", "speed=1"],
            &["--publishers", "5"],
        ] {
            let output = run(&url, bad).await?;
            ensure!(output.status.code() == Some(64), "{bad:?}: {output:?}");
        }
        Ok(())
    }

    /// Each of its clients is somebody else, by a token that it signs itself.
    #[tokio::test]
    async fn it_signs_tokens_and_believes_the_authority_that_it_is_told() -> Result<()> {
        let folder = Folder::new()?;
        let (ours, other) = (Authority::new("ours")?, Authority::new("another")?);
        let files = Files {
            pair: ours.issue(&folder, "coordinator", &["127.0.0.1"], Validity::Now)?,
            client_ca: None,
        };
        let (ca, strange) = (ours.write(&folder, "ca")?, other.write(&folder, "strange")?);
        let trust = Trust {
            ca: Some(ca.clone()),
            pair: None,
        };
        let keys = KeySet::new([Key::secret(Algorithm::Hs256, &TOKENS.into())])?;
        let setup = Setup {
            scheme: "wss",
            clients: Arc::new(Jwt::new(keys, Rules::default())),
            coordinator: Arc::new(move |config| config.tls = Some(files.clone())),
            commserver: Arc::new(move |config| config.trust = trust.clone()),
            ..Setup::default()
        };
        let cluster = setup.start(1).await?;
        let (ca, strange) = (ca.display().to_string(), strange.display().to_string());
        for (ca, secret, connected) in [
            (&ca, TOKENS, 4),
            (&strange, TOKENS, 0),
            (&ca, "somebody else's secret", 0),
        ] {
            let args = [
                "--ca-file",
                ca,
                "--jwt-secret",
                secret,
                "--duration",
                "500ms",
            ];
            let more = [
                "--patience",
                if connected > 0 { "20s" } else { "1s" },
                "--json",
                "-",
            ];
            let output = run(&cluster.url(), &[&args[..], &more].concat()).await?;
            if connected > 0 {
                let report: Value = serde_json::from_slice(&output.stdout)?;
                ensure!(
                    report["connected"] == connected && report["lost"] == 0,
                    "{report}"
                );
            } else {
                ensure!(output.status.code() == Some(2), "{output:?}");
                ensure!(output.stdout.is_empty(), "{output:?}");
            }
            let said = String::from_utf8(output.stderr)?;
            ensure!(!said.contains(secret), "{said}");
        }
        cluster.stop().await
    }

    #[tokio::test]
    async fn a_run_that_is_killed_leaves_its_timeline() -> Result<()> {
        let cluster = Cluster::start(1).await?;
        let path = file("timeline");
        let shown = path.display().to_string();
        let args = ["--duration", "1h", "--record-timeline", &shown];
        let mut run = start(&cluster.url(), &args)?;
        let written = async {
            while std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() < 3)
                || !path.exists()
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, written).await.context("no lines")?;
        run.kill().await?;
        let text = std::fs::read_to_string(&path)?;
        std::fs::remove_file(&path)?;
        ensure!(text.ends_with('\n'), "{text}");
        let mut lines = text.lines();
        let columns = |line: &str| line.split(',').count();
        let header = lines.next().context("a header")?;
        ensure!(lines.clone().count() >= 2, "{text}");
        ensure!(lines.all(|line| columns(line) == columns(header)), "{text}");
        cluster.stop().await
    }
}
