//! One node of the cluster: binds its listeners, starts its parts, and takes them down again.

mod listeners;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::listeners::Listeners;
use self::settings::dispatch_config;
use crate::admin::{Admin, Watchers};
use crate::config::{Config, ConfigError};
use crate::core::frame::FrameLimits;
use crate::core::handshake::origin::{AllowedOrigin, InvalidEntry};
use crate::core::membership::{Identity, IdentityParts};
use crate::core::rate::{Rate, TokenBucket};
use crate::core::trust::TicketKey;
use crate::core::view::View;
use crate::dispatch::{Dispatch, Greeting, SystemClock, TICK};
use crate::error::RunError;
use crate::handler::{Handle, Handler, Program, RawHandler};
use crate::id::{Generation, NodeId};
use crate::rpc::{Command, Driver, Gate, Identified, SeedList};
use crate::traces::Traces;
use crate::trust::Trust;
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
    traces: Traces,
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

    /// Refuses what [`Node::start`] would, but for addresses that cannot be bound: the settings, and the files
    /// that they name.
    ///
    /// # Errors
    /// The first setting that cannot stay as it is.
    pub fn check(config: &Config) -> Result<(), ConfigError> {
        config.check()?;
        origins(config)?;
        Webhook::new(config, Generation(unix_ms()))?;
        Trust::load(config)?;
        Ok(())
    }

    async fn launch(config: Config, program: Option<Program>) -> Result<Self, StartError> {
        config.check()?;
        let allowed_origins = origins(&config)?;
        let trust = Trust::load(&config)?;
        let generation = Generation(unix_ms());
        let webhook = Webhook::new(&config, generation)?;
        let traces = Traces::start(&config)?;
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
        let dispatch = dispatch.with_webhooks(webhooks);
        let dispatch = dispatch.with_tracing(traces.tracing(&config));
        let dispatch = Arc::new(match trust.tokens {
            None => dispatch,
            Some(_) => dispatch.with_tickets(TicketKey::new(rand::random())),
        });
        // Nobody else is to be asked.
        if config.seeds.iter().all(|seed| *seed == ready.peer) {
            dispatch.join();
        }
        let (views_tx, views) = watch::channel(membership.view());
        let networks = config.peer_networks();
        let gate = Gate::new(trust.peers.clone(), networks, Arc::clone(&dispatch));
        let gate = Arc::new(gate);
        let driver = Driver {
            membership,
            seeds: SeedList::new(config.seeds.clone()),
            me: Arc::clone(&me),
            gate: Arc::clone(&gate),
            dispatch: Arc::clone(&dispatch),
            commands: commands.downgrade(),
            views: views_tx,
            ended: ended_tx,
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        trust.follow(&dispatch, &tasks, &stop);
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
            traces,
            stop,
            tasks,
        };
        if let Some(webhook) = webhook {
            webhook.spawn(&node.dispatch, &node.tasks, &node.stop);
        }
        node.tasks
            .spawn(driver.run(command_queue, node.stop.clone()));
        node.spawn_control_plane(Arc::clone(&gate), &me, views);
        let policy = Policy {
            trust,
            gate,
            allowed_origins,
            program,
        };
        node.spawn_servers(Arc::new(config), me, listeners, policy);
        tracing::info!(node = %node.ready.id, url = node.ready.url, peer = node.ready.peer,
            admin = node.ready.admin, "started");
        Ok(node)
    }

    /// New views become topologies, topologies get links, and time passes.
    fn spawn_control_plane(
        &self,
        gate: Arc<Gate>,
        me: &Arc<Identified>,
        mut views: watch::Receiver<Arc<View>>,
    ) {
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
        rpc::spawn_links(
            gate,
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
        policy: Policy,
    ) {
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        let serving = rpc::serve(
            listeners.peer,
            me,
            policy.gate,
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
            program: policy.program,
            handle: self.handle.clone(),
            frames: FrameLimits {
                message_bytes_max: limits.message_bytes_max,
                fragments_max: limits.fragments_max,
            },
            tokens: policy.trust.tokens,
            allowed_origins: policy.allowed_origins,
            locate_bucket: TokenBucket::new(limits.locate_rate, Instant::now()).into(),
            admission: ws::admission(limits).into(),
            message_rate: Rate::new(limits.message_rate, limits.message_burst),
            tls: policy.trust.tls,
            started: Instant::now(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            config,
        };
        let admin = Admin {
            dispatch: Arc::clone(&self.dispatch),
            api_keys: policy.trust.api_keys,
            message_bytes_max: server.frames.message_bytes_max,
            watchers: Watchers::default(),
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

    /// Why clients should go elsewhere for now, as `/readyz` says it; `None` where they need not.
    #[must_use]
    pub fn why_not_ready(&self) -> Option<&'static str> {
        self.dispatch.why_not_ready()
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
        self.traces.end().await;
        tracing::info!(node = %self.ready.id, "stopped");
    }
}

/// Who may come in, and who judges what they want.
struct Policy {
    trust: Trust,
    gate: Arc<Gate>,
    allowed_origins: Vec<AllowedOrigin>,
    program: Option<Program>,
}

fn origins(config: &Config) -> Result<Vec<AllowedOrigin>, ConfigError> {
    let parse = |text: &String| {
        text.parse().map_err(|reason: InvalidEntry| ConfigError {
            key: "allowed-origins",
            value: text.clone(),
            reason: reason.to_string(),
        })
    };
    config.allowed_origins.iter().map(parse).collect()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
