//! One node as if it were a machine of its own: it can be started, stopped and killed.
//!
//! Its runtime lives on a thread of its own. To kill it is to drop that runtime: tasks end where
//! they stand, the system closes the sockets, and nobody is told, as with kill -9.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use ringpost::{Config, Node};
use tokio::runtime;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

/// A stop and, when that takes too long, a kill; more orders wait in line at [`Machine::kill`].
const ORDERS_AHEAD: usize = 4;
/// A kill that takes longer did not work.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// It sends its users away.
    Stopping,
    Stopped,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It makes no sense in this state. Nothing happened.
    #[error("{id} is {}", .state.as_str())]
    State { id: String, state: State },
    /// It was tried.
    #[error("{0}")]
    Failed(String),
    /// There are as many nodes as there can be. Nothing happened.
    #[error("there are {0} nodes already, and more are not shown here")]
    Full(u8),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Stop,
    Kill,
}

/// The node's place in the cluster, whether it runs or not.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    state: watch::Sender<State>,
    /// To the thread of the last start; orders are taken one at a time.
    orders: Mutex<Option<mpsc::Sender<Order>>>,
}

impl Machine {
    /// A node that is not started yet. All ports of the configuration are fixed; its seeds are not.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: watch::Sender::new(State::Stopped),
            orders: Mutex::new(None),
        }
    }

    pub fn id(&self) -> &str {
        self.config.id.as_str()
    }

    /// What clients connect to, without `/ws`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.config.listen)
    }

    pub fn client(&self) -> SocketAddr {
        self.config.listen
    }

    pub fn peer(&self) -> SocketAddr {
        self.config.peer_listen
    }

    pub fn admin(&self) -> SocketAddr {
        self.config.admin_listen
    }

    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Starts the node: a new generation under the same id, on the same ports. Its listeners are
    /// bound when this returns.
    pub async fn start(&self, seeds: Vec<String>) -> Result<(), Refused> {
        let mut orders = self.orders.lock().await;
        if self.state() != State::Stopped {
            return Err(self.refusal());
        }
        let (orders_tx, orders_rx) = mpsc::channel(ORDERS_AHEAD);
        let (started_tx, started) = oneshot::channel();
        let life = Life {
            config: Config {
                seeds,
                ..self.config.clone()
            },
            state: self.state.clone(),
            orders: orders_rx,
        };
        thread::Builder::new()
            .name(self.id().to_owned())
            .spawn(move || life.live(started_tx))
            .map_err(|error| Refused::Failed(format!("no thread for {}: {error}", self.id())))?;
        let started = started.await;
        started
            .unwrap_or_else(|_| Err("its thread ended".to_owned()))
            .map_err(|why| Refused::Failed(format!("{} cannot start: {why}", self.id())))?;
        *orders = Some(orders_tx);
        Ok(())
    }

    /// Begins to stop the node as its users like it, and returns before that is done.
    pub async fn stop(&self) -> Result<(), Refused> {
        let orders = self.orders.lock().await;
        let was_running = self.state.send_if_modified(|state| {
            let running = *state == State::Running;
            if running {
                *state = State::Stopping;
            }
            running
        });
        if !was_running {
            return Err(self.refusal());
        }
        if let Some(orders) = &*orders {
            // A node that has just ended by itself hears no more orders, and needs none.
            let _ = orders.send(Order::Stop).await;
        }
        Ok(())
    }

    /// Ends the node without a farewell. Its sockets are closed when this returns.
    pub async fn kill(&self) -> Result<(), Refused> {
        let orders = self.orders.lock().await;
        if self.state() == State::Stopped {
            return Err(self.refusal());
        }
        if let Some(orders) = &*orders {
            let _ = orders.send(Order::Kill).await;
        }
        let mut state = self.state.subscribe();
        let stopped = state.wait_for(|state| *state == State::Stopped);
        match tokio::time::timeout(KILL_TIMEOUT, stopped).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Refused::Failed(format!("{} does not end", self.id()))),
        }
    }

    fn refusal(&self) -> Refused {
        Refused::State {
            id: self.id().to_owned(),
            state: self.state(),
        }
    }
}

/// One start of the node, to its end.
struct Life {
    config: Config,
    state: watch::Sender<State>,
    orders: mpsc::Receiver<Order>,
}

impl Life {
    fn live(mut self, started: oneshot::Sender<Result<(), String>>) {
        let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.send(Err(error.to_string()));
                return;
            }
        };
        let node = match runtime.block_on(Node::start(self.config.clone())) {
            Ok(node) => node,
            Err(error) => {
                let _ = started.send(Err(error.to_string()));
                return;
            }
        };
        self.state.send_replace(State::Running);
        let _ = started.send(Ok(()));
        runtime.block_on(self.obey(&node));
        // The runtime goes first: dropping the node would tell its tasks to end in good order.
        runtime.shutdown_background();
        drop(node);
        self.state.send_replace(State::Stopped);
    }

    /// Returns when nothing but the runtime is left to be dropped.
    async fn obey(&mut self, node: &Node) {
        let order = tokio::select! {
            order = self.orders.recv() => order,
            ended = node.wait() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a node has ended by itself");
                }
                return;
            }
        };
        if matches!(order, Some(Order::Stop)) {
            tokio::select! {
                () = node.drain() => {}
                // Only a kill can come now.
                _ = self.orders.recv() => {}
            }
        }
    }
}
