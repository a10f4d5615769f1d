//! What may be the name of a region: who is in the same one is close to each other.

/// Longest name, in bytes.
pub const REGION_BYTES_MAX: usize = 64;

/// Whether this is a region's name: letters, digits, `-`, `_` and `.`, so that it may stand in a
/// URL, a log and a metric as it is.
#[must_use]
pub fn is_region(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=REGION_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["eu-west_1.b", "A", "0"] {
            assert!(is_region(name), "{name:?}");
        }
        for name in ["", "a b", "a/b", "a&b=c", "é", "a\n"] {
            assert!(!is_region(name), "{name:?}");
        }
        for (length, good) in [
            (REGION_BYTES_MAX - 1, true),
            (REGION_BYTES_MAX, true),
            (REGION_BYTES_MAX + 1, false),
        ] {
            assert_eq!(is_region(&"x".repeat(length)), good, "{length} bytes");
        }
    }
}
