//! The nodes of the demonstration: those that are there, and those that can be added.
//!
//! The ports of all are chosen at the start. So the page's policy can name every address that it will
//! ever connect to, where one that is sent with the page could not know of a node that comes later,
//! and one for any port would let the page talk to whatever else listens on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use ringpost::Config;
use ringpost::id::NodeId;
use tokio::sync::Mutex;

use super::guard::Guard;
use super::machine::{Machine, Refused};
use super::ports::{self, Ports};
use super::{CLUSTER, DRAIN_TIMEOUT};

/// As many nodes as there can be.
pub const NODES_MAX: u8 = 8;

/// A place for every node that there can be; the first so many have one.
pub struct Cluster {
    machines: Vec<Machine>,
    added: AtomicUsize,
    /// Held while a node is added.
    adding: Mutex<()>,
}

impl Cluster {
    /// Starts so many nodes, on other ports if those that were chosen are taken in the meantime.
    ///
    /// # Errors
    /// A sentence: no ports were free, or a node did not start.
    pub async fn start(nodes: u8, guard: &Guard) -> Result<Self, String> {
        let mut why = "no three ports a node were free".to_owned();
        for ports in ports::candidates(NODES_MAX) {
            let cluster = Self {
                machines: machines(&ports, guard)?,
                added: AtomicUsize::new(usize::from(nodes)),
                adding: Mutex::new(()),
            };
            match cluster.start_all().await {
                Ok(()) => return Ok(cluster),
                Err(refused) => why = refused.to_string(),
            }
            cluster.end().await;
        }
        Err(format!("the nodes cannot be started: {why}"))
    }

    async fn start_all(&self) -> Result<(), Refused> {
        for machine in self.machines() {
            machine.start(self.seeds()).await?;
        }
        Ok(())
    }

    /// Ends all nodes at once: there is nobody left to hand their users to.
    pub async fn end(&self) {
        for machine in self.machines() {
            let _ = machine.kill().await;
        }
    }

    /// The nodes that were started or added, whether they run or not.
    pub fn machines(&self) -> &[Machine] {
        &self.machines[..self.added.load(Ordering::Acquire)]
    }

    /// These, and those that can be added.
    pub fn places(&self) -> &[Machine] {
        &self.machines
    }

    pub fn find(&self, id: &str) -> Option<&Machine> {
        self.machines().iter().find(|machine| machine.id() == id)
    }

    /// Adds one more node, which joins the others.
    pub async fn add(&self) -> Result<&Machine, Refused> {
        let _adding = self.adding.lock().await;
        let added = self.added.load(Ordering::Acquire);
        let machine = self.machines.get(added).ok_or(Refused::Full(NODES_MAX))?;
        let mut seeds = self.seeds();
        seeds.push(machine.peer().to_string());
        machine.start(seeds).await?;
        self.added.store(added + 1, Ordering::Release);
        Ok(machine)
    }

    /// Starts a node again.
    pub async fn restart(&self, machine: &Machine) -> Result<(), Refused> {
        machine.start(self.seeds()).await
    }

    /// Where all find each other, those that came later included: the first ones may be gone.
    fn seeds(&self) -> Vec<String> {
        let peers = self.machines().iter().map(Machine::peer);
        peers.map(|peer| peer.to_string()).collect()
    }
}

fn machines(ports: &[Ports], guard: &Guard) -> Result<Vec<Machine>, String> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let configure = |(number, ports): (usize, &Ports)| {
        let id = NodeId::new(&format!("n{}", number + 1)).map_err(|error| error.to_string())?;
        let mut config = Config::new(id);
        CLUSTER.clone_into(&mut config.cluster);
        config.listen = loopback(ports.client);
        config.peer_listen = loopback(ports.peer);
        config.admin_listen = loopback(ports.admin);
        config.insecure_users = true;
        config.allowed_origins = guard.origins();
        config.drain_timeout = DRAIN_TIMEOUT;
        Ok(Machine::new(config))
    };
    ports.iter().enumerate().map(configure).collect()
}
