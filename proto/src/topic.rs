//! Topic names: what is one, and what is not.

use thiserror::Error;

/// Why a string is no topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TopicError {
    /// No bytes at all.
    #[error("a topic must not be empty")]
    Empty,
    /// Longer than the limit given.
    #[error("a topic must not be longer than {limit} bytes, this one has {length}")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
        /// Bytes found.
        length: usize,
    },
    /// A space separates topics in a list, so none can hold one.
    #[error("a topic must not contain spaces, found one at byte {0}")]
    Space(usize),
    /// Control characters, as Unicode counts them.
    #[error("a topic must not contain control characters, found one at byte {0}")]
    Control(usize),
    /// `$` at the start is the broker's own.
    #[error("topics that start with '$' are reserved")]
    Reserved,
}

/// Checks a topic that a client wants to publish or subscribe to: UTF-8 without white space or
/// control characters, of 1 to `bytes_max` bytes, not starting with `$`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(topic: &str, bytes_max: usize) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > bytes_max {
        return Err(TopicError::TooLong {
            limit: bytes_max,
            length: topic.len(),
        });
    }
    if topic.starts_with('$') {
        return Err(TopicError::Reserved);
    }
    // Nearly all topics are plain ASCII: one pass over the bytes settles those.
    if topic.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    for (at, character) in topic.char_indices() {
        if character.is_control() {
            return Err(TopicError::Control(at));
        }
        if character.is_whitespace() {
            return Err(TopicError::Space(at));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_opaque_utf8() {
        for topic in ["a", "world/12/positions", "größe", "日本", "+", "a$b"] {
            assert_eq!(validate(topic, 256), Ok(()), "{topic}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(validate("", 256), Err(TopicError::Empty));
        assert_eq!(validate("a b", 256), Err(TopicError::Space(1)));
        assert_eq!(validate("a\u{a0}b", 256), Err(TopicError::Space(1)));
        assert_eq!(validate("ab\n", 256), Err(TopicError::Control(2)));
        assert_eq!(validate("ab\u{85}", 256), Err(TopicError::Control(2)));
        assert_eq!(validate("$to/1", 256), Err(TopicError::Reserved));
    }

    #[test]
    fn length_limit_is_inclusive() {
        assert_eq!(validate(&"x".repeat(255), 256), Ok(()));
        assert_eq!(validate(&"x".repeat(256), 256), Ok(()));
        let longer = validate(&"x".repeat(257), 256);
        assert_eq!(
            longer,
            Err(TopicError::TooLong {
                limit: 256,
                length: 257
            })
        );
    }
}
