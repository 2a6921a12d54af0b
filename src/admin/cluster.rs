//! `GET /v1/cluster`: the members as this node sees them.

use serde::Serialize;

use crate::core::view::{MemberState, View};
use crate::dispatch::Dispatch;

#[derive(Serialize)]
struct Cluster<'a> {
    node: &'a str,
    digest: String,
    sessions: usize,
    guests: usize,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
pub(super) struct Member<'a> {
    pub id: &'a str,
    pub generation: u64,
    state: &'static str,
    draining: bool,
    url: &'a str,
    peer: &'a str,
    weight: u16,
    share: f64,
    under_replicated: u64,
}

impl Member<'_> {
    pub fn is_down(&self) -> bool {
        self.state == "down"
    }
}

/// The state of the cluster as JSON text.
pub(super) fn describe(dispatch: &Dispatch) -> String {
    let topology = dispatch.topology();
    let view = &topology.view;
    let (sessions, guests) = dispatch.counts();
    let cluster = Cluster {
        node: view.me.as_str(),
        digest: view.digest().to_string(),
        sessions,
        guests,
        members: members(dispatch, view).collect(),
    };
    // Strings and numbers always make JSON.
    serde_json::to_string(&cluster).unwrap_or_default()
}

/// All members, in the order of their ids.
pub(super) fn members<'a>(dispatch: &Dispatch, view: &'a View) -> impl Iterator<Item = Member<'a>> {
    view.members.iter().map(|member| Member {
        id: member.id.as_str(),
        generation: member.generation.0,
        state: match member.state {
            MemberState::Alive => "alive",
            MemberState::Suspect => "suspect",
            MemberState::Down => "down",
        },
        draining: member.draining,
        url: &member.url,
        peer: &member.peer,
        weight: member.weight,
        share: view.share(&member.id),
        under_replicated: dispatch.under_replicated_at(&member.id),
    })
}
