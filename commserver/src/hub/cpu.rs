//! What the hub's thread costs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of the thread that asks, since its start.
pub(super) fn of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{hint::black_box, thread};

    #[test]
    fn counts_what_this_thread_does_alone() {
        let before = of_this_thread();
        while of_this_thread() - before < Duration::from_millis(20) {
            black_box((0..1_000).sum::<u64>());
        }
        let another = thread::spawn(of_this_thread).join().expect("its time");
        assert!(another < of_this_thread(), "another one has just begun");
    }
}
