//! See `fuzz_targets::coordinator_steps`.

#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::coordinator_steps::run(bytes));

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    fuzz_targets::replay(fuzz_targets::coordinator_steps::run);
}
