//! See `fuzz_targets::topic_list`.

#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::topic_list::run(bytes));

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    fuzz_targets::replay(fuzz_targets::topic_list::run);
}
