//! The table of limits against docs/OPERATING.md, and against the tests that it names.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// Where a limit is walked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    /// By a test of this program.
    Here,
    /// By a test that needs another place.
    By {
        file: &'static str,
        test: &'static str,
    },
}

/// Every limit in the document is in the table, the table has no other, and what it names is there.
pub(crate) fn each_is_shown(limits: &[(&str, Shown)]) {
    let shown: BTreeSet<String> = limits.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(shown.len(), limits.len(), "a limit is in the table twice");
    let documented = documented();
    let missing: Vec<_> = documented.difference(&shown).collect();
    assert!(missing.is_empty(), "no test shows {missing:?}");
    let unknown: Vec<_> = shown.difference(&documented).collect();
    assert!(unknown.is_empty(), "no document has {unknown:?}");
    for (key, shown) in limits {
        if let Shown::By { file, test } = shown {
            let found = read(file).contains(&format!("fn {test}("));
            assert!(found, "{key} is to be shown by {test} in {file}");
        }
    }
}

/// The limits among a commserver's settings.
fn documented() -> BTreeSet<String> {
    let page = read("docs/OPERATING.md");
    let table = page
        .split_once("<!-- checked: settings of commserver -->")
        .and_then(|(_, rest)| rest.split_once("<!-- end -->"))
        .map(|(table, _)| table);
    let Some(table) = table else {
        panic!("no table of a commserver's settings");
    };
    let keys = table.lines().filter_map(|row| row.strip_prefix("| `"));
    let keys = keys.filter_map(|row| row.split('`').next());
    let is_limit = |key: &&str| {
        let asking = key.starts_with("authentication.") && key.ends_with("_max");
        asking || ["limits.", "outbox."].iter().any(|s| key.starts_with(s))
    };
    keys.filter(is_limit).map(str::to_owned).collect()
}

fn read(file: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
