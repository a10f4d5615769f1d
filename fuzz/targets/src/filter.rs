//! Topic filters and topics, against a second reading of MQTT's rules.

use proto::filter::{BadFilter, FILTER_BYTES_MAX, FILTERS_MAX, Filter, Filters};

/// Runs one input: a topic, and in the lines behind it filters.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.split('\n');
    let topic = lines.next().unwrap_or_default();
    let texts: Vec<&str> = lines.collect();
    let mut any = false;
    for text in &texts {
        let filter = Filter::parse(text);
        assert_eq!(filter.is_ok(), is_filter(text), "{text:?}: {filter:?}");
        let Ok(filter) = filter else { continue };
        assert_eq!(filter.as_str(), *text);
        let wanted: Vec<&str> = text.split('/').collect();
        let levels: Vec<&str> = topic.split('/').collect();
        let reserved = topic.starts_with('$') && matches!(wanted[0], "+" | "#");
        let expected = !reserved && matches(&wanted, &levels);
        assert_eq!(filter.matches(topic), expected, "{text:?} and {topic:?}");
        any |= expected;
    }
    match Filters::parse(texts.iter().copied()) {
        Ok(filters) => {
            assert!(texts.len() <= FILTERS_MAX);
            assert_eq!(filters.matches(topic), any);
        }
        Err(BadFilter::TooMany) => assert!(texts.len() > FILTERS_MAX),
        Err(_) => assert!(texts.iter().any(|text| !is_filter(text))),
    }
    assert!(Filters::All.matches(topic) && !Filters::none().matches(topic));
}

fn is_filter(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let (last, others) = levels.split_last().expect("one at least");
    let is_plain = |level: &str| !level.contains(['+', '#']);
    (1..=FILTER_BYTES_MAX).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && (is_plain(last) || matches!(*last, "+" | "#"))
        && others.iter().all(|level| is_plain(level) || *level == "+")
}

fn matches(wanted: &[&str], levels: &[&str]) -> bool {
    match (wanted, levels) {
        (["#"], _) | ([], []) => true,
        ([wanted, rest @ ..], [level, levels @ ..]) => {
            (*wanted == "+" || wanted == level) && matches(rest, levels)
        }
        _ => false,
    }
}
