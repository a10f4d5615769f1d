//! The body of SUBSCRIPTION: topics separated by single spaces, PLAIN or GZIP.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use thiserror::Error;

use crate::Format;

/// Why a topic list cannot be read.
#[derive(Debug, Error)]
pub enum TopicListError {
    /// Neither PLAIN nor GZIP.
    #[error("format {0} is not known, expected PLAIN (1) or GZIP (2)")]
    Format(i32),
    /// Larger than allowed, when plain.
    #[error("the list is larger than {0} bytes")]
    TooLarge(usize),
    /// Not gzip.
    #[error("the list does not inflate")]
    Inflate(#[source] std::io::Error),
    /// Not text.
    #[error("the list is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
}

/// Reads a topic list of at most `bytes_max` bytes once inflated. The topics are not validated;
/// several spaces in a row count as one.
///
/// Inflating stops at the limit, so that a small message cannot cost much memory.
///
/// # Errors
/// See [`TopicListError`].
pub fn decode(format: i32, bytes: &[u8], bytes_max: usize) -> Result<TopicList, TopicListError> {
    let plain = match Format::try_from(format) {
        Ok(Format::Plain) if bytes.len() > bytes_max => {
            return Err(TopicListError::TooLarge(bytes_max));
        }
        Ok(Format::Plain) => bytes.to_vec(),
        Ok(Format::Gzip) => inflate(bytes, bytes_max)?,
        _ => return Err(TopicListError::Format(format)),
    };
    let text = String::from_utf8(plain).map_err(|e| TopicListError::Utf8(e.utf8_error()))?;
    Ok(TopicList(text))
}

/// Joins topics as PLAIN.
#[must_use]
pub fn encode_plain<'a>(topics: impl IntoIterator<Item = &'a str>) -> Bytes {
    let mut list = String::new();
    for topic in topics {
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(topic);
    }
    list.into()
}

/// Compresses a PLAIN list to GZIP.
#[must_use]
pub fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a Vec cannot fail; should it ever, the list is empty and the test below sees it.
    match encoder.write_all(plain).and_then(|()| encoder.finish()) {
        Ok(bytes) => bytes.into(),
        Err(_) => Bytes::new(),
    }
}

/// An inflated list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicList(String);

impl TopicList {
    /// Its length once inflated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The topics in the order in which they were written.
    pub fn topics(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split(' ').filter(|topic| !topic.is_empty())
    }
}

fn inflate(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, TopicListError> {
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(TopicListError::Inflate)?;
    if plain.len() > bytes_max {
        return Err(TopicListError::TooLarge(bytes_max));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: i32 = 1;
    const GZIP: i32 = 2;

    proptest! {
        #[test]
        fn round_trip(topics in proptest::collection::vec("[a-z/]{1,20}", 0..50)) {
            let plain = encode_plain(topics.iter().map(String::as_str));
            for (format, bytes) in [(PLAIN, plain.clone()), (GZIP, compress(&plain))] {
                let list = decode(format, &bytes, 4096).expect("a list");
                prop_assert_eq!(list.topics().collect::<Vec<_>>(), topics.clone());
            }
        }

        #[test]
        fn never_panics(format in 0..4_i32, bytes: Vec<u8>) {
            let _list = decode(format, &bytes, 64);
        }
    }

    #[test]
    fn limit_is_of_the_inflated_list() {
        for (length, fits) in [(999, true), (1000, true), (1001, false)] {
            let plain = vec![b'x'; length];
            assert_eq!(decode(PLAIN, &plain, 1000).is_ok(), fits, "{length} plain");
            assert_eq!(
                decode(GZIP, &compress(&plain), 1000).is_ok(),
                fits,
                "{length} gzip"
            );
        }
    }

    #[test]
    fn a_bomb_is_cut_off() {
        let bomb = compress(&vec![b'x'; 100_000_000]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(
            decode(GZIP, &bomb, 1000),
            Err(TopicListError::TooLarge(1000))
        ));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!(
            decode(9, b"a", 10),
            Err(TopicListError::Format(9))
        ));
        assert!(matches!(
            decode(GZIP, b"plain", 10),
            Err(TopicListError::Inflate(_))
        ));
        assert!(matches!(
            decode(PLAIN, &[0xff], 10),
            Err(TopicListError::Utf8(_))
        ));
    }
}
