//! What may be a resume token. Whoever gets one from a coordinator shows it as it is, behind
//! [`crate::RESUME_SUBPROTOCOL_PREFIX`]; what is in it is the coordinator's business.

/// Longest token, in bytes: an alias and an identity of 1 KiB, signed and in base64, with room to
/// spare, and a fraction of what an HTTP header may be.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Whether this can be shown at all: it has to stand in an HTTP header (as a `token` of RFC 9110,
/// section 5.6.2).
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_stand_in_a_header() {
        for good in ["a", "eyJh.b-_c.d", "!#$%&'*+-.^_`|~"] {
            assert!(is_token(good), "{good:?}");
        }
        for bad in ["", "a b", "a,b", "a\r\nb", "\u{e9}", "a=", "a\"b", "a/b"] {
            assert!(!is_token(bad), "{bad:?}");
        }
        for (length, good) in [
            (TOKEN_BYTES_MAX - 1, true),
            (TOKEN_BYTES_MAX, true),
            (TOKEN_BYTES_MAX + 1, false),
        ] {
            assert_eq!(is_token(&"a".repeat(length)), good, "{length} bytes");
        }
    }
}
