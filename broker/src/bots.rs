//! Company for the plaza: clients that wander about, in the format of the demo page
//! (`web/README.md`).

use std::{f64::consts::TAU, time::Duration};

use client::{Client, Config, ConnectError, Endpoint, EndpointConfig, Event, Events, Lane};
use rand::RngExt as _;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

/// Starts so many bots. They leave when `stop` is cancelled.
pub(crate) fn spawn(
    count: u32,
    coordinator: &Url,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let endpoint = Endpoint::new(EndpointConfig::default())?;
    for number in 0..count {
        let bot = Bot::join(number, &endpoint, coordinator)?;
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(bot.wander()).await });
    }
    Ok(())
}

struct Bot {
    client: Client,
    events: Events,
    name: String,
    hue: u16,
    path: Path,
}

/// A rose around the middle of the plaza, which is round: smooth, and different for everybody.
struct Path {
    petals: f64,
    phase: f64,
    lap: Duration,
}

#[derive(Serialize)]
struct Position<'a> {
    n: &'a str,
    c: u16,
    x: f64,
    y: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<u64>,
}

impl Bot {
    fn join(number: u32, endpoint: &Endpoint, coordinator: &Url) -> Result<Self, ConnectError> {
        let mut rng = rand::rng();
        let (client, events) = endpoint.connect(&Config::new(coordinator.clone()))?;
        Ok(Self {
            client,
            events,
            name: format!("bot {}", number + 1),
            hue: rng.random_range(0..360),
            path: Path {
                petals: f64::from(rng.random_range(2..6)),
                phase: rng.random_range(0.0..TAU),
                lap: Duration::from_secs_f64(rng.random_range(20.0..45.0)),
            },
        })
    }

    /// Walks for ever, or until the client is told something for good.
    async fn wander(mut self) {
        let start = Instant::now();
        let mut server = None;
        let mut steps = interval_at(start, STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(Event::Connected { server: alias, .. }) => server = Some(alias),
                    Some(Event::Disconnected { .. }) => server = None,
                    Some(Event::Stopped { reason }) => {
                        tracing::warn!(bot = self.name, %reason, "a bot has left");
                        return;
                    }
                    Some(_) => {}
                    None => return,
                },
                now = steps.tick() => {
                    let (x, y) = self.path.place(now - start);
                    let position = Position { n: &self.name, c: self.hue, x, y, s: server };
                    let body = serde_json::to_vec(&position).unwrap_or_default();
                    // A position that cannot go out now is old when it could: the next one follows.
                    _ = self.client.publish(POSITIONS, Lane::Unreliable, body).await;
                }
            }
        }
    }
}

impl Path {
    /// Where it is after this long: 0 to 1 from left to right and from top to bottom.
    fn place(&self, since: Duration) -> (f64, f64) {
        let angle = since.as_secs_f64() / self.lap.as_secs_f64() * TAU + self.phase;
        let radius = 0.28 + 0.14 * (self.petals * angle + self.phase).sin();
        (0.5 + radius * angle.cos(), 0.5 + radius * angle.sin())
    }
}

const POSITIONS: &str = "plaza/positions";

/// 20 Hz.
const STEP: Duration = Duration::from_millis(50);
