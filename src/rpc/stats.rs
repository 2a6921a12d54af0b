//! Asks the other members for their numbers, once a second, while somebody watches.
//!
//! Each call stands alone, on connections that carry nothing else and end when nobody looks any more: they
//! are not in the way of gossip, and a link that is full does not hide the numbers that would say so.
//! Carried with heartbeats they would cost every cluster, watched or not, and come by chance: a
//! heartbeat goes to one member at a time. Nobody waits for a member that does not answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::connector::Connector;
use super::gate::Gate;
use super::{Identified, http2};
use crate::core::view::MemberState;
use crate::dispatch::Dispatch;
use crate::id::{Generation, NodeId};
use crate::wire::proto::peer_client::PeerClient;
use crate::wire::{Told, proto};

/// How often each member is asked.
const EVERY: Duration = Duration::from_secs(1);
/// What an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a round waits for the slower ones; their answers count in the next.
const ROUND: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A node answers with some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// One start of a node, and where it is.
type Place = (NodeId, Generation, Arc<str>);

/// Asks for one node.
pub(super) struct Watcher {
    me: Arc<Identified>,
    gate: Arc<Gate>,
    dispatch: Arc<Dispatch>,
    /// One for each member that is asked.
    clients: HashMap<Place, PeerClient<Channel>>,
    asked: JoinSet<(Place, Option<Told>)>,
    /// Those that have not answered.
    busy: HashSet<Place>,
}

impl Watcher {
    pub fn new(me: Arc<Identified>, gate: Arc<Gate>) -> Self {
        Self {
            me,
            dispatch: Arc::clone(gate.dispatch()),
            gate,
            clients: HashMap::new(),
            asked: JoinSet::new(),
            busy: HashSet::new(),
        }
    }

    /// Runs until the node stops.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.watch() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn watch(&mut self) {
        loop {
            self.dispatch.until_watched().await;
            // Connections are made in the first round.
            let mut patience = ANSWER_TIMEOUT;
            while self.dispatch.is_watched() {
                let began = Instant::now();
                self.ask_all();
                self.listen(began + patience, true).await;
                self.dispatch.overview().round_over();
                self.listen(began + EVERY, false).await;
                patience = ROUND;
            }
            self.clients.clear();
        }
    }

    fn ask_all(&mut self) {
        let live: HashSet<Place> = {
            let topology = self.dispatch.topology();
            let view = &topology.view;
            let live = view.members.iter();
            live.filter(|member| member.state != MemberState::Down && member.id != view.me)
                .map(|m| (m.id.clone(), m.generation, Arc::clone(&m.peer)))
                .collect()
        };
        self.clients.retain(|place, _| live.contains(place));
        for place in live {
            if self.busy.contains(&place) {
                continue;
            }
            let Some(client) = self.client(&place) else {
                continue;
            };
            let request = proto::StatsRequest {
                caller: Some(self.me.caller(self.dispatch.generation())),
                after: self.dispatch.moments_heard_of(&place.0, place.1),
            };
            self.busy.insert(place.clone());
            self.asked.spawn(ask(place, client, request));
        }
    }

    /// Connects when it is first used, and again when that has ended.
    fn client(&mut self, place: &Place) -> Option<PeerClient<Channel>> {
        if let Some(client) = self.clients.get(place) {
            return Some(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", place.2)).ok()?;
        let endpoint = http2::client(endpoint.connect_timeout(CONNECT_TIMEOUT));
        let connector = Connector::new(Arc::clone(&self.gate), Some(place.0.clone()));
        let channel = endpoint.connect_with_connector_lazy(connector);
        let client = PeerClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        self.clients.insert(place.clone(), client.clone());
        Some(client)
    }

    /// Takes answers until then; with `briefly` only until nobody is asked any more.
    async fn listen(&mut self, until: Instant, briefly: bool) {
        loop {
            let answered = tokio::select! {
                answered = self.asked.join_next(), if !self.asked.is_empty() => answered,
                () = sleep_until(until) => return,
                () = std::future::ready(()), if briefly && self.asked.is_empty() => return,
            };
            let Some(Ok((place, told))) = answered else {
                continue;
            };
            self.busy.remove(&place);
            // Whoever is there now may have started anew.
            if let Some(told) = told.filter(|told| told.generation == place.1) {
                let (stats, moments) = (told.stats, told.moments);
                self.dispatch
                    .heard_stats((&place.0, place.1), stats, moments);
            }
        }
    }
}

async fn ask(
    place: Place,
    mut client: PeerClient<Channel>,
    request: proto::StatsRequest,
) -> (Place, Option<Told>) {
    let told = match timeout(ANSWER_TIMEOUT, client.stats(request)).await {
        Ok(Ok(reply)) => Told::from_wire(&place.0, reply.into_inner())
            .inspect_err(|error| tracing::debug!(peer = %place.0, %error, "numbers that cannot be"))
            .ok(),
        Ok(Err(status)) => {
            let error = super::short(&status);
            tracing::debug!(peer = %place.0, error, "a peer does not tell its numbers");
            None
        }
        Err(_) => None,
    };
    (place, told)
}
