use super::*;
use proptest::prelude::*;

fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("a filter")
}

#[test]
fn matches_as_mqtt_says() {
    let table: [(&str, &[&str], &[&str]); 12] = [
        ("a", &["a"], &["b", "a/b", "/a", "a/", "A"]),
        ("a/b", &["a/b"], &["a", "a/b/c", "a/bc"]),
        ("+", &["a", "größe"], &["a/b", "/a", "$a"]),
        ("a/+", &["a/b", "a/"], &["a", "a/b/c", "b/b"]),
        ("+/+", &["a/b", "/a", "/"], &["a", "a/b/c", "$a/b"]),
        ("/+", &["/a"], &["a", "a/b"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"]),
        ("#", &["a", "a/b", "/", "/a"], &["$a", "$a/b"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c"], &["b", "ab", "/a"]),
        ("a/+/#", &["a/b", "a/b/c"], &["a", "b/b"]),
        ("+/b/#", &["a/b", "a/b/c"], &["a", "$a/b/c"]),
        ("$a/#", &["$a", "$a/b"], &["a", "$b"]),
    ];
    for (text, those, not_those) in table {
        for topic in those {
            assert!(filter(text).matches(topic), "{text} should match {topic}");
        }
        for topic in not_those {
            assert!(
                !filter(text).matches(topic),
                "{text} should not match {topic}"
            );
        }
    }
}

#[test]
fn says_what_is_wrong() {
    for (text, wrong) in [
        ("", BadFilter::Empty),
        ("a b", BadFilter::Character(1)),
        ("a\u{85}", BadFilter::Character(1)),
        ("a+", BadFilter::Wildcard(1)),
        ("a/+b/c", BadFilter::Wildcard(2)),
        ("a/b#", BadFilter::Wildcard(3)),
        ("##", BadFilter::Wildcard(0)),
        ("a/#/b", BadFilter::NotLast(2)),
        ("#/", BadFilter::NotLast(0)),
    ] {
        assert_eq!(Filter::parse(text), Err(wrong), "{text:?}");
    }
}

#[test]
fn length_and_count_are_bounded() {
    for (length, good) in [(255, true), (256, true), (257, false)] {
        let parsed = Filter::parse(&"x".repeat(length));
        assert_eq!(parsed.is_ok(), good, "{length} bytes");
    }
    for (count, good) in [(0, true), (255, true), (256, true), (257, false)] {
        let parsed = Filters::parse(std::iter::repeat_n("a/+", count));
        assert_eq!(parsed.is_ok(), good, "{count} filters");
    }
}

#[test]
fn a_list_allows_what_one_of_it_matches() {
    let filters = Filters::parse(["a/#", "b"]).expect("filters");
    for (topic, allowed) in [("a/1", true), ("b", true), ("c", false), ("b/1", false)] {
        assert_eq!(filters.matches(topic), allowed, "{topic}");
        assert!(Filters::All.matches(topic));
        assert!(!Filters::none().matches(topic));
    }
    assert_eq!(Filters::parse(["a", "b c"]), Err(BadFilter::Character(1)));
}

/// The rules once more, level by level and from the front, as naively as they can be written.
fn naive(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => naive(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && naive(filter, topic),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_a_naive_model(
        levels in proptest::collection::vec("[ab]?|\\+|\\$a", 1..5),
        hash: bool,
        topic in proptest::collection::vec("[ab]?|\\$a", 1..6),
    ) {
        let mut levels: Vec<&str> = levels.iter().map(String::as_str).collect();
        if hash {
            levels.push("#");
        }
        let (text, topic) = (levels.join("/"), topic.join("/"));
        prop_assume!(!text.is_empty());
        let levels: Vec<&str> = text.split('/').collect();
        let wild = matches!(levels[0], "+" | "#");
        let expected = naive(&levels, &topic.split('/').collect::<Vec<_>>())
            && !(wild && topic.starts_with('$'));
        prop_assert_eq!(filter(&text).matches(&topic), expected, "{} {}", text, topic);
    }

    #[test]
    fn a_topic_without_wildcards_is_a_filter_for_itself(topic in "[a-c/$]{1,20}", other in "[a-c/$]{1,20}") {
        prop_assert!(filter(&topic).matches(&topic));
        prop_assert_eq!(filter(&topic).matches(&other), topic == other);
    }

    #[test]
    fn garbage_never_panics(text: String, topic: String) {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(filter.as_str(), &text);
            let _matched = filter.matches(&topic);
        }
    }
}
