//! Who pays when all that may wait for all is taken.

use std::sync::Arc;

use proto::Role;

use super::*;
use crate::config::Outbox;

const ANY: Outbox = Outbox {
    count_max: usize::MAX,
    bytes_max: usize::MAX,
};

/// A hub, and what its sessions hold of it.
struct Scene {
    hub: Hub,
    metrics: Metrics,
    total: Arc<outbox::Total>,
}

struct Guest {
    id: SessionId,
    outbox: outbox::Receiver,
    closing: oneshot::Receiver<Reason>,
}

impl Scene {
    fn with(shared_bytes: usize) -> Self {
        let config = coordinator_core::Config::default();
        let core = Coordinator::new(config);
        let tokens = Tokens {
            secret: ClusterSecret::generate(),
            lifetime: Duration::from_secs(60),
        };
        let metrics = Metrics::default();
        let (stats, _) = watch::channel(Stats::default());
        let (hub, _) = Hub::new(core, tokens, stats, metrics.clone());
        let total = Arc::new(outbox::Total::new(shared_bytes));
        Self {
            hub,
            metrics,
            total,
        }
    }

    /// A client that has read its WELCOME and reads no more.
    fn guest(&mut self, shares: usize) -> Guest {
        let (sender, mut outbox) = outbox::new(ANY, shares, &self.total);
        let (close, closing) = oneshot::channel();
        let (id_sender, mut id) = oneshot::channel();
        let owner = Owner {
            role: Role::Client,
            ours: true,
            identity: Bytes::new(),
            token_id: None,
            expires: None,
            resume: None,
            region: None,
        };
        let seat = Seat {
            outbox: sender,
            close,
        };
        self.hub.take(Command::Open {
            owner,
            seat,
            id: id_sender,
        });
        while outbox.try_recv().is_some() {}
        let id = id.try_recv().expect("it is open");
        Guest {
            id,
            outbox,
            closing,
        }
    }

    fn send(&mut self, to: &Guest, bytes: usize) {
        self.hub.send(to.id, vec![0; bytes].into());
    }
}

impl Guest {
    fn closed(&mut self) -> Option<Reason> {
        self.closing.try_recv().ok()
    }

    fn waiting(&mut self) -> usize {
        std::iter::from_fn(|| self.outbox.try_recv()).count()
    }
}

#[test]
fn who_holds_most_makes_way_for_who_asks() {
    let mut scene = Scene::with(100_000);
    let [mut most, mut some, mut asking] = [(); 3].map(|()| scene.guest(1));
    scene.send(&most, 60_000);
    scene.send(&some, 30_000);
    scene.send(&asking, 20_000);
    assert_eq!(scene.metrics.crowded_out_so_far(), 0);
    scene.send(&asking, 20_000);
    assert_eq!(most.closed(), Some(Reason::SessionQueueFull));
    assert_eq!((some.closed(), asking.closed()), (None, None));
    assert_eq!(scene.metrics.crowded_out_so_far(), 1);
    assert_eq!(
        (most.waiting(), some.waiting(), asking.waiting()),
        (0, 1, 2)
    );
    assert_eq!(scene.total.held(), 0);
}

#[test]
fn who_asks_for_most_is_it() {
    let mut scene = Scene::with(100_000);
    let [mut other, mut asking] = [(); 2].map(|()| scene.guest(1));
    scene.send(&other, 60_000);
    scene.send(&asking, 61_000);
    assert_eq!(asking.closed(), Some(Reason::SessionQueueFull));
    assert_eq!((other.closed(), other.waiting()), (None, 1));
    assert_eq!(scene.metrics.crowded_out_so_far(), 1);
}

#[test]
fn more_shares_are_more_that_one_may_hold() {
    let mut scene = Scene::with(100_000);
    let (mut server, mut client) = (scene.guest(16), scene.guest(1));
    scene.send(&server, 150_000);
    scene.send(&client, 20_000);
    assert_eq!(client.closed(), Some(Reason::SessionQueueFull));
    assert_eq!((server.closed(), server.waiting()), (None, 1));
}

#[test]
fn within_its_shares_nobody_notices() {
    let mut scene = Scene::with(0);
    let [mut first, mut second] = [(); 2].map(|()| scene.guest(1));
    for guest in [&first, &second] {
        scene.send(guest, 4_000);
    }
    assert_eq!((first.closed(), second.closed()), (None, None));
    scene.send(&second, 1);
    assert_eq!(second.closed(), Some(Reason::SessionQueueFull));
    assert_eq!((first.closed(), first.waiting()), (None, 1));
}
