//! Three real nodes in this process.

use std::net::SocketAddr;

use ringpost::client::{Client, http};
use ringpost::id::NodeId;
use ringpost::{Config, Node};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::{connected, hasty, soon_true};

/// One cluster at a time: the machine is not to be overloaded.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct Cluster {
    nodes: Vec<Option<Node>>,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts it; all know all when this returns.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, of nodes that are configured otherwise. None starts before the last one is dropped.
    pub async fn start_with(change: impl Fn(&mut Config)) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            _turn: TURN.lock().await,
        };
        let mut seeds = Vec::new();
        for id in ["n1", "n2", "n3"] {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut config = Config::new(NodeId::new(id).unwrap());
            config.listen = any;
            config.peer_listen = any;
            config.admin_listen = any;
            config.insecure_users = true;
            // Tests send as fast as they can.
            config.limits.message_rate = 1_000_000;
            config.limits.message_burst = 1_000_000;
            // A member that is on its way may miss a good deal meanwhile.
            config.room.messages_max = 100_000;
            config.room.bytes_max = 16 * 1024 * 1024;
            config.seeds.clone_from(&seeds);
            change(&mut config);
            let node = Node::start(config).await.unwrap();
            seeds.push(node.ready().peer.clone());
            cluster.nodes.push(Some(node));
        }
        cluster.settled(3).await;
        // Of itself a node says so only once all have answered it, over connections that are there.
        cluster.copied().await;
        cluster
    }

    /// Waits until every node that runs sees so many alive, and no others.
    pub async fn settled(&self, alive: usize) {
        self.every("sees all", async |admin| alive_for(admin).await == alive)
            .await;
    }

    /// Waits until every message that is kept has all its copies.
    pub async fn copied(&self) {
        self.every("has all copies", async |admin| {
            missing_copies(admin).await == 0
        })
        .await;
    }

    /// Waits until a condition holds for every node that runs, one after another.
    async fn every(&self, what: &str, holds: impl AsyncFn(&str) -> bool) {
        for node in self.nodes.iter().flatten() {
            soon_true(what, async || holds(&node.ready().admin).await).await;
        }
    }

    /// A user who can begin at any of the nodes.
    pub async fn client(&self, user: &str) -> Client {
        let mut options = hasty(user);
        let mut urls = self.urls();
        let first = urls.remove(0);
        options.also = urls;
        Client::connect(&first, options).await.unwrap()
    }

    /// A user on this node.
    pub async fn client_at(&self, node: &str) -> Client {
        self.client_where(|at| at == node).await
    }

    /// A user on another node than this one.
    pub async fn client_not_at(&self, node: &str) -> Client {
        self.client_where(|at| at != node).await
    }

    async fn client_where(&self, fits: impl Fn(&str) -> bool) -> Client {
        for number in 0..200 {
            let client = self.client(&format!("user{number}")).await;
            if fits(&connected(&client).await) {
                return client;
            }
            client.close().await;
        }
        panic!("200 users, and none of them there");
    }

    /// Where the clients of this node connect.
    pub fn url_of(&self, id: &str) -> String {
        let mut nodes = self.nodes.iter().flatten();
        let node = nodes.find(|node| node.ready().id.as_str() == id);
        node.expect("it runs").ready().url.clone()
    }

    /// Of the nodes that run.
    pub fn urls(&self) -> Vec<String> {
        let nodes = self.nodes.iter().flatten();
        nodes.map(|node| node.ready().url.clone()).collect()
    }

    /// Takes a node out of the list, running.
    pub fn take(&mut self, id: &str) -> Node {
        let mut nodes = self.nodes.iter_mut();
        let node = nodes.find_map(|node| node.take_if(|node| node.ready().id.as_str() == id));
        node.expect("it runs")
    }
}

/// The members that are alive and stay, as this node sees them.
async fn members_for(admin: &str) -> Vec<Value> {
    let answer = http::get(&admin.parse().unwrap(), "/v1/cluster").await;
    let mut cluster: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
    let mut members = std::mem::take(cluster["members"].as_array_mut().unwrap());
    members.retain(|member| member["state"] == "alive" && member["draining"] == false);
    members
}

async fn alive_for(admin: &str) -> usize {
    members_for(admin).await.len()
}

async fn missing_copies(admin: &str) -> u64 {
    let members = members_for(admin).await;
    let missing = members.iter().map(|m| m["under_replicated"].as_u64());
    missing.map(Option::unwrap).sum()
}
