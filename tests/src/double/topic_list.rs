//! SUBSCRIPTION's list of topics, there and back.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::wire::{Format, Kind, Subscription};

/// As plain text.
pub(super) fn plain<T: AsRef<str>>(topics: impl IntoIterator<Item = T>) -> Subscription {
    subscription(Format::Plain, join(topics).into())
}

/// The same text gzipped.
pub(super) fn gzip<T: AsRef<str>>(topics: impl IntoIterator<Item = T>) -> Result<Subscription> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(join(topics).as_bytes())?;
    Ok(subscription(Format::Gzip, encoder.finish()?.into()))
}

/// The topics of a list in either form.
pub(super) fn read(list: &Subscription) -> Result<BTreeSet<String>> {
    let mut bytes = Vec::new();
    match list.format() {
        Format::Plain => bytes.extend_from_slice(&list.topics),
        Format::Gzip => drop(GzDecoder::new(&list.topics[..]).read_to_end(&mut bytes)?),
        Format::Unknown => bail!("a topic list of an unknown format"),
    }
    let text = String::from_utf8(bytes).context("topics are UTF-8")?;
    Ok(text
        .split(' ')
        .filter(|topic| !topic.is_empty())
        .map(str::to_owned)
        .collect())
}

fn join<T: AsRef<str>>(topics: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for topic in topics {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(topic.as_ref());
    }
    text
}

fn subscription(format: Format, topics: Bytes) -> Subscription {
    Subscription {
        kind: Kind::Subscription.into(),
        format: format.into(),
        topics,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        let topics = ["one", "two", "three"];
        let set: BTreeSet<String> = topics.map(str::to_owned).into();
        assert_eq!(read(&plain(topics)).unwrap(), set);
        assert_eq!(plain(topics).topics, "one two three");
        let gzipped = gzip(topics).unwrap();
        assert_ne!(gzipped.topics, "one two three");
        assert_eq!(read(&gzipped).unwrap(), set);
        assert_eq!(read(&plain(Vec::<String>::new())).unwrap(), BTreeSet::new());
    }
}
