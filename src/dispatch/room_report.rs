//! What this node has of rooms, to be looked at.

use std::collections::BTreeMap;

use super::{Dispatch, locked};
use crate::id::{NodeId, RoomName, SessionId, UserId};

/// What a node has of one room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomReport {
    /// Its sessions that are in it, or are about to be.
    pub members: Vec<SessionId>,
    /// Something has to be told or fetched yet.
    pub restless: bool,
    /// If it holds the room, who is in it, and on which nodes; on none who may come back.
    pub roster: Vec<(UserId, Vec<NodeId>)>,
}

impl Dispatch {
    /// What this node has of each room with members here, or whose members it knows as a holder.
    #[must_use]
    pub fn room_reports(&self) -> BTreeMap<RoomName, RoomReport> {
        let mut reports: BTreeMap<RoomName, RoomReport> = BTreeMap::new();
        for shard in &self.shards {
            let shard = locked(shard);
            for name in shard.rooms.names() {
                let report = reports.entry(name.clone()).or_default();
                if let Some(room) = shard.rooms.get(name) {
                    report.members = room.sessions().collect();
                    report.restless = !room.is_settled();
                }
            }
            for (name, roster) in shard.rosters.all() {
                reports.entry(name.clone()).or_default().roster = roster;
            }
        }
        reports
    }
}
