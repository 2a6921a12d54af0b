//! The whole cluster as JSON: the numbers of all members, the ring as it can be drawn, and what happened
//! lately.

use serde::Serialize;

use super::cluster::{self, Member};
use crate::core::stats::NodeStats;
use crate::core::timeline::{Happened, Moment};
use crate::core::view::View;
use crate::dispatch::{BOUNDS, Dispatch};
use crate::id::{Generation, NodeId};

/// Parts of the circle that a ring is drawn with: half a degree each.
const PARTS: u32 = 720;

#[derive(Serialize)]
struct Snapshot<'a> {
    node: &'a str,
    digest: String,
    at_ms: u64,
    /// The bounds of the buckets of all members; the last bucket has none.
    bucket_bounds_s: &'static [f64],
    members: Vec<Watched<'a>>,
}

#[derive(Serialize)]
struct Watched<'a> {
    #[serde(flatten)]
    member: Member<'a>,
    /// It is alive, and has not told its numbers for some seconds, or never.
    stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<NodeStats>,
}

#[derive(Serialize)]
struct Ring<'a> {
    digest: String,
    /// Those that own users.
    nodes: Vec<&'a str>,
    /// Clockwise from the top, for each part of the circle the owner's place in `nodes`.
    owners: Vec<u16>,
}

#[derive(Serialize)]
struct All<'a> {
    #[serde(flatten)]
    snapshot: Snapshot<'a>,
    ring: Ring<'a>,
    events: Vec<Event>,
}

/// A [`Moment`] as JSON.
#[derive(Serialize, Default)]
struct Event {
    number: u64,
    at_ms: u64,
    /// Who tells it.
    node: String,
    #[serde(rename = "event")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_over: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
}

/// Everything at once.
pub(super) fn all(dispatch: &Dispatch) -> String {
    let topology = dispatch.topology();
    text(&All {
        snapshot: snapshot_of(dispatch, &topology.view),
        ring: ring_of(&topology.view),
        events: dispatch.moments(0).iter().map(event).collect(),
    })
}

/// What changes from second to second.
pub(super) fn snapshot(dispatch: &Dispatch) -> String {
    text(&snapshot_of(dispatch, &dispatch.topology().view))
}

/// The ring of a view.
pub(super) fn ring(view: &View) -> String {
    text(&ring_of(view))
}

/// What happened, as a list.
pub(super) fn events(moments: &[Moment]) -> String {
    text(&moments.iter().map(event).collect::<Vec<_>>())
}

fn snapshot_of<'a>(dispatch: &Dispatch, view: &'a View) -> Snapshot<'a> {
    let members = cluster::members(dispatch, view).zip(&view.members);
    let members = members.map(|(member, known)| {
        let (stats, stale) = dispatch.stats_of(&known.id, Generation(member.generation));
        let is_down = member.is_down();
        Watched {
            member,
            stale: stale && !is_down,
            stats: stats.filter(|_| !is_down),
        }
    });
    Snapshot {
        node: view.me.as_str(),
        digest: view.digest().to_string(),
        at_ms: dispatch.unix_ms(),
        bucket_bounds_s: &BOUNDS,
        members: members.collect(),
    }
}

fn ring_of(view: &View) -> Ring<'_> {
    let nodes = view.ring.nodes().iter();
    let owners = view.ring.sampled(PARTS).into_iter();
    Ring {
        digest: view.digest().to_string(),
        nodes: nodes.map(|node| node.id.as_str()).collect(),
        owners: owners.map(|owner| owner.0).collect(),
    }
}

fn event(moment: &Moment) -> Event {
    let told = Event {
        number: moment.number,
        at_ms: moment.at_ms,
        node: moment.node.to_string(),
        ..Event::default()
    };
    let of = |kind, member: &NodeId| Event {
        kind,
        member: Some(member.to_string()),
        ..Event::default()
    };
    let said = match &moment.what {
        Happened::Up(member, generation) => Event {
            generation: Some(generation.0),
            ..of("member_up", member)
        },
        Happened::Suspect(member) => of("member_suspect", member),
        Happened::Refuted(member) => of("member_refuted", member),
        Happened::Draining(member) => of("member_draining", member),
        Happened::Down(member) => of("member_down", member),
        Happened::Ring(digest, nodes) => Event {
            kind: "ring_changed",
            digest: Some(digest.to_string()),
            nodes: Some(*nodes),
            ..Event::default()
        },
        Happened::HandOverBegun(streams) => Event {
            kind: "hand_over_begun",
            streams: Some(*streams),
            ..Event::default()
        },
        Happened::HandOverFinished(done) => Event {
            kind: "hand_over_finished",
            streams: Some(done.streams),
            taken_over: Some(done.taken_over),
            took_ms: Some(done.took_ms),
            ..Event::default()
        },
    };
    Event {
        number: told.number,
        at_ms: told.at_ms,
        node: told.node,
        ..said
    }
}

fn text(value: &impl Serialize) -> String {
    // Strings and numbers always make JSON.
    serde_json::to_string(value).unwrap_or_default()
}
