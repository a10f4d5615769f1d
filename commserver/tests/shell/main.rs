//! The shell around the core: uplink, admin listener, shutdown, the binary. The coordinator is a
//! WebSocket that the test answers by hand.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod admin;
mod binary;
mod coordinator;
mod uplink;

use std::{future::Future, sync::Arc, time::Duration};

use auth::{AllowAll, ClusterSecret};
use commserver::{Config, RunError, Server, Status};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// A commserver that runs, and ends with the test.
struct Running {
    status: Status,
    admin: String,
    shutdown: CancellationToken,
    task: JoinSet<Result<(), RunError>>,
}

fn secret() -> ClusterSecret {
    ClusterSecret::parse("the secret of the cluster").expect("a secret")
}

fn config(coordinator: &str) -> Config {
    let mut config = Config::new(
        coordinator.parse().expect("a URL"),
        Arc::new(AllowAll),
        secret(),
    );
    config.admin_listen = Some(([127, 0, 0, 1], 0).into());
    config.uplink.redial_min = Duration::from_millis(10);
    config.uplink.redial_max = Duration::from_millis(50);
    config
}

async fn run(config: Config) -> Running {
    let server = Server::bind(config).await.expect("bound");
    let admin = server.admin_addr().expect("an admin listener").to_string();
    let (status, shutdown) = (server.status(), CancellationToken::new());
    let mut task = JoinSet::new();
    task.spawn(server.run(shutdown.clone()));
    Running {
        status,
        admin,
        shutdown,
        task,
    }
}

impl Running {
    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = within(self.task.join_next()).await;
        assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
    }
}

/// What should happen does so in time.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future)
        .await
        .expect("in time")
}
