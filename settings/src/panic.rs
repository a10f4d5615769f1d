//! A panic ends the process, at once and in every build, so that whoever watches over it starts it
//! again: a server of which one task is missing would look alive and be none.

use std::{env, panic, path::PathBuf, process, thread, time::Duration};

/// From now on. What was wrong is said on standard error before.
pub fn end_the_process() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        say(info);
        process::abort();
    }));
    if let Some(file) = env::var_os(TEST_VARIABLE) {
        watch(file.into());
    }
}

/// For the tests of what becomes of a cluster then: panics when there is such a file. Whoever could
/// bring that about from outside could end the process as well.
fn watch(file: PathBuf) {
    thread::spawn(move || {
        while !file.exists() {
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{} is there: a test has asked for this", file.display());
    });
}

const TEST_VARIABLE: &str = "BROKER_TEST_PANIC_FILE";
