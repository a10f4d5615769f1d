//! The processes under test: a coordinator, commservers, and crowds of clients, all on one machine,
//! each with an address of its own, and the cable between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use processes::{child::Child, cores, footprint::Footprint, metrics::Metrics};

use crate::{
    blow::Place,
    cable::{Cable, address, advertised},
};

/// How large it is, and where things are.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) programs: PathBuf,
    pub(crate) out: PathBuf,
    /// Servers are reached by way of the cable.
    pub(crate) cabled: bool,
    pub(crate) servers: usize,
    pub(crate) crowds: usize,
    pub(crate) clients_of_crowd: u32,
    /// A crowd more, which comes later.
    pub(crate) newcomers: u32,
    pub(crate) topics: u32,
    pub(crate) every_ms: u64,
}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    setup: Setup,
    pub(crate) cable: Cable,
    running: BTreeMap<Place, Child>,
    /// How many processes there have been in each place.
    lives: BTreeMap<Place, u32>,
    coordinator: SocketAddr,
    /// Where each place dials the coordinator.
    dials: BTreeMap<Place, SocketAddr>,
    ports: BTreeMap<Place, u16>,
    /// `/metrics` of the coordinator and of each server.
    admins: BTreeMap<Place, String>,
    /// Which server has had which alias.
    pub(crate) aliases: BTreeMap<u64, usize>,
    /// Those of them that were killed.
    pub(crate) ended: BTreeSet<u64>,
    environment: Vec<(&'static str, String)>,
    cores: Vec<usize>,
}

impl Cluster {
    /// Starts everything, one after the other.
    pub(crate) async fn start(setup: Setup) -> anyhow::Result<Self> {
        let secret = || format!("{:032x}", rand::random::<u128>());
        let token = secret();
        let environment = vec![
            ("BROKER_CLUSTER_SECRET", secret()),
            ("BROKER_CLIENT_SECRET", token.clone()),
            ("BROKER_TOKEN", token),
            // In the end the clients are killed: nobody is there to go elsewhere.
            ("BROKER_DRAIN__TIMEOUT", "2s".to_owned()),
            ("BROKER_DRAIN__WITHIN", "1s".to_owned()),
        ];
        let mut cluster = Self {
            setup,
            cable: Cable::new(),
            running: BTreeMap::new(),
            lives: BTreeMap::new(),
            coordinator: SocketAddr::new(address(Place::Coordinator), 0),
            dials: BTreeMap::new(),
            ports: BTreeMap::new(),
            admins: BTreeMap::new(),
            aliases: BTreeMap::new(),
            ended: BTreeSet::new(),
            environment,
            cores: cores::allowed()?,
        };
        for place in cluster.places() {
            cluster.start_one(place).await?;
        }
        Ok(cluster)
    }

    /// In the order in which they are started.
    pub(crate) fn places(&self) -> Vec<Place> {
        let servers = (0..self.setup.servers).map(Place::Server);
        let crowds = (0..self.setup.crowds).map(Place::Crowd);
        [Place::Coordinator]
            .into_iter()
            .chain(servers)
            .chain(crowds)
            .collect()
    }

    /// Starts a process in a place where there is none.
    pub(crate) async fn start_one(&mut self, place: Place) -> anyhow::Result<()> {
        let (program, args) = match place {
            Place::Coordinator => {
                let listen = self.coordinator.to_string();
                let args = ["--listen", &listen, "--admin-listen", "127.0.0.1:0"];
                ("coordinator", args.map(str::to_owned).to_vec())
            }
            Place::Server(_) => ("commserver", self.server_args(place).await?),
            Place::Crowd(index) => ("chaos", self.crowd_args(place, index).await?),
        };
        let life = self.lives.entry(place).or_default();
        *life += 1;
        let name = format!("{place}.{life}").replace(' ', "-");
        let program = match place {
            // This program, in another part.
            Place::Crowd(_) => std::env::current_exe().context("this program")?,
            _ => self.setup.programs.join(program),
        };
        let mut child = Child::start(
            &name,
            &program,
            &args,
            &self.environment,
            &self.cores,
            &self.logs(),
        )?;
        self.note_ready(place, &mut child).await?;
        self.running.insert(place, child);
        Ok(())
    }

    /// What a server says when it is ready. Clients say nothing.
    async fn note_ready(&mut self, place: Place, child: &mut Child) -> anyhow::Result<()> {
        if matches!(place, Place::Crowd(_)) {
            return Ok(());
        }
        let line = child.ready().await?;
        let admin = word(&line, "admin=http://").context("the address of /metrics")?;
        self.admins.insert(place, admin);
        match place {
            Place::Coordinator => {
                let addr = word(&line, "ws://").context("the coordinator's address")?;
                self.coordinator = addr.parse().with_context(|| line.clone())?;
            }
            Place::Server(index) => {
                // One that has not reached the coordinator yet is not known by a name.
                if let Some(alias) = word(&line, "alias=") {
                    let alias = alias.trim_end_matches(')').parse()?;
                    self.aliases.insert(alias, index);
                }
            }
            Place::Crowd(_) => {}
        }
        Ok(())
    }

    async fn server_args(&mut self, place: Place) -> anyhow::Result<Vec<String>> {
        if !self.setup.cabled {
            let listen = SocketAddr::new(address(place), 0).to_string();
            let url = self.url();
            let flags = [
                ("--coordinator", url.as_str()),
                ("--rtc-listen", &listen),
                ("--admin-listen", "127.0.0.1:0"),
            ];
            let words = flags.into_iter().flat_map(|(flag, value)| [flag, value]);
            return Ok(words.map(str::to_owned).collect());
        }
        let dial = self.dial(place).await?;
        let port = match self.ports.get(&place) {
            Some(port) => *port,
            None => {
                let port = self.cable.lay_udp(place).await?;
                *self.ports.entry(place).or_insert(port)
            }
        };
        Ok(vec![
            "--coordinator".into(),
            format!("ws://{dial}"),
            "--rtc-listen".into(),
            SocketAddr::new(address(place), port).to_string(),
            "--advertise".into(),
            advertised(place).to_string(),
            "--admin-listen".into(),
            "127.0.0.1:0".into(),
        ])
    }

    async fn crowd_args(&mut self, place: Place, index: usize) -> anyhow::Result<Vec<String>> {
        let dial = self.dial(place).await?;
        let setup = &self.setup;
        let first = u32::try_from(index)? * setup.clients_of_crowd;
        let clients = if index < setup.crowds {
            setup.clients_of_crowd
        } else {
            setup.newcomers
        };
        let mut args = vec!["crowd".to_owned()];
        for (flag, value) in [
            ("coordinator", format!("ws://{dial}")),
            ("listen", address(place).to_string()),
            ("first", first.to_string()),
            ("clients", clients.to_string()),
            ("topics", setup.topics.to_string()),
            ("every-ms", setup.every_ms.to_string()),
            ("log", self.log_of(index).display().to_string()),
        ] {
            args.extend([format!("--{flag}"), value]);
        }
        Ok(args)
    }

    async fn dial(&mut self, place: Place) -> anyhow::Result<SocketAddr> {
        if let Some(addr) = self.dials.get(&place) {
            return Ok(*addr);
        }
        let addr = self.cable.lay_tcp(place, self.coordinator).await?;
        Ok(*self.dials.entry(place).or_insert(addr))
    }

    /// What the clients of a crowd have seen.
    pub(crate) fn log_of(&self, crowd: usize) -> PathBuf {
        self.setup.out.join(format!("crowd-{crowd}.txt"))
    }

    /// Ends a process as `kill -9` does.
    pub(crate) async fn kill(&mut self, place: Place) -> anyhow::Result<()> {
        if let Place::Server(killed) = place {
            let of_killed = self.aliases.iter().filter(|(_, index)| **index == killed);
            self.ended.extend(of_killed.map(|(alias, _)| *alias));
        }
        match self.running.remove(&place) {
            Some(child) => child.kill().await,
            None => Ok(()),
        }
    }

    pub(crate) fn set_stopped(&self, place: Place, stopped: bool) -> anyhow::Result<()> {
        let child = self.running.get(&place);
        child.map_or(Ok(()), |child| child.set_stopped(stopped))
    }

    /// None has ended that we did not end.
    pub(crate) fn check_running(&mut self) -> anyhow::Result<()> {
        self.running.values_mut().try_for_each(Child::check_running)
    }

    /// Where clients dial that no cable is laid for.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.coordinator)
    }

    /// What every process is told.
    pub(crate) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// What the coordinator and the servers hold.
    pub(crate) fn footprints(&self) -> anyhow::Result<BTreeMap<Place, Footprint>> {
        let servers = self.running.iter();
        let servers = servers.filter(|(place, _)| !matches!(place, Place::Crowd(_)));
        servers
            .map(|(place, child)| Ok((*place, Footprint::of(child.pid())?)))
            .collect()
    }

    /// Tasks of the coordinator and of each server.
    pub(crate) async fn tasks(&self) -> anyhow::Result<BTreeMap<Place, f64>> {
        let mut tasks = BTreeMap::new();
        for &place in self.admins.keys() {
            let name = match place {
                Place::Coordinator => "coordinator_tasks",
                _ => "broker_tasks",
            };
            tasks.insert(place, self.metric(place, name).await?);
        }
        Ok(tasks)
    }

    /// Servers that do not have one link to each other.
    pub(crate) async fn links_amiss(&self) -> anyhow::Result<u32> {
        let mut amiss = 0;
        for server in 0..self.setup.servers {
            let links = self.metric(Place::Server(server), "broker_links").await?;
            let others = u32::try_from(self.setup.servers - 1)?;
            amiss += u32::from(links != f64::from(others));
        }
        Ok(amiss)
    }

    async fn metric(&self, place: Place, name: &'static str) -> anyhow::Result<f64> {
        let admin = self.admins.get(&place).context("no /metrics")?;
        let metrics = Metrics::scrape(std::slice::from_ref(admin)).await?;
        metrics.value(name).context(name)
    }

    /// Ends the clients, and then asks the servers to end, which they have to.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let mut stopped = Ok(());
        for place in self.places().into_iter().rev() {
            let Some(child) = self.running.remove(&place) else {
                continue;
            };
            let ended = match place {
                Place::Crowd(_) => child.kill().await,
                _ => child.stop().await,
            };
            stopped = stopped.and(ended);
        }
        stopped
    }

    fn logs(&self) -> PathBuf {
        logs(&self.setup.out)
    }
}

/// Where the processes say what they have to say.
pub(crate) fn logs(out: &Path) -> PathBuf {
    out.join("logs")
}

/// What follows upon a mark in a line, up to the next space.
fn word(line: &str, mark: &str) -> Option<String> {
    let (_, rest) = line.split_once(mark)?;
    rest.split(' ').next().map(str::to_owned)
}
