//! Values as text: the same parsers for all layers, and how they are shown.

use std::{fmt, str::FromStr, time::Duration};

use toml::{Table, Value};

/// A TOML document as keys with dots and values as text.
pub(super) fn flatten(text: &str) -> Result<Vec<(String, String)>, toml::de::Error> {
    let table: Table = text.parse()?;
    let mut pairs = Vec::new();
    collect("", table, &mut pairs);
    Ok(pairs)
}

fn collect(prefix: &str, table: Table, pairs: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(table) => collect(&format!("{key}."), table, pairs),
            Value::Array(items) => {
                let items: Vec<String> = items.into_iter().map(plain).collect();
                pairs.push((key, items.join(",")));
            }
            value => pairs.push((key, plain(value))),
        }
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// What a parser says when it cannot: what it wanted.
pub(super) type Wanted = &'static str;

pub(super) fn parse<T: FromStr>(text: &str, wanted: Wanted) -> Result<T, Wanted> {
    text.trim().parse().map_err(|_| wanted)
}

/// Several, separated by commas.
pub(super) fn list<T: FromStr>(text: &str, wanted: Wanted) -> Result<Vec<T>, Wanted> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items.map(|item| parse(item, wanted)).collect()
}

/// At least one.
pub(super) fn count(text: &str) -> Result<usize, Wanted> {
    let wanted = "a whole number above 0";
    parse(text, wanted).and_then(|count| if count > 0 { Ok(count) } else { Err(wanted) })
}

/// A duration like `15s`, `20ms`, `2m`, above 0.
pub(super) fn duration(text: &str) -> Result<Duration, Wanted> {
    let wanted = "a duration like 15s, 20ms or 2m";
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(wanted)?;
    let (number, unit) = text.split_at_checked(unit_at).ok_or(wanted)?;
    let number: u64 = number.parse().map_err(|_| wanted)?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60).ok_or(wanted)?),
        _ => return Err(wanted),
    };
    // A day is for ever here, and keeps sums of durations away from overflow.
    let usable = !duration.is_zero() && duration <= Duration::from_secs(24 * 60 * 60);
    if usable { Ok(duration) } else { Err(wanted) }
}

pub(super) fn show_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("\"{}s\"", duration.as_secs())
    } else {
        format!("\"{}ms\"", duration.as_millis())
    }
}

pub(super) fn show_text(value: &impl fmt::Display) -> String {
    format!("\"{value}\"")
}
