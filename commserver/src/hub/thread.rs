//! The thread of the hub: a shard with its own small runtime, from the socket's binding to the last
//! goodbye.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use shard::Shard;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Command, Hub};
use crate::server::{BindError, RunError};

/// The thread. Ends when this is dropped, whether it runs or not.
#[derive(Debug)]
pub(crate) struct HubThread {
    hub: shard::Handle<Command>,
    go: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    _stop: DropGuard,
}

/// What a bound shard tells the rest of the server.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: shard::Handle<Command>,
    pub(crate) stats: Arc<shard::Stats>,
}

impl HubThread {
    /// Binds the shard on its own thread, on whose runtime it then runs, until `stop`: which is also
    /// the hub's to say.
    pub(crate) async fn start(
        config: shard::Config,
        hub: Hub,
        stop: CancellationToken,
    ) -> Result<(Self, Bound), BindError> {
        let addr = config.listen;
        let (bound_in, bound) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let (ended_in, ended) = oneshot::channel();
        let stopped = stop.clone();
        thread::Builder::new()
            .name("hub".into())
            .spawn(move || {
                if let Err(error) = run_hub(config, hub, bound_in, gone, stopped) {
                    tracing::debug!(%error, "the hub did not start");
                }
                // Nobody waits for a server that is dropped before it runs.
                ended_in.send(()).ok()
            })
            .map_err(BindError::Thread)?;
        match bound.await {
            Ok(Ok(bound)) => {
                let thread = Self {
                    hub: bound.handle.clone(),
                    go,
                    ended,
                    _stop: stop.drop_guard(),
                };
                Ok((thread, bound))
            }
            Ok(Err(source)) => Err(BindError::Rtc { addr, source }),
            Err(_closed) => Err(BindError::Thread(io::ErrorKind::Other.into())),
        }
    }

    /// Runs until `shutdown`, and then for as long as the hub drains and says goodbye, but for no
    /// longer than `limit`.
    pub(crate) async fn run(
        self,
        shutdown: CancellationToken,
        limit: Duration,
    ) -> Result<(), RunError> {
        if self.go.send(()).is_err() {
            return Err(RunError::HubEnded);
        }
        let mut ended = self.ended;
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = &mut ended => return Err(RunError::HubEnded),
        }
        let drained = async {
            // One that does not take it has ended, or is stuck.
            let _told = self.hub.send(Command::Drain).await;
            ended.await
        };
        match timeout(limit, drained).await {
            Ok(_ended) => Ok(()),
            Err(_elapsed) => Err(RunError::HubStuck(limit)),
        }
    }
}

/// The thread's whole life.
fn run_hub(
    config: shard::Config,
    hub: Hub,
    bound: oneshot::Sender<io::Result<Bound>>,
    go: oneshot::Receiver<()>,
    stop: CancellationToken,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shard = match Shard::bind(config, hub) {
            Ok(shard) => shard,
            Err(error) => {
                return bound
                    .send(Err(error))
                    .map_err(|_| io::ErrorKind::Other.into());
            }
        };
        let told = bound.send(Ok(Bound {
            addr: shard.local_addr(),
            handle: shard.handle(),
            stats: shard.stats(),
        }));
        if let (Ok(()), Ok(())) = (told, go.await) {
            shard.run(stop).await;
        }
        Ok(())
    })
}
