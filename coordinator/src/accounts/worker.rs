//! The thread for what is slow: hashing keys, which is meant to be, and writing the store. It gives
//! way to whatever else there is to do: the signalling of this server, and another server on the same
//! core.

use std::{io, sync::mpsc, thread};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. Ends with this value, when it has done what it was given.
#[derive(Debug)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// # Errors
    /// When the system has no thread.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("accounts".into())
            .spawn(move || {
                step_back();
                for job in queue {
                    job();
                }
            })?;
        Ok(Self(jobs))
    }

    /// Does it, whether or not somebody still waits for it. `None` when the thread has ended, which
    /// only a panic can bring about.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            // Who asked may be gone.
            let _heard = answer.send(job());
        });
        self.0.send(job).ok()?;
        answered.await.ok()
    }
}

/// Of this thread alone. Not to the last: on a core that is never free nobody could log in.
#[cfg(target_os = "linux")]
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "keys are hashed at the priority of all else");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

/// A tenth of what a thread of usual priority gets of the same core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_one_after_the_other_whoever_waits() {
        let worker = Worker::start().expect("a thread");
        let (done, seen) = mpsc::channel();
        for nth in 0..3 {
            let done = done.clone();
            let job = worker.run(move || done.send(nth));
            // Begun, and given up.
            let _given_up = tokio::time::timeout(std::time::Duration::ZERO, job).await;
        }
        assert_eq!(worker.run(|| 7).await, Some(7));
        drop(done);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn whatever_else_there_is_comes_first() {
        use rustix::process::getpriority_process;
        let usual = getpriority_process(None).expect("a priority");
        let worker = Worker::start().expect("a thread");
        let its = worker.run(|| getpriority_process(None).ok()).await;
        assert_eq!(its.flatten(), Some(NICE));
        assert_eq!(getpriority_process(None), Ok(usual), "the thread's alone");
    }
}
