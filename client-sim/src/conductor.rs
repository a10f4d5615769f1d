//! Leads a run through its phases: start the clients, probe until everybody hears every server,
//! publish by the plan, wait for what is under way, settle the books.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use client::{
    Config, Credentials, Endpoint, EndpointConfig, Lane,
    driver::{self, Commands, Running},
    kernel_drops,
};
use tokio::time::{sleep, timeout};

use crate::{
    Control, Error, Options, Phase, Progress, Report,
    bot::{Bot, Command, Counts, Desk, Settled},
    ledger,
    pacer::Pacer,
    plan::{Plan, TopicId},
    probing::{Probe, Probes},
    report::{ConnectMs, LatencyUs, per_second},
    tally::Tally,
    window::Windows,
    workers::Workers,
};

/// A run under way.
pub(crate) struct Conductor {
    options: Options,
    control: Control,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    workers: Workers,
    bots: Vec<Running<Command>>,
    /// Where each bot leaves its books.
    desks: Vec<Desk>,
}

/// What the clients' sockets did.
#[derive(Debug, Default, Clone, Copy)]
struct Sockets {
    datagrams_in: u64,
    datagrams_out: u64,
    /// By the kernel, over the whole run.
    drops: u64,
}

impl Sockets {
    fn since(self, before: Self) -> Self {
        Self {
            datagrams_in: self.datagrams_in.saturating_sub(before.datagrams_in),
            datagrams_out: self.datagrams_out.saturating_sub(before.datagrams_out),
            drops: self.drops,
        }
    }
}

impl Conductor {
    pub(crate) fn new(options: Options, control: Control) -> Result<Self, Error> {
        let workers = Workers::start(options.workers).map_err(Error::Workers)?;
        let plan = Arc::new(Plan::new(&options, rand::random()));
        let tally = Arc::new(Tally::new(&plan, workers.count()));
        Ok(Self {
            options,
            control,
            plan,
            tally,
            workers,
            bots: Vec::new(),
            desks: Vec::new(),
        })
    }

    pub(crate) async fn run(mut self) -> Result<Report, Error> {
        self.start_clients().await?;
        let gathered = self.gather().await;
        let connected = self.tally.ready.load(Relaxed);
        let before = self.sockets();
        let took = match gathered {
            Ok(()) => Ok(self.publish().await),
            Err(error) => Err(error),
        };
        let mut sockets = self.sockets().since(before);
        // Before the sockets are closed, and their counters with them.
        sockets.drops = kernel_drops(self.bots.iter().map(|bot| &*bot.socket)).unwrap_or(0);
        self.tell(Phase::Leaving);
        self.dismiss().await;
        Ok(self.report(took?, connected, sockets))
    }

    /// Starts all clients, spread over the ramp.
    async fn start_clients(&mut self) -> Result<(), Error> {
        let endpoint = Endpoint::new(EndpointConfig {
            impair: self.options.impair,
            listen: self.options.listen,
            ..EndpointConfig::default()
        })
        .map_err(client::ConnectError::from)?;
        let mut config = Config::new(self.options.coordinator.clone());
        if let Some(token) = &self.options.token {
            config.credentials = Credentials::Token(Arc::clone(token));
        }
        let begin = Instant::now();
        for client in 0..self.plan.clients {
            let nth = f64::from(client) / f64::from(self.plan.clients);
            let due = begin + self.options.ramp.mul_f64(nth);
            while let Some(wait) = due.checked_duration_since(Instant::now()) {
                if self.control.stop.is_cancelled() {
                    return Ok(());
                }
                sleep(wait.min(LOOK_INTERVAL)).await;
                self.tell(Phase::Connecting);
            }
            self.start_client(client, &endpoint, &config)?;
        }
        Ok(())
    }

    fn start_client(
        &mut self,
        client: u32,
        endpoint: &Endpoint,
        config: &Config,
    ) -> Result<(), Error> {
        let worker = self.bots.len() % self.workers.count().max(1);
        let Some(runtime) = self.workers.runtime(worker) else {
            return Ok(());
        };
        let (plan, tally) = (Arc::clone(&self.plan), Arc::clone(&self.tally));
        let desk = Desk::default();
        let bot = Bot::new(client, worker, plan, tally, Arc::clone(&desk));
        let _inside = runtime.enter();
        self.bots.push(driver::start(endpoint, config, bot)?);
        self.desks.push(desk);
        Ok(())
    }

    /// Until every client is subscribed, or patience ends; then until every probe has arrived.
    async fn gather(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.options.patience;
        while !self.control.stop.is_cancelled() && Instant::now() < deadline {
            let (ready, stopped) = (
                self.tally.ready.load(Relaxed),
                self.tally.stopped.load(Relaxed),
            );
            if ready + stopped >= u64::from(self.plan.clients) {
                break;
            }
            self.tell(Phase::Connecting);
            sleep(LOOK_INTERVAL).await;
        }
        if self.tally.ready.load(Relaxed) == 0 {
            return Err(Error::NobodyConnected(self.tally.errors()));
        }
        self.probe().await
    }

    async fn probe(&self) -> Result<(), Error> {
        if self.plan.slots == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + self.options.patience;
        loop {
            let (ready, probed) = (
                self.tally.ready.load(Relaxed),
                self.tally.probed.load(Relaxed),
            );
            if probed >= ready && ready > 0 || self.control.stop.is_cancelled() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::ProbesMissing {
                    reached: probed,
                    clients: ready,
                });
            }
            let probes = Arc::new(self.probes());
            self.tell_all(|| Command::Probe(Arc::clone(&probes))).await;
            // Long enough for a round trip; a probe that came too early is sent again.
            let next = Instant::now() + PROBE_INTERVAL;
            while Instant::now() < next && self.tally.probed.load(Relaxed) < ready {
                self.tell(Phase::Probing);
                sleep(LOOK_INTERVAL).await;
            }
        }
    }

    /// On each server and for each topic one client, as evenly as may be.
    fn probes(&self) -> Probes {
        let mut probes = Probes::default();
        for (server, clients) in self.tally.clients_by_server() {
            for (topic, client) in (0..self.plan.topics.len()).zip(clients.iter().cycle()) {
                let topic = TopicId::try_from(topic).unwrap_or(TopicId::MAX);
                let client = *client;
                probes.0.push(Probe {
                    server,
                    topic,
                    client,
                });
            }
        }
        probes
    }

    /// Has everybody publish. Returns how long that took.
    async fn publish(&self) -> Duration {
        let start = *self.tally.start.get_or_init(|| Instant::now() + LEAD);
        if self.control.stop.is_cancelled() {
            return Duration::ZERO;
        }
        let bots = self.bots.iter().map(|bot| bot.commands.clone()).collect();
        let pacer = match &self.tally.windows {
            Some(windows) => {
                windows.set_bots(bots);
                None
            }
            None => self.start_pacer(start, bots),
        };
        self.tell_all(|| Command::Begin).await;
        let end = start + self.options.duration;
        while Instant::now() < end && !self.control.stop.is_cancelled() {
            let elapsed = start.elapsed().min(self.options.duration);
            self.tell(Phase::Publishing {
                elapsed,
                of: self.options.duration,
            });
            sleep(LOOK_INTERVAL.min(end.saturating_duration_since(Instant::now()))).await;
        }
        let took = start.elapsed().min(self.options.duration);
        self.tell(Phase::Draining);
        drop(pacer);
        if self.control.stop.is_cancelled() {
            self.tell_all(|| Command::Halt).await;
        }
        self.drain().await;
        took
    }

    fn start_pacer(&self, start: Instant, bots: Vec<Commands<Command>>) -> Option<Pacer> {
        let pacer = Pacer::start(Arc::clone(&self.plan), start, bots);
        if pacer.is_err() {
            self.tally.count_error("NoPacer");
        }
        pacer.ok()
    }

    /// Until everything due is delivered, or nothing has come for a while.
    async fn drain(&self) {
        let end = Instant::now() + DRAIN_MAX;
        let mut last = (0, Instant::now());
        while Instant::now() < end {
            let delivered = self.tally.delivered.load(Relaxed);
            if delivered != last.0 {
                last = (delivered, Instant::now());
            }
            let complete = delivered >= self.tally.expected.load(Relaxed);
            // Complete at once may be a packet too early: the last ones are still being sent.
            let quiet = match self.plan.lane {
                _ if complete => LOOK_INTERVAL,
                Lane::Reliable => QUIET_RELIABLE,
                Lane::Unreliable => QUIET_UNRELIABLE,
            };
            if last.1.elapsed() > quiet {
                return;
            }
            self.tell(Phase::Draining);
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// What all clients' sockets have carried so far.
    fn sockets(&self) -> Sockets {
        let mut sum = Sockets::default();
        for bot in &self.bots {
            sum.datagrams_in += bot.socket.datagrams_in.value();
            sum.datagrams_out += bot.socket.datagrams_out.value();
        }
        sum
    }

    /// Collects the books and makes the report.
    fn report(&self, took: Duration, connected: u64, sockets: Sockets) -> Report {
        let mut accounts = Vec::with_capacity(self.desks.len());
        let mut counts = Counts::default();
        for (client, desk) in (0..).zip(&self.desks) {
            let settled = desk.lock().take().unwrap_or_else(|| {
                self.tally.count_error("BooksMissing");
                Settled::empty(client)
            });
            counts.duplicated += settled.counts.duplicated;
            counts.reordered += settled.counts.reordered;
            counts.corrupt += settled.counts.corrupt;
            accounts.push(settled.account);
        }
        let balance = ledger::settle(&self.plan, &accounts);
        let clients = u64::from(self.plan.clients);
        let published = self.tally.published.load(Relaxed);
        Report {
            clients,
            connected,
            failed: clients.saturating_sub(connected),
            published,
            expected: balance.expected,
            delivered: balance.delivered,
            lost: balance.lost,
            away: balance.away,
            duplicated: counts.duplicated,
            reordered: counts.reordered,
            corrupt: counts.corrupt + balance.invented,
            socket_drops: sockets.drops,
            stalls: self.tally.windows.as_ref().map_or(0, Windows::stalls),
            datagrams_in: sockets.datagrams_in,
            datagrams_out: sockets.datagrams_out,
            publish_per_s: per_second(published, took),
            deliver_per_s: per_second(balance.delivered, took),
            connect_ms: ConnectMs::of(&self.tally.connect_us.lock()),
            latency_us: LatencyUs::of(&self.tally.latency_us()),
            errors: self.tally.errors(),
            duration_s: took.as_secs_f64(),
            seed: self.options.seed,
        }
    }

    /// Lets everybody leave politely.
    async fn dismiss(&self) {
        for bot in &self.bots {
            bot.stop.cancel();
        }
        let left = async {
            for bot in &self.bots {
                bot.tasks.wait().await;
            }
        };
        // What has not left by then is cut off with its thread.
        let _left = timeout(DISMISS_TIMEOUT, left).await;
    }

    async fn tell_all(&self, command: impl Fn() -> Command) {
        for bot in &self.bots {
            // One that has stopped does not hear it, and is counted as stopped.
            let _heard = timeout(COMMAND_TIMEOUT, bot.commands.send(command())).await;
        }
    }

    fn tell(&self, phase: Phase) {
        if let Some(progress) = &self.control.progress {
            progress.send_replace(Progress {
                phase,
                clients: u64::from(self.plan.clients),
                ready: self.tally.ready.load(Relaxed),
                published: self.tally.published.load(Relaxed),
                expected: self.tally.expected.load(Relaxed),
                delivered: self.tally.delivered.load(Relaxed),
            });
        }
    }
}

/// Between looks at the tally.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Between rounds of probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Between the order to begin and the first packet: the order has reached everybody by then.
const LEAD: Duration = Duration::from_millis(200);

/// Without a delivery for so long, nothing more will come: three retransmissions of SCTP, whose
/// timer starts at one second.
const QUIET_RELIABLE: Duration = Duration::from_secs(4);

/// The same where nothing is retransmitted: far beyond any delay of a network.
const QUIET_UNRELIABLE: Duration = Duration::from_secs(1);

/// The longest wait for what is under way.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// A bot's task takes commands between passes of a few milliseconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

const DISMISS_TIMEOUT: Duration = Duration::from_secs(10);
