//! Whom a membership believes, of others and of its own name.

use std::sync::Arc;
use std::time::Duration;

use foca::State;
use ipnet::IpNet;

use super::watch::Rival;
use super::{Beliefs, Doubted, Identity, Membership, Output, Target};
use crate::id::Generation;

/// A process that is said to have this node's name is asked this often at most.
const ASK_RIVAL_EVERY: Duration = Duration::from_secs(1);

/// What is wanted of another process that is said to have this node's name.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// It has to say so itself.
    is_wanted: bool,
    /// Not before this it is asked again.
    ask_at: Duration,
}

impl<C> Membership<C>
where
    C: foca::Codec<Identity>,
    C::Error: std::error::Error,
{
    /// Believes only members in these networks; none: wherever they are.
    #[must_use]
    pub fn with_networks(self, networks: Vec<IpNet>) -> Self {
        self.own.with_beliefs(|beliefs| beliefs.networks = networks);
        self
    }

    /// Nodes prove who they are: of another process under this node's name only that process itself is believed.
    #[must_use]
    pub fn with_proof(mut self, is_wanted: bool) -> Self {
        self.proof.is_wanted = is_wanted;
        self
    }

    /// What the wall clock shows, in milliseconds since 1970: generations are judged by it. Until it is told every
    /// generation is believed.
    pub fn set_wall_clock(&mut self, unix_ms: u64) {
        let told = |beliefs: &mut Beliefs| beliefs.unix_ms = Some(unix_ms);
        self.own.with_beliefs(told);
    }

    /// How many records of members were not believed since the last call, and the last of them.
    pub fn take_doubted(&mut self) -> Option<(u64, Doubted)> {
        self.own.take_doubted()
    }

    /// Another identity of our name has our place. It is a former start of ours, and the clock went
    /// back, if it had our address, or is down, or if nobody has taken us in yet: then we take a
    /// generation after it. Otherwise it is another process, and we have to end.
    pub(super) fn face_rival(&mut self) {
        let own = self.foca.identity().clone();
        let Some(rival) = self.own.take_rival() else {
            return;
        };
        if !rival.record.id().supersedes(&own) {
            return;
        }
        let Rival { record, first_hand } = rival;
        let rival = record;
        let by = rival.id().generation;
        let was_us = rival.id().peer == own.peer || rival.state() == State::Down || !self.accepted;
        if was_us {
            let next = Generation(by.0 + 1);
            self.change_identity(&own.revised(|parts| parts.generation = next));
        } else if self.proof.is_wanted && !first_hand {
            self.ask_rival(&rival.id().peer);
        } else {
            // What we were about to say would only stand in the other's way.
            self.effects.forget();
            self.left = true;
            self.effects.push(Output::Replaced { by });
        }
    }

    /// Somebody says that another process has our place: it has to say so itself. If it is not there the
    /// others will find it down, and then we take our name back.
    fn ask_rival(&mut self, address: &Arc<str>) {
        let now = self.effects.now();
        if now >= self.proof.ask_at {
            self.proof.ask_at = now + ASK_RIVAL_EVERY;
            self.ask(Target::Peer(Arc::clone(address)), false);
        }
    }
}
