//! What takes bytes from strangers, as functions of bytes that panic when something is wrong.
//!
//! libFuzzer runs them (`fuzz/programs`), and so do the tests here, over the files of
//! `fuzz/corpus`. An input is read from its front, choice by choice, so that a change at its end
//! changes the end of the story only.
//!
//! Deliberately not here: sockets, and time of day. What a target needs of time it counts itself.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a finding is a panic"
)]

mod choices;
pub mod commserver_steps;
pub mod coordinator_steps;
pub mod datagram;
pub mod description;
pub mod filter;
pub mod jwt;
pub mod packet;
mod pair;
pub mod sctp;
pub mod signals;
pub mod topic_list;

use std::{env, fs, io::Write as _};

/// A function that takes an input, and the folder of its inputs.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As cargo-fuzz knows it, and the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident)+) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($name), run: $name::run }),+
        ];
    };
}

targets!(packet topic_list signals description datagram sctp filter jwt coordinator_steps commserver_steps);

/// What a program does that libFuzzer is not around: runs the files named on its command line.
///
/// # Panics
/// When a file is a finding, or cannot be read.
pub fn replay(run: fn(&[u8])) {
    for path in env::args_os().skip(1) {
        let bytes = fs::read(&path).expect("a file that can be read");
        run(&bytes);
        // Nobody reads it: that is no reason to stop.
        drop(writeln!(
            std::io::stdout(),
            "nothing found in {}",
            path.display()
        ));
    }
}
