//! One node: a membership with what drives it.

use std::sync::Arc;
use std::time::Duration;

use ringpost::config::GossipConfig;
use ringpost::core::membership::{Identity, IdentityParts, Membership, Output};
use ringpost::core::view::{MemberState, View};
use ringpost::id::{Generation, NodeId};
use ringpost::wire::GossipCodec;

/// One node from its start to its end.
pub struct Process {
    pub membership: Membership<GossipCodec>,
    /// When it was started: its own time begins here.
    pub started: Duration,
    /// The next timer that is on its way.
    pub timer: Option<Duration>,
    pub view: Arc<View>,
    /// It has left, or was told that another has taken its place.
    pub over: bool,
    pub draining: bool,
    /// Whether its view is right, and for which state of the world that was found out.
    pub agrees: Option<(u64, bool)>,
}

/// Who it is: the node's id, and the machine it runs on.
pub struct Birth {
    pub id: NodeId,
    pub machine: usize,
    pub generation: u64,
    pub seeds: usize,
    pub random: u64,
}

impl Process {
    pub fn new(started: Duration, birth: &Birth) -> Self {
        let identity = Identity::new(IdentityParts {
            id: birth.id.clone(),
            generation: Generation(birth.generation),
            revision: 0,
            peer: peer(birth.machine).into(),
            url: format!("ws://m{}:7001", birth.machine).into(),
            weight: 1,
            draining: false,
        });
        let config = GossipConfig::default();
        let seeds = birth.seeds;
        let membership = Membership::new(identity, "sim", seeds, config, GossipCodec, birth.random);
        Self {
            view: membership.view(),
            membership,
            started,
            timer: None,
            over: false,
            draining: false,
            agrees: None,
        }
    }

    /// Its own time.
    pub fn own_time(&self, now: Duration) -> Duration {
        now.saturating_sub(self.started)
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Option<Duration> {
        Some(self.started + self.membership.next_deadline()?)
    }

    /// All that it wants done.
    pub fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.membership.poll_output()).collect()
    }

    pub fn generation(&self) -> Generation {
        self.membership.identity().generation
    }

    pub fn revision(&self) -> u32 {
        self.membership.identity().revision
    }

    /// What it thinks of a node of that name and that start.
    pub fn sees(&self, id: &NodeId, generation: Generation) -> Option<MemberState> {
        let member = self.view.member(id)?;
        (member.generation == generation).then_some(member.state)
    }
}

/// The address of a machine.
pub fn peer(machine: usize) -> String {
    format!("m{machine}:7101")
}
