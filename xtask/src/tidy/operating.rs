//! That `docs/OPERATING.md` has a line for each metric and each setting of the two servers, and
//! none for any other. The sources are read as text: their string literals, by rules that err
//! towards a finding.

use std::collections::BTreeSet;

use super::{read, root};

const DOCUMENT: &str = "docs/OPERATING.md";

/// A block of the document between `<!-- checked: name -->` and `<!-- end -->`, and where the names
/// in it come from.
struct Block {
    name: &'static str,
    sources: &'static [&'static str],
    names: fn(&str) -> BTreeSet<String>,
}

const BLOCKS: [Block; 6] = [
    Block {
        name: "settings of coordinator",
        sources: &["coordinator/src/from_settings.rs", "settings/src/log.rs"],
        names: settings,
    },
    Block {
        name: "settings of commserver",
        sources: &["commserver/src/from_settings.rs", "settings/src/log.rs"],
        names: settings,
    },
    Block {
        name: "settings of authentication",
        sources: &[
            "auth/settings/src/lib.rs",
            "auth/settings/src/jwt.rs",
            "auth/settings/src/call_out.rs",
        ],
        names: settings,
    },
    Block {
        name: "metrics of authentication",
        sources: &["auth/src/metrics.rs"],
        names: |code| metrics("", code),
    },
    Block {
        name: "metrics of coordinator",
        sources: &[
            "coordinator/src/metrics.rs",
            "coordinator/src/accounts/metrics.rs",
        ],
        names: |code| metrics("coordinator_", code),
    },
    Block {
        name: "metrics of commserver",
        sources: &["commserver/src/metrics.rs"],
        names: |code| metrics("broker_", code),
    },
];

/// What is in a metrics module between quotes, all lower-case, and no family's name.
const NOT_FAMILIES: [&str; 5] = ["coordinator", "lane", "reason", "result", "state"];

/// Compares each block with its source.
pub(super) fn check(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let document = read(&root().join(DOCUMENT))?;
    for block in BLOCKS {
        let mut in_code = BTreeSet::new();
        for source in block.sources {
            in_code.extend((block.names)(&read(&root().join(source))?));
        }
        match marked(&document, block.name) {
            Some(text) => findings.extend(compare(&block, &in_code, text)),
            None => findings.push(format!("{DOCUMENT}: no block {:?}", block.name)),
        }
    }
    Ok(())
}

fn compare(block: &Block, in_code: &BTreeSet<String>, text: &str) -> Vec<String> {
    let Block { name, sources, .. } = block;
    let sources = sources.join(", ");
    let in_document = documented(text);
    let missing = in_code.difference(&in_document);
    let missing = missing.map(|n| format!("{DOCUMENT}: no line for {n} among the {name}"));
    let unknown = in_document.difference(in_code);
    let unknown = unknown.map(|n| format!("{DOCUMENT}: {n} is not in {sources}"));
    missing.chain(unknown).chain(variables(text)).collect()
}

fn marked<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("<!-- checked: {name} -->");
    let (_, rest) = document.split_once(&start)?;
    Some(rest.split_once("<!-- end -->")?.0)
}

/// What stands in backquotes in the first cell of each row, without `_total` and labels.
fn documented(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split('|').next());
    cells
        .flat_map(|cell| cell.split('`').step_by(2))
        .filter_map(|quoted| quoted.split('{').next())
        .map(|name| name.strip_suffix("_total").unwrap_or(name).to_string())
        .collect()
}

/// A row that names an environment variable names the one that belongs to its setting.
fn variables(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let mut quoted = line.strip_prefix("| ")?.split('`').skip(1).step_by(2);
        let (key, variable) = (quoted.next()?, quoted.next()?);
        let expected = format!("BROKER_{}", key.replace('.', "__").to_uppercase());
        (variable.starts_with("BROKER_") && variable != expected)
            .then(|| format!("{DOCUMENT}: {key}: expected {expected}, got {variable}"))
    })
}

/// Literals with a dot between words, and those that a call of `take…` begins with.
fn settings(code: &str) -> BTreeSet<String> {
    let found = literals(code).into_iter().filter(|(before, literal)| {
        let words = literal.split('.').all(is_name);
        let call = before.trim_end().strip_suffix('(');
        let taken = call.is_some_and(|call| {
            let name = call.rsplit(['.', ' ']).next().unwrap_or_default();
            name.starts_with("take")
        });
        words && (taken || literal.contains('.'))
    });
    found.map(|(_, literal)| literal.to_string()).collect()
}

/// Literals that are one word each, but for labels and prefixes.
fn metrics(prefix: &str, code: &str) -> BTreeSet<String> {
    let found = literals(code).into_iter().map(|(_, literal)| literal);
    found
        .filter(|literal| is_name(literal) && !NOT_FAMILIES.contains(literal))
        .map(|name| format!("{prefix}{name}"))
        .collect()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The string literals of code, tests and comments left out, each with what is before it on its
/// line or, where it begins one, on the line before.
fn literals(code: &str) -> Vec<(&str, &str)> {
    let code = code.split("#[cfg(test)]\nmod tests {").next();
    let mut found = Vec::new();
    let mut line_before = "";
    for line in code.unwrap_or_default().lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let mut rest = line;
        let mut before = line_before;
        while let Some((head, tail)) = rest.split_once('"') {
            let (literal, tail) = tail.split_once('"').unwrap_or((tail, ""));
            if !head.trim().is_empty() {
                before = head;
            }
            found.push((before, literal));
            rest = tail;
        }
        line_before = line;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"
        // settings.take("comment", 1);
        let a = settings.take("listen", "127.0.0.1:1".to_string());
        let b: Option<u8> = settings.take_optional(
            "file",
        );
        let c = limit("limits.a_max", 1);
        settings.problem("limits.a_max: expected more");
        gauge("topics", "Topics with a subscriber", by("reason"))
        #[cfg(test)]
mod tests {
        settings.take("tested", 1);
    "#;

    fn all(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn names_are_found_in_code() {
        assert_eq!(settings(CODE), all(&["listen", "file", "limits.a_max"]));
        let line = r#"    gauge("topics", "Topics with a subscriber", by("reason"))"#;
        assert_eq!(metrics("broker_", line), all(&["broker_topics"]));
    }

    #[test]
    fn a_missing_line_an_unknown_one_and_a_wrong_variable_are_found() {
        let [block, ..] = BLOCKS;
        let document = "<!-- checked: settings of coordinator -->\n\
            | setting | variable |\n|---|---|\n\
            | `listen` | `BROKER_LISTEN` |\n\
            | `file` | `BROKER_FILES` |\n\
            | `gone` | `BROKER_GONE` |\n<!-- end -->\n| `elsewhere` |";
        let text = marked(document, block.name).expect("it is there");
        assert_eq!(
            compare(&block, &settings(CODE), text),
            [
                "docs/OPERATING.md: no line for limits.a_max among the settings of coordinator",
                "docs/OPERATING.md: gone is not in coordinator/src/from_settings.rs, settings/src/log.rs",
                "docs/OPERATING.md: file: expected BROKER_FILE, got BROKER_FILES",
            ]
        );
    }

    #[test]
    fn a_row_may_name_several_families_as_they_are_scraped() {
        let text = "| `a_total{lane}`, `b` | what `c` means |";
        assert_eq!(documented(text), all(&["a", "b"]));
    }
}
