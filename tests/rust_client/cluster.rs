//! Three real nodes in this process.

use std::net::SocketAddr;
use std::time::Duration;

use ringpost::client::http;
use ringpost::id::NodeId;
use ringpost::{Config, Node};
use serde_json::Value;

use crate::soon;

pub struct Cluster {
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// Starts it; all know all when this returns.
    pub async fn start() -> Self {
        let mut cluster = Self { nodes: Vec::new() };
        let mut seeds = Vec::new();
        for id in ["n1", "n2", "n3"] {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut config = Config::new(NodeId::new(id).unwrap());
            config.listen = any;
            config.peer_listen = any;
            config.admin_listen = any;
            config.insecure_users = true;
            config.seeds.clone_from(&seeds);
            let node = Node::start(config).await.unwrap();
            seeds.push(node.ready().peer.clone());
            cluster.nodes.push(Some(node));
        }
        cluster.settled(3).await;
        cluster
    }

    /// Waits until every node that runs sees so many alive, and no others.
    pub async fn settled(&self, alive: usize) {
        soon("all see all", async {
            for node in self.nodes.iter().flatten() {
                while alive_for(&node.ready().admin).await != alive {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        })
        .await;
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

async fn alive_for(admin: &str) -> usize {
    let answer = http::get(&admin.parse().unwrap(), "/v1/cluster").await;
    let cluster: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
    let members = cluster["members"].as_array().unwrap();
    let alive = |member: &&Value| member["state"] == "alive" && member["draining"] == false;
    members.iter().filter(alive).count()
}
