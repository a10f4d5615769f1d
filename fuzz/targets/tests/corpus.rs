//! Every input of `fuzz/corpus`, and each of them a little changed, through the function that
//! cargo-fuzz runs: what was found once is not found again.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "clippy knows #[test] functions, not what they call"
)]

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use fuzz_targets::{TARGETS, Target};

fn folder(name: &str) -> PathBuf {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fuzz.join(name)
}

/// In the order of their names.
fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder("corpus").join(target.name)).expect("a folder of inputs");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    paths.into_iter().map(read).collect()
}

fn run(target: &Target, bytes: &[u8], what: &str) {
    if catch_unwind(|| (target.run)(bytes)).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{}: {what}, as hexadecimal: {hex}", target.name);
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    /// What a fuzzer does to an input, one of it or a few.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes.insert(at, self.byte()),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..(at + self.below(8)).min(bytes.len()))),
                3 => bytes.extend(other.iter().skip(self.below(other.len()))),
                _ => {
                    let byte = self.byte();
                    bytes
                        .get_mut(at)
                        .into_iter()
                        .for_each(|place| *place = byte);
                }
            }
        }
    }
}

fn replay(name: &str, changes: usize) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target");
    let inputs = inputs(target);
    assert!(inputs.len() >= 10, "{name} has a corpus");
    (target.run)(&[]);
    for (path, bytes) in &inputs {
        run(target, bytes, &path.display().to_string());
    }
    let mut random = Random(1);
    for _ in 0..changes {
        let (path, bytes) = &inputs[random.below(inputs.len())];
        let (_, other) = &inputs[random.below(inputs.len())];
        let mut bytes = bytes.clone();
        random.change(&mut bytes, other);
        run(target, &bytes, &format!("{} changed", path.display()));
    }
}

/// One test for each, so that they share the machine's cores.
macro_rules! targets {
    ($($name:ident $changes:literal)+) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), $changes);
        })+

        #[test]
        fn every_target_is_replayed_and_has_its_program() {
            let replayed = [$(stringify!($name)),+];
            assert!(TARGETS.iter().map(|target| target.name).eq(replayed));
            for name in replayed {
                let program = folder("programs").join(name).with_extension("rs");
                assert!(program.is_file(), "{}", program.display());
            }
        }
    };
}

targets! {
    packet 5_000
    topic_list 5_000
    signals 2_000
    description 500
    datagram 100
    sctp 500
    filter 5_000
    jwt 2_000
    coordinator_steps 1_000
    commserver_steps 1_000
}
