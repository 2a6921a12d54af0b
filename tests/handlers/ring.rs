//! Nodes in this process, all with the same handler.

use std::net::SocketAddr;
use std::sync::MutexGuard;
use std::time::Duration;

use ringpost::handler::{Handle, Handler, RawHandler};
use ringpost::id::NodeId;
use ringpost::{Config, Node};
use tokio::runtime::Runtime;

use crate::support::{Client, http, turn, wait_until};

/// How long nodes may take to find each other.
const TOGETHER: Duration = Duration::from_secs(20);

pub struct Ring {
    nodes: Vec<Node>,
    pub runtime: Runtime,
    _turn: MutexGuard<'static, ()>,
}

impl Ring {
    /// Starts so many nodes; all know all when this returns.
    pub fn start<H: Handler>(count: usize, handler: impl Fn() -> H) -> Self {
        let start = async |config| Node::start_with(config, handler()).await.unwrap();
        Self::of(count, start)
    }

    /// One node whose sessions speak the handler's protocol.
    pub fn raw(handler: impl RawHandler) -> Self {
        let handler = std::cell::Cell::new(Some(handler));
        let start = async |config| {
            let handler = handler.take().unwrap();
            Node::start_raw(config, handler).await.unwrap()
        };
        Self::of(1, start)
    }

    /// So many such nodes, whose drains send so many clients a second away.
    pub fn raw_at<H: RawHandler>(rate: u32, count: usize, handler: impl Fn() -> H) -> Self {
        let start = async |mut config: Config| {
            config.rebalance_rate = rate;
            Node::start_raw(config, handler()).await.unwrap()
        };
        Self::of(count, start)
    }

    /// Nodes without a handler.
    pub fn plain(count: usize) -> Self {
        Self::of(count, async |config| Node::start(config).await.unwrap())
    }

    fn of(count: usize, start: impl AsyncFn(Config) -> Node) -> Self {
        let turn = turn();
        let runtime = Runtime::new().unwrap();
        let (mut nodes, mut seeds) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut config = Config::new(NodeId::new(&format!("n{number}")).unwrap());
            config.listen = any;
            config.peer_listen = any;
            config.admin_listen = any;
            config.insecure_users = true;
            config.seeds.clone_from(&seeds);
            let node = runtime.block_on(start(config));
            seeds.push(node.ready().peer.clone());
            nodes.push(node);
        }
        let ring = Self {
            nodes,
            runtime,
            _turn: turn,
        };
        wait_until(TOGETHER, "all know all and are ready", || {
            (0..count).all(|index| ring.knows(index, count))
        });
        ring
    }

    fn knows(&self, index: usize, count: usize) -> bool {
        let ready = self.get_admin(index, "/readyz").status == 200;
        let cluster = self.get_admin(index, "/v1/cluster").json();
        let members = cluster["members"].as_array().unwrap();
        let alive = members.iter().filter(|member| member["state"] == "alive");
        // Of itself it says so only once all have answered it, over connections that are there.
        let settled = members.iter().all(|it| it["under_replicated"] == 0);
        ready && alive.count() == count && settled
    }

    pub fn get_admin(&self, index: usize, target: &str) -> http::Response {
        let admin = self.nodes[index].ready().admin.parse().unwrap();
        http::get(admin, target).unwrap()
    }

    /// A counter of that node, by its name without `ringpost_` and `_total`.
    pub fn metric(&self, index: usize, name: &str) -> u64 {
        let metrics = self.get_admin(index, "/metrics").text();
        let line = format!("ringpost_{name}_total ");
        let value = metrics.lines().find_map(|known| known.strip_prefix(&line));
        value.unwrap().parse().unwrap()
    }

    pub fn handle(&self, index: usize) -> Handle {
        self.nodes[index].handle()
    }

    /// The client address of a node.
    pub fn url(&self, index: usize) -> &str {
        &self.nodes[index].ready().url
    }

    /// A session of that user, wherever the user belongs.
    pub fn client(&self, user: &str) -> Client {
        Client::welcomed(&format!("{}/ws?user={user}", self.url(0))).0
    }

    /// A user whom that node owns.
    pub fn user_of(&self, index: usize, prefix: &str) -> String {
        let address = self.url(0).strip_prefix("ws://").unwrap().parse().unwrap();
        let mut users = (0..1000).map(|number| format!("{prefix}{number}"));
        let is_there = |user: &String| {
            let located = http::get(address, &format!("/locate?user={user}")).unwrap();
            located.json()["node"] == self.nodes[index].ready().id.as_str()
        };
        users.find(is_there).unwrap()
    }

    /// Ends all nodes, with a farewell.
    pub fn drain(&self) {
        for node in &self.nodes {
            self.runtime.block_on(node.drain());
        }
    }
}
