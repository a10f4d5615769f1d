//! The body of a SUBSCRIPTION: whatever it is, it costs no more than the limit allows, and what it
//! holds is what was written.

use arbitrary::Unstructured;
use proto::{Format, topic_list};

/// Runs one input: a format, a limit, and the list.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let format = choices.int_in_range(0..=3).unwrap_or_default();
    let limit = choices.arbitrary::<u16>().unwrap_or_default().into();
    let bytes = choices.take_rest();
    let Ok(list) = topic_list::decode(format, bytes, limit) else {
        return;
    };
    let plain = topic_list::encode_plain(list.topics());
    assert!(plain.len() <= limit, "{} bytes of {limit}", plain.len());
    if format == i32::from(Format::Plain) {
        assert!(plain.len() <= bytes.len());
    }
    let packed = topic_list::compress(&plain);
    for (format, bytes) in [(Format::Plain, &plain), (Format::Gzip, &packed)] {
        let again = topic_list::decode(format.into(), bytes, limit).expect("what was written");
        assert!(again.topics().eq(list.topics()), "{format:?}");
        let small = plain.len().checked_sub(1);
        let cut_off =
            small.is_none_or(|small| topic_list::decode(format.into(), bytes, small).is_err());
        assert!(cut_off, "{format:?}");
    }
}
