//! Every test there is: Rust, TypeScript, and the whole cluster in a real browser.

use anyhow::{Context as _, bail};

use crate::command::{self, exists, run_with, say};

/// Runs them all. What the browser tests need is installed where it is missing and this may
/// install it; otherwise the command to run is named. The Rust tests see these variables.
pub(crate) fn run(variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let browser = browser().context("the browser tests cannot run")?;
    run_with("", "cargo", &["test", "--workspace"], variables)?;
    // The browser tests kill real processes. Of the whole workspace, as all else here: for a package
    // alone cargo chooses other features, and builds half of the dependencies again.
    command::run("", "cargo", &["build", "--workspace", "--bin", "broker"])?;
    command::run("web", "npm", &["test"])?;
    command::run("web", "npm", &["run", "check"])?;
    let args = [
        "test",
        "--workspace",
        "--test",
        "browser",
        "--",
        "--ignored",
    ];
    run_with("", "cargo", &args, &[("BROWSER", &browser)])
}

/// Sees to Node.js packages and Chromium; returns the browser's program.
fn browser() -> anyhow::Result<String> {
    if !exists("node") || !exists("npm") {
        bail!(
            "Node.js 20 or newer and npm are needed: install them, e.g. `apt-get install nodejs npm`"
        );
    }
    command::run("web", "npm", &["ci", "--no-audit", "--no-fund"])?;
    if let Ok(named) = std::env::var("BROWSER") {
        return Ok(named);
    }
    if let Some(found) = installed() {
        return Ok(found);
    }
    say("no Chromium found, installing Debian's");
    let installed_now = command::run("", "apt-get", &["update", "-q"]).and_then(|()| {
        command::run(
            "",
            "apt-get",
            &["install", "-q", "-y", "--no-install-recommends", "chromium"],
        )
    });
    match (installed_now, installed()) {
        (Ok(()), Some(found)) => Ok(found),
        _ => bail!(
            "Chromium is needed and could not be installed from here: run \
             `sudo apt-get install chromium`, or name a browser with BROWSER=/path/to/chromium"
        ),
    }
}

fn installed() -> Option<String> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|program| exists(program))
        .and_then(which)
}

fn which(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .map(|file| file.display().to_string())
}
