//! Leads a run through its phases: start the clients, probe until everybody hears every server,
//! publish by the plan, wait for what is under way, settle the books.

mod record;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use client::{Config, Credentials, Endpoint, EndpointConfig, Lane, driver};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::{
    Control, Error, Options, Phase, Progress, Report,
    bot::{Books, Bot, Command},
    churn,
    ledger::Incoming,
    pacer::Pacer,
    plan::Plan,
    probing::{Probe, Probes},
    report::{LatencyUs, TimesMs, per_second},
    roster::{Roster, Seat, Sockets},
    tally::Tally,
    tokens::Tokens,
    window::Windows,
    workers::Workers,
};
use record::Record;

/// A run under way.
pub(crate) struct Conductor {
    options: Options,
    control: Control,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    workers: Workers,
    endpoint: Endpoint,
    config: Config,
    /// For clients that show one each.
    tokens: Option<Tokens>,
    roster: Roster,
    churn: Option<churn::Schedule>,
    record: Option<Record>,
    started: u32,
}

impl Conductor {
    pub(crate) fn new(options: Options, control: Control) -> Result<Self, Error> {
        let workers = Workers::start(options.workers).map_err(Error::Workers)?;
        let plan = Arc::new(Plan::new(&options, rand::random()));
        let record = match &options.record_timeline {
            Some(path) => Some(Record::create(path).map_err(|source| Error::Timeline {
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        let tally = Arc::new(Tally::new(&plan, workers.count(), record.is_some()));
        let endpoint = Endpoint::new(EndpointConfig {
            impair: options.impair,
            listen: options.listen,
            ..EndpointConfig::default()
        })
        .map_err(client::ConnectError::from)?;
        let mut config = Config::new(options.coordinator.clone());
        if let Some(path) = &options.ca_file {
            config = config.with_ca_file(path);
        }
        if let Some(token) = &options.token {
            config.credentials = Credentials::Token(Arc::clone(token));
        }
        let tokens = options.jwt_secret.as_deref().map(Tokens::new);
        let churn = options.churn;
        let churn = churn.map(|churn| churn::Schedule::new(churn, plan.clients, options.seed));
        Ok(Self {
            options,
            control,
            plan,
            tally,
            workers,
            endpoint,
            config,
            tokens,
            roster: Roster::default(),
            churn,
            record,
            started: 0,
        })
    }

    pub(crate) async fn run(mut self) -> Result<Report, Error> {
        self.start_clients().await?;
        let gathered = self.gather().await;
        let connected = self.tally.ready.load(Relaxed);
        let before = self.roster.sockets();
        let took = match gathered {
            Ok(()) => Ok(self.publish().await),
            Err(error) => Err(error),
        };
        // Before the sockets are closed, and their counters with them.
        let sockets = self.roster.sockets().since(before);
        self.tell(Phase::Leaving);
        let last_connected = self.tally.ready.load(Relaxed);
        self.roster.dismiss().await;
        let report = self.report(took?, connected, sockets);
        self.close_record(&report, last_connected);
        // What the record has to say of itself comes last.
        Ok(Report {
            errors: self.tally.errors(),
            ..report
        })
    }

    /// Starts all clients, spread over the ramp.
    async fn start_clients(&mut self) -> Result<(), Error> {
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
            let seat = self.start_client(client, None)?;
            self.roster.push(seat);
        }
        Ok(())
    }

    /// Starts a client, or, under load, somebody who takes its place.
    fn start_client(&mut self, client: u32, from: Option<Instant>) -> Result<Seat, Error> {
        let worker = usize::try_from(self.started).unwrap_or(0) % self.workers.count().max(1);
        if let Some(tokens) = &self.tokens {
            self.config.credentials = tokens.of(self.started);
        }
        self.started = self.started.wrapping_add(1);
        let books = Books {
            outgoing: self.roster.outgoing(place(client)),
            incoming: Arc::new(Mutex::new(Incoming::new(client, &self.plan, from))),
        };
        let (plan, tally) = (Arc::clone(&self.plan), Arc::clone(&self.tally));
        let mut bot = Bot::new(client, worker, plan, tally, books.clone());
        if from.is_some() {
            bot = bot.late();
        }
        let _inside = self.workers.runtime(worker).map(|runtime| runtime.enter());
        let running = driver::start(&self.endpoint, &self.config, bot)?;
        Ok(Seat { running, books })
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

    /// On each server and for each topic that somebody publishes to one client, as evenly as may
    /// be.
    fn probes(&self) -> Probes {
        let mut probes = Probes::default();
        for (server, clients) in self.tally.clients_by_server() {
            for (topic, client) in self.plan.topics_published().zip(clients.iter().cycle()) {
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
    async fn publish(&mut self) -> Duration {
        let start = *self.tally.start.get_or_init(|| Instant::now() + LEAD);
        if self.control.stop.is_cancelled() {
            return Duration::ZERO;
        }
        let pacer = match &self.tally.windows {
            Some(windows) => {
                windows.set_bots(self.roster.commands());
                None
            }
            None => self.start_pacer(start),
        };
        self.tell_all(|| Command::Begin).await;
        let end = start + self.options.duration;
        while Instant::now() < end && !self.control.stop.is_cancelled() {
            let elapsed = start.elapsed().min(self.options.duration);
            self.tell(Phase::Publishing {
                elapsed,
                of: self.options.duration,
            });
            self.replace_due(start).await;
            self.look(start);
            sleep(LOOK_INTERVAL.min(end.saturating_duration_since(Instant::now()))).await;
        }
        let took = start.elapsed().min(self.options.duration);
        self.tell(Phase::Draining);
        drop(pacer);
        if self.control.stop.is_cancelled() {
            self.tell_all(|| Command::Halt).await;
        }
        self.drain(start).await;
        took
    }

    fn start_pacer(&self, start: Instant) -> Option<Pacer> {
        let pacer = Pacer::start(Arc::clone(&self.plan), start, self.roster.lines());
        if pacer.is_err() {
            self.tally.count_error("NoPacer");
        }
        pacer.ok()
    }

    /// Has those leave who are due, and others take their places.
    async fn replace_due(&mut self, start: Instant) {
        let due = |churn: &churn::Schedule| start + churn.next_due() <= Instant::now();
        while let Some(churn) = self.churn.as_mut().filter(|churn| due(churn)) {
            let Some(client) = churn
                .advance()
                .filter(|client| place(*client) < self.roster.len())
            else {
                continue;
            };
            let now = Instant::now();
            self.roster.tell(place(client), Command::Leave(now)).await;
            match self.start_client(client, Some(now)) {
                Ok(seat) => self.roster.replace(now, place(client), seat),
                // Nobody takes the place: what is published is away for it from now on.
                Err(_) => self.tally.count_error("NoReplacement"),
            }
        }
    }

    /// What is to be done now and then under load.
    fn look(&mut self, start: Instant) {
        let now = Instant::now();
        if let Some(record) = &mut self.record {
            let written = record.write_due(now, start, &self.plan, &self.roster, &self.tally);
            if written.is_err() {
                self.tally.count_error("TimelineNotWritten");
                self.record = None;
            }
        }
        let linger = quiet(self.plan.lane);
        self.roster.clear(now, linger, &self.plan, start);
    }

    /// Until everything due is delivered, or nothing has come for a while.
    async fn drain(&mut self, start: Instant) {
        let end = Instant::now() + DRAIN_MAX;
        let mut last = (0, Instant::now());
        while Instant::now() < end {
            let delivered = self.tally.delivered.load(Relaxed);
            if delivered != last.0 {
                last = (delivered, Instant::now());
            }
            let complete = delivered >= self.tally.expected.load(Relaxed);
            // Complete at once may be a packet too early: the last ones are still being sent.
            let quiet = if complete {
                LOOK_INTERVAL
            } else {
                quiet(self.plan.lane)
            };
            if last.1.elapsed() > quiet {
                return;
            }
            self.tell(Phase::Draining);
            self.look(start);
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Makes the report from the books.
    fn report(&self, took: Duration, connected: u64, sockets: Sockets) -> Report {
        let tally = &*self.tally;
        let start = tally.start.get().copied();
        let balance = start.map(|start| self.roster.settle(&self.plan, start));
        let balance = balance.unwrap_or_default();
        let clients = u64::from(self.plan.clients);
        let published = tally.published.load(Relaxed);
        Report {
            clients,
            connected,
            failed: clients.saturating_sub(connected),
            published,
            expected: balance.expected(),
            delivered: balance.delivered,
            lost: balance.lost,
            away: balance.away,
            duplicated: tally.faults.duplicated.load(Relaxed),
            reordered: tally.faults.reordered.load(Relaxed),
            corrupt: tally.faults.corrupt.load(Relaxed) + balance.invented,
            socket_drops: sockets.drops,
            publish_per_s: per_second(published, took),
            deliver_per_s: per_second(balance.delivered, took),
            connect_ms: TimesMs::of(&tally.connect_us.lock()),
            latency_us: LatencyUs::of(&tally.latency_us()),
            errors: tally.errors(),
            duration_s: took.as_secs_f64(),
            seed: self.options.seed,
            reconnects: tally.moves.reconnects.load(Relaxed),
            recovery_ms: TimesMs::of(&tally.recovery_us.lock()),
            unrecovered: tally.moves.unrecovered.load(Relaxed),
            aliases_changed: tally.moves.aliases_changed.load(Relaxed),
            joined: tally.moves.joined.load(Relaxed),
            left: tally.moves.left.load(Relaxed),
            stalls: tally.windows.as_ref().map_or(0, Windows::stalls),
            datagrams_in: sockets.datagrams_in,
            datagrams_out: sockets.datagrams_out,
        }
    }

    /// The last line.
    fn close_record(&mut self, report: &Report, connected: u64) {
        if let (Some(record), Some(start)) = (self.record.take(), self.tally.start.get()) {
            let closed = record.close(Instant::now(), *start, connected, report, &self.tally);
            if closed.is_err() {
                self.tally.count_error("TimelineNotWritten");
            }
        }
    }

    async fn tell_all(&self, command: impl Fn() -> Command) {
        for client in 0..self.roster.len() {
            self.roster.tell(client, command()).await;
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
                reconnects: self.tally.moves.reconnects.load(Relaxed),
            });
        }
    }
}

fn place(client: u32) -> usize {
    usize::try_from(client).unwrap_or(usize::MAX)
}

/// Between looks at the tally.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Between rounds of probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Between the order to begin and the first packet: the order has reached everybody by then.
const LEAD: Duration = Duration::from_millis(200);

/// Without a delivery for so long, nothing more will come.
const fn quiet(lane: Lane) -> Duration {
    match lane {
        // Three retransmissions of SCTP, whose timer starts at one second.
        Lane::Reliable => Duration::from_secs(4),
        // Nothing is retransmitted: far beyond any delay of a network.
        Lane::Unreliable => Duration::from_secs(1),
    }
}

/// The longest wait for what is under way.
const DRAIN_MAX: Duration = Duration::from_secs(60);
