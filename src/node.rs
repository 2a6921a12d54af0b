//! One node of the cluster: binds its listeners, starts its parts, and takes them down again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Admin;
use crate::config::{Config, ConfigError};
use crate::core::frame::FrameLimits;
use crate::core::handshake::origin::{InvalidOrigin, Origin};
use crate::core::link::LinkLimits;
use crate::core::membership::{Identity, IdentityParts};
use crate::core::rate::TokenBucket;
use crate::core::stream::{LogLimits, StreamConfig};
use crate::core::view::View;
use crate::dispatch::{Dispatch, DispatchConfig, Greeting, SystemClock, TICK};
use crate::error::RunError;
use crate::handler::{Handle, Handler, Program, RawHandler};
use crate::id::{Generation, NodeId};
use crate::rpc::{Command, Driver, Identified, SeedList};
use crate::webhook::Webhook;
use crate::{rpc, ws};

/// Commands for the membership driver that may wait; a packet that finds no room is dropped.
const COMMANDS_AHEAD: usize = 1024;
/// A node whose seeds do not answer counts as the first of its cluster after this.
const BOOTSTRAP_GRACE: Duration = Duration::from_secs(5);
/// A holder that has not acknowledged after this gets everything again. Longer than a pause that
/// changes nothing, shorter than a dead node takes to be noticed.
const COPY_TIMEOUT: Duration = Duration::from_millis(1500);
/// What the last gossip and the last receipts have for leaving the node.
const FAREWELL: Duration = Duration::from_millis(500);
/// What the last webhooks have for leaving the node.
const WEBHOOK_FAREWELL: Duration = Duration::from_secs(3);
/// Session ids start at a random number below this, so that they tell nothing of the load.
const SESSION_START_MAX: u64 = 1 << 48;

/// Why a node could not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address could not be bound.
    #[error("cannot listen on {address} ({key}): {error}")]
    Bind {
        /// The setting, by the name of its flag.
        key: &'static str,
        /// What it was set to.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
}

/// Where a node can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The node's id.
    pub id: NodeId,
    /// What clients are sent to.
    pub url: String,
    /// `host:port` that other nodes dial.
    pub peer: String,
    /// `host:port` for operators.
    pub admin: String,
}

/// A running node. Dropping it stops it at once, without a farewell.
#[derive(Debug)]
pub struct Node {
    ready: Ready,
    dispatch: Arc<Dispatch>,
    handle: Handle,
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<Option<RunError>>,
    drain_timeout: Duration,
    webhook_farewell: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Node {
    /// Starts a node that speaks Ringpost's own client protocol. When it returns the listeners are
    /// bound; seeds are looked for from then on.
    ///
    /// # Errors
    /// [`StartError`] when the configuration cannot work or an address cannot be bound.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::launch(config, None).await
    }

    /// Starts a node that asks a handler about what its sessions want.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_with(config: Config, handler: impl Handler) -> Result<Self, StartError> {
        Self::launch(config, Some(Program::Requests(Arc::new(handler)))).await
    }

    /// Starts a node whose sessions speak the handler's own protocol.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_raw(config: Config, handler: impl RawHandler) -> Result<Self, StartError> {
        Self::launch(config, Some(Program::Frames(Arc::new(handler)))).await
    }

    async fn launch(config: Config, program: Option<Program>) -> Result<Self, StartError> {
        config.check()?;
        let allowed_origins = origins(&config)?;
        let generation = Generation(unix_ms());
        let webhook = Webhook::new(&config, generation)?;
        let listeners = Listeners::bind(&config).await?;
        let ready = listeners.ready(&config);
        let identity = Identity::new(IdentityParts {
            id: config.id.clone(),
            generation,
            revision: 0,
            peer: ready.peer.as_str().into(),
            url: ready.url.as_str().into(),
            weight: config.weight,
            draining: false,
        });
        let me = Arc::new(Identified {
            cluster: config.cluster.clone(),
            node: config.id.clone(),
        });
        let (ended_tx, ended) = watch::channel(None);
        let (commands, command_queue) = mpsc::channel(COMMANDS_AHEAD);
        let membership = rpc::membership(&config, identity);
        let dispatch = Dispatch::new(
            membership.view(),
            dispatch_config(&config),
            rand::random_range(0..SESSION_START_MAX),
            Arc::new(SystemClock),
        );
        let webhooks = webhook.as_ref().map(|it| Arc::clone(&it.webhooks));
        let dispatch = Arc::new(dispatch.with_webhooks(webhooks));
        // Nobody else is to be asked.
        if config.seeds.iter().all(|seed| *seed == ready.peer) {
            dispatch.join();
        }
        let (views_tx, views) = watch::channel(membership.view());
        let driver = Driver {
            membership,
            seeds: SeedList::new(config.seeds.clone()),
            me: Arc::clone(&me),
            dispatch: Arc::clone(&dispatch),
            commands: commands.downgrade(),
            views: views_tx,
            ended: ended_tx,
        };
        let stop = CancellationToken::new();
        let bytes_max = config.limits.message_bytes_max;
        let node = Self {
            ready,
            handle: Handle::new(Arc::clone(&dispatch), stop.clone(), bytes_max),
            dispatch,
            commands,
            ended,
            drain_timeout: config.drain_timeout,
            webhook_farewell: match webhook {
                None => Duration::ZERO,
                Some(_) => WEBHOOK_FAREWELL.min(config.drain_timeout / 4),
            },
            stop,
            tasks: TaskTracker::new(),
        };
        if let Some(webhook) = webhook {
            webhook.spawn(&node.dispatch, &node.tasks, &node.stop);
        }
        node.tasks
            .spawn(driver.run(command_queue, node.stop.clone()));
        node.spawn_control_plane(&me, views);
        node.spawn_servers(Arc::new(config), me, listeners, allowed_origins, program);
        tracing::info!(node = %node.ready.id, url = node.ready.url, peer = node.ready.peer,
            admin = node.ready.admin, "started");
        Ok(node)
    }

    /// New views become topologies, topologies get links, and time passes.
    fn spawn_control_plane(&self, me: &Arc<Identified>, mut views: watch::Receiver<Arc<View>>) {
        let dispatch = Arc::clone(&self.dispatch);
        let (topologies_tx, topologies) = watch::channel(dispatch.topology().clone());
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let publish = async {
                while views.changed().await.is_ok() {
                    let view = Arc::clone(&views.borrow_and_update());
                    let _ = topologies_tx.send(dispatch.publish(view));
                }
            };
            let tick = async {
                let mut ticks = tokio::time::interval(TICK);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    dispatch.tick();
                }
            };
            tokio::select! {
                () = async { tokio::join!(publish, tick); } => {}
                () = stop.cancelled() => {}
            }
        });
        let dispatch = Arc::clone(&self.dispatch);
        rpc::spawn_links(
            dispatch,
            Arc::clone(me),
            topologies,
            &self.tasks,
            self.stop.clone(),
        );
        let (dispatch, stop) = (Arc::clone(&self.dispatch), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(BOOTSTRAP_GRACE) => dispatch.join(),
                () = stop.cancelled() => {}
            }
        });
    }

    fn spawn_servers(
        &self,
        config: Arc<Config>,
        me: Arc<Identified>,
        listeners: Listeners,
        allowed_origins: Vec<Origin>,
        program: Option<Program>,
    ) {
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        let serving = rpc::serve(
            listeners.peer,
            me,
            Arc::clone(&self.dispatch),
            self.commands.clone(),
            tasks.clone(),
            stop.clone(),
        );
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the peer listener failed");
            }
        });
        let limits = &config.limits;
        let server = ws::Server {
            dispatch: Arc::clone(&self.dispatch),
            greeting: Arc::new(Greeting {
                node: config.id.clone(),
                heartbeat_ms: u64::try_from(limits.heartbeat_interval.as_millis())
                    .unwrap_or(u64::MAX),
                max_message_bytes: limits.message_bytes_max,
            }),
            program,
            handle: self.handle.clone(),
            frames: FrameLimits {
                message_bytes_max: limits.message_bytes_max,
                fragments_max: limits.fragments_max,
            },
            allowed_origins,
            locate_bucket: TokenBucket::new(limits.locate_rate, Instant::now()).into(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            config,
        };
        let admin = Admin {
            dispatch: Arc::clone(&self.dispatch),
            message_bytes_max: server.frames.message_bytes_max,
            tasks: tasks.clone(),
            stop,
        };
        tasks.spawn(Arc::new(server).run(listeners.client));
        tasks.spawn(Arc::new(admin).run(listeners.admin));
    }

    /// A way to send from anywhere in the program.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where the node can be reached.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Resolves when the node has ended by itself.
    ///
    /// # Errors
    /// [`RunError`] says why.
    pub async fn wait(&self) -> Result<(), RunError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().map_or(Ok(()), Err),
            Err(_) => Ok(()),
        }
    }

    /// Stops the node as its users like it: it leaves the ring, sends its clients to their new
    /// owners, and ends when they are gone, or after the configured time.
    pub async fn drain(&self) {
        let deadline = Instant::now() + self.drain_timeout;
        tracing::info!(node = %self.ready.id, timeout = ?self.drain_timeout, "draining");
        self.dispatch.start_draining();
        let until = tokio::time::Instant::from_std(deadline);
        let left_the_ring = async {
            let _ = self.commands.send(Command::SetDraining).await;
            let off_the_ring = || {
                let topology = self.dispatch.topology();
                topology.view.me().is_none_or(|me| me.draining)
            };
            while !off_the_ring() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout_at(until, left_the_ring).await;
        let farewell = FAREWELL.min(self.drain_timeout / 4);
        let last = farewell * 2 + self.webhook_farewell;
        let sessions_until = deadline.checked_sub(last).unwrap_or(deadline);
        self.dispatch.drain(sessions_until).await;
        let webhooks_until = Instant::now() + self.webhook_farewell;
        self.dispatch.end_webhooks(webhooks_until).await;
        self.dispatch.abandon();
        let (left, leaving) = tokio::sync::oneshot::channel();
        let _ = self.commands.send(Command::Leave(left)).await;
        let _ = tokio::time::timeout(farewell, leaving).await;
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(farewell, self.tasks.wait()).await;
        tracing::info!(node = %self.ready.id, "stopped");
    }
}

struct Listeners {
    client: TcpListener,
    peer: TcpListener,
    admin: TcpListener,
    client_at: SocketAddr,
    peer_at: SocketAddr,
    admin_at: SocketAddr,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        let (client, client_at) = bind("listen", config.listen).await?;
        let (peer, peer_at) = bind("peer-listen", config.peer_listen).await?;
        let (admin, admin_at) = bind("admin-listen", config.admin_listen).await?;
        Ok(Self {
            client,
            peer,
            admin,
            client_at,
            peer_at,
            admin_at,
        })
    }

    fn ready(&self, config: &Config) -> Ready {
        let url = config.advertise_url.clone();
        let peer = config.advertise_peer.clone();
        Ready {
            id: config.id.clone(),
            url: url.unwrap_or_else(|| format!("ws://{}", self.client_at)),
            peer: peer.unwrap_or_else(|| self.peer_at.to_string()),
            admin: self.admin_at.to_string(),
        }
    }
}

async fn bind(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Bind {
        key,
        address,
        error,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn origins(config: &Config) -> Result<Vec<Origin>, ConfigError> {
    let parse = |text: &String| {
        text.parse().map_err(|reason: InvalidOrigin| ConfigError {
            key: "allowed-origins",
            value: text.clone(),
            reason: reason.to_string(),
        })
    };
    config.allowed_origins.iter().map(parse).collect()
}

fn dispatch_config(config: &Config) -> DispatchConfig {
    DispatchConfig {
        request_timeout: config.limits.request_timeout,
        link: LinkLimits {
            window: config.limits.peer_window,
            queue_bytes_max: config.limits.peer_queue_bytes_max,
        },
        copy_timeout: COPY_TIMEOUT,
        streams: stream_config(config),
        rebalance_rate: config.rebalance_rate,
        sessions_per_user: (
            config.limits.sessions_per_user_max,
            config.limits.at_session_limit,
        ),
        rooms: config.room.clone(),
        clients_may_broadcast: config.clients_may_broadcast,
    }
}

/// Messages of a room that a node with members has not got yet, at most; past it senders wait. A guess:
/// what comes in within the time of a take-over.
const ROOM_UNDELIVERED_MAX: usize = 8192;
/// Bytes of those.
const ROOM_UNDELIVERED_BYTES_MAX: usize = 8 * 1024 * 1024;

fn stream_config(config: &Config) -> StreamConfig {
    let inbox = &config.inbox;
    StreamConfig {
        replicas: usize::from(config.replicas),
        min_copies: usize::from(config.min_copies),
        inboxes: LogLimits {
            entries_max: inbox.messages_max,
            bytes_max: inbox.bytes_max,
            kept_entries_max: inbox.messages_max,
            kept_bytes_max: inbox.bytes_max,
            age_max: inbox.age_max,
            seen_max: inbox.dedupe_ids_max,
            seen_age: inbox.dedupe_window,
        },
        rooms: LogLimits {
            entries_max: ROOM_UNDELIVERED_MAX,
            bytes_max: ROOM_UNDELIVERED_BYTES_MAX,
            kept_entries_max: config.room.messages_max,
            kept_bytes_max: config.room.bytes_max,
            age_max: config.room.age_max,
            seen_max: config.room.dedupe_ids_max,
            seen_age: inbox.dedupe_window,
        },
        // Users are spread evenly over the shards.
        shard_bytes_max: (inbox.node_bytes_max / Dispatch::SHARDS).max(inbox.bytes_max),
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
