//! What several targets choose alike from an input.

use arbitrary::{Result, Unstructured};

/// Up to that many bytes as they are.
pub(crate) fn tail(choices: &mut Unstructured<'_>, bytes_max: usize) -> Result<Vec<u8>> {
    let length = choices.int_in_range(0..=bytes_max)?.min(choices.len());
    Ok(choices.bytes(length)?.to_vec())
}

/// One of a few topics, so that several peers meet in one; now and then a string that may be none.
pub(crate) fn topic(choices: &mut Unstructured<'_>) -> Result<String> {
    let topics = ["a", "b", "c", "d", "a/b", "a/b/c", "größe"];
    let index = choices.int_in_range(0..=topics.len())?;
    match topics.get(index) {
        Some(topic) => Ok((*topic).to_owned()),
        None => Ok(String::from_utf8_lossy(&tail(choices, 12)?).into_owned()),
    }
}
