//! House rules that no compiler knows: what a pure crate may not touch, how long a file may get,
//! that the documents speak of files that exist, that each setting and metric has its line in the
//! operator's, and that the two clients' tests have the same names.

mod operating;
mod twins;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::command::{root, say};

/// Crates that are state machines: no clock, no sockets, no randomness of their own.
const PURE: [&str; 4] = ["proto", "coordinator/core", "commserver/core", "rtc"];

/// What a pure crate's manifest may not name under `[dependencies]`.
const IMPURE_CRATES: [&str; 9] = [
    "tokio",
    "tokio-util",
    "futures-util",
    "axum",
    "prometheus-client",
    "quinn-udp",
    "socket2",
    "tracing-subscriber",
    "shard",
];

/// What the sources of a pure crate may not say.
const IMPURE_CALLS: [&str; 5] = [
    "Instant::now",
    "SystemTime::now",
    "rand::rng()",
    "std::net::UdpSocket",
    "std::thread",
];

/// Cores stay free of engines and of JSON as well.
const CORES: [&str; 2] = ["coordinator/core", "commserver/core"];
const NOT_IN_CORES: [&str; 5] = ["serde_json", "rtc-peer", "rtc-sctp", "dimpl", "is"];

const FILE_LINES_MAX: usize = 600;

/// Files over the limit, with the reason. The list may only get shorter.
const LONG_FILES: [(&str, &str); 1] = [("proto/src/generated.rs", "generated")];

/// Checks everything and reports every finding before it fails.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut findings = Vec::new();
    purity(&mut findings)?;
    length(&mut findings)?;
    paths_in_documents(&mut findings)?;
    operating::check(&mut findings)?;
    twins::check(&mut findings)?;
    for finding in &findings {
        say(&format!("tidy: {finding}"));
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

fn purity(findings: &mut Vec<String>) -> anyhow::Result<()> {
    for folder in PURE {
        let manifest = read(&root().join(folder).join("Cargo.toml"))?;
        let dependencies = section(&manifest, "[dependencies]");
        let core = CORES.contains(&folder);
        let banned = IMPURE_CRATES
            .iter()
            .chain(NOT_IN_CORES.iter().filter(|_| core));
        for name in banned {
            if dependencies.iter().any(|line| names(line, name)) {
                findings.push(format!(
                    "{folder}/Cargo.toml: a pure crate must not depend on {name}"
                ));
            }
        }
        for file in rust_files(&root().join(folder).join("src"))? {
            let is_test = file.components().any(|part| part.as_os_str() == "tests")
                || file.file_name().is_some_and(|name| name == "tests.rs");
            if is_test {
                continue;
            }
            let text = read(&file)?;
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or(&text);
            for call in IMPURE_CALLS {
                let found = code
                    .lines()
                    .any(|line| line.contains(call) && !line.trim_start().starts_with("//"));
                if found {
                    findings.push(format!(
                        "{}: a pure crate must not say {call}",
                        shown(&file)
                    ));
                }
            }
        }
    }
    Ok(())
}

fn length(findings: &mut Vec<String>) -> anyhow::Result<()> {
    for file in rust_files(&root())? {
        let lines = read(&file)?.lines().count();
        let path = shown(&file);
        let allowed = LONG_FILES.iter().any(|(long, _)| *long == path);
        if lines > FILE_LINES_MAX && !allowed {
            findings.push(format!(
                "{path}: {lines} lines, more than {FILE_LINES_MAX}: split it"
            ));
        }
    }
    Ok(())
}

/// Every `path/like/this` in backquotes that starts with a folder of ours must exist.
fn paths_in_documents(findings: &mut Vec<String>) -> anyhow::Result<()> {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(&root().join(document))?;
        for quoted in text.split('`').skip(1).step_by(2) {
            let first = quoted.split('/').next().unwrap_or_default();
            let is_path = quoted.contains('/')
                && !quoted.contains([' ', '*', '<', ':', '$'])
                && root().join(first).is_dir()
                && !first.is_empty();
            if is_path && !root().join(quoted).exists() {
                findings.push(format!("{document}: `{quoted}` does not exist"));
            }
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(rust_files(&path)?);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn section<'a>(manifest: &'a str, header: &str) -> Vec<&'a str> {
    let lines = manifest
        .lines()
        .skip_while(|line| line.trim() != header)
        .skip(1);
    lines.take_while(|line| !line.starts_with('[')).collect()
}

fn names(line: &str, dependency: &str) -> bool {
    line.strip_prefix(dependency)
        .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}
