//! That the two clients' sessions are tested under the same names: each test in the files below has
//! its twin somewhere in the other language's tests. Rust's `a_b_c` is TypeScript's `a b c`.

use super::{read, root};

const RUST: &str = "client/src/session/tests";
const WEB: &str = "web/test";

/// Files, without their endings, of which both sides have one.
const FILES: [&str; 5] = ["farewell", "moves", "reconnect", "resume", "tokens"];

/// What only one of them can promise: `Debug` and `flush` are Rust's.
const ALONE: [&str; 2] = [
    "a_flush_is_answered_when_the_server_has_everything",
    "a_token_says_nothing_in_debug",
];

/// Names each test whose twin is missing.
pub(super) fn check(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let (rust, web) = (all(RUST, ".rs")?, all(WEB, ".test.ts")?);
    for file in FILES {
        for (path, others, theirs) in [
            (format!("{RUST}/{file}.rs"), &web, WEB),
            (format!("{WEB}/{file}.test.ts"), &rust, RUST),
        ] {
            let lonely = tests(&read(&root().join(&path))?)
                .into_iter()
                .filter(|name| !others.contains(name) && !ALONE.contains(&name.as_str()))
                .map(|name| format!("{path}: {name} has no twin in {theirs}"));
            findings.extend(lonely);
        }
    }
    Ok(())
}

fn all(folder: &str, ending: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join(folder))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            names.extend(tests(&read(&path)?));
        }
    }
    Ok(names)
}

/// The names of the tests in a file of either language: a function below `#[test]`, or what is
/// between the quotes of `test("…"` at the start of a line.
fn tests(code: &str) -> Vec<String> {
    let rust = code.split("#[test]\nfn ").skip(1);
    let web = code.split("\ntest(\"").skip(1);
    let name = |rest: &str, end| rest.split(end).next().map(str::to_lowercase);
    let words = |name: String| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    rust.filter_map(move |rest| name(rest, '('))
        .chain(web.filter_map(move |rest| name(rest, '"')))
        .map(words)
        .collect()
}
