//! A user who is in a room, or who hears what goes to everyone.

use std::sync::Arc;

use fastwebsockets::OpCode;

use super::frames;
use super::ledger::{Arrivals, Pairing};
use super::messages::{Incoming, Position, join};
use super::role::Role;
use super::stats::Stats;
use super::timeline::Timeline;

/// How long a member waits after a failure before it asks again. A guess.
const PAUSE_US: u64 = 100_000;

/// Takes what comes down. Nothing is acknowledged in rooms.
#[derive(Debug)]
pub struct Member {
    run: u64,
    user: String,
    timeline: Arc<Timeline>,
    arrivals: Arrivals,
    /// `None`: it is in none, and hears what goes to everyone.
    room: Option<Room>,
}

#[derive(Debug)]
struct Room {
    name: String,
    /// Of the last message, or where it joined.
    position: Option<Position>,
    stage: Stage,
    /// It was in on an earlier connection.
    counted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// From then on it asks to be in.
    Out(u64),
    Asked,
    In,
}

impl Member {
    pub fn new(
        run: u64,
        user: String,
        room: Option<String>,
        pairing: Pairing,
        timeline: Arc<Timeline>,
    ) -> Self {
        let room = room.map(|name| Room {
            name,
            position: None,
            stage: Stage::Out(0),
            counted: false,
        });
        Self {
            run,
            user,
            timeline,
            arrivals: Arrivals::new(pairing),
            room,
        }
    }

    /// What came, at the end of the load test.
    pub fn into_arrivals(self) -> Arrivals {
        self.arrivals
    }
}

impl Role for Member {
    fn user(&self) -> &str {
        &self.user
    }

    /// The position is that in its inbox, which does not matter.
    fn opened(&mut self, _: Option<Position>) {
        self.arrivals.begin_session();
        if let Some(room) = &mut self.room {
            room.stage = Stage::Out(0);
        }
    }

    fn closed(&mut self, _: &mut Stats) {}

    fn handle(&mut self, incoming: &Incoming<'_>, now_us: u64, stats: &mut Stats, _: &mut Vec<u8>) {
        match (incoming, &mut self.room) {
            (
                Incoming::Message {
                    name,
                    time_us,
                    position,
                },
                room,
            ) => {
                if let (Some(room), Some((epoch, offset))) = (room, position) {
                    Position::advance(&mut room.position, epoch, *offset);
                }
                if name.run != self.run {
                    stats.foreign += 1;
                } else if self.arrivals.note(name.sender, name.number) {
                    stats.delivered.add(self.timeline.is_measured(now_us));
                    if self.timeline.is_measured(*time_us) {
                        stats.delivery.record(now_us.saturating_sub(*time_us));
                    }
                }
            }
            (Incoming::Joined { position }, Some(room)) => {
                if let Some((epoch, offset)) = position
                    && room.position.is_none()
                {
                    Position::advance(&mut room.position, epoch, *offset);
                }
                room.stage = Stage::In;
                if !std::mem::replace(&mut room.counted, true) {
                    stats.joined += 1;
                }
            }
            (Incoming::NotJoined { code }, Some(room)) => {
                stats.connection_failed(&format!("join_{code}"));
                room.stage = Stage::Out(now_us + PAUSE_US);
            }
            _ => {}
        }
    }

    fn fill(&mut self, now_us: u64, _: &mut Stats, output: &mut Vec<u8>) -> bool {
        if let Some(room) = &mut self.room
            && let Stage::Out(at_us) = room.stage
            && at_us <= now_us
        {
            let join = join(&room.name, room.position.as_ref());
            let mask = rand::random();
            frames::append(output, OpCode::Text, mask, join.len(), |output| {
                output.extend_from_slice(join.as_bytes());
            });
            room.stage = Stage::Asked;
        }
        false
    }

    fn wake_at_us(&self, _: u64) -> Option<u64> {
        match self.room.as_ref().map(|room| room.stage) {
            Some(Stage::Out(at_us)) => Some(at_us),
            Some(Stage::Asked | Stage::In) | None => None,
        }
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn position(&self) -> Option<&Position> {
        None
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::messages::Name;

    fn member(room: Option<&str>) -> Member {
        let timeline = Timeline::new(Duration::ZERO);
        timeline.begin(Duration::from_secs(3600));
        let room = room.map(str::to_owned);
        let pairing = Pairing::groups(1, 1, 1);
        Member::new(1, "r0".to_owned(), room, pairing, Arc::new(timeline))
    }

    /// Whether it writes something, and how long that is without its mask and the frame's head.
    fn asks(member: &mut Member, now_us: u64) -> Option<String> {
        let mut output = Vec::new();
        member.fill(now_us, &mut Stats::default(), &mut output);
        let bytes = match output.get(1)? & 0x7f {
            126 => 8,
            _ => 6,
        };
        let mask = output[bytes - 4..bytes].try_into().unwrap();
        fastwebsockets::unmask(&mut output[bytes..], mask);
        Some(String::from_utf8(output.split_off(bytes)).unwrap())
    }

    fn take(member: &mut Member, stats: &mut Stats, incoming: &Incoming<'_>) {
        member.handle(incoming, 7, stats, &mut Vec::new());
    }

    #[test]
    fn a_member_joins_on_each_connection_from_where_it_was() {
        let (mut member, mut stats) = (member(Some("b-1-room0")), Stats::default());
        member.opened(None);
        let first = r#"{"type":"join","id":"join","room":"b-1-room0"}"#;
        assert_eq!(asks(&mut member, 0).as_deref(), Some(first));
        assert_eq!(asks(&mut member, 0), None);
        let position = Some(("e", 3));
        take(&mut member, &mut stats, &Incoming::Joined { position });
        let name = Name {
            run: 1,
            sender: 0,
            number: 0,
        };
        let message = Incoming::Message {
            name,
            time_us: member.timeline.begin_us(),
            position: Some(("e", 4)),
        };
        take(&mut member, &mut stats, &message);
        member.opened(None);
        let again =
            r#"{"type":"join","id":"join","room":"b-1-room0","since":{"epoch":"e","offset":4}}"#;
        assert_eq!(asks(&mut member, 0).as_deref(), Some(again));
        take(&mut member, &mut stats, &Incoming::Joined { position });
        take(&mut member, &mut stats, &message);
        assert_eq!((stats.joined, stats.delivered.total), (1, 1));
        assert_eq!(member.into_arrivals().redelivered, 1);
    }

    #[test]
    fn a_member_that_is_refused_asks_again_after_a_while() {
        let (mut member, mut stats) = (member(Some("r")), Stats::default());
        member.opened(None);
        asks(&mut member, 0);
        take(&mut member, &mut stats, &Incoming::NotJoined { code: "x" });
        assert_eq!(stats.connection_failures.get("join_x"), Some(&1));
        let at_us = member.wake_at_us(0).unwrap();
        assert!(asks(&mut member, at_us - 1).is_none() && asks(&mut member, at_us).is_some());
        assert_eq!(member.wake_at_us(0), None);
    }

    #[test]
    fn who_is_in_no_room_asks_for_none() {
        let mut member = member(None);
        member.opened(None);
        assert_eq!(asks(&mut member, 0), None);
        assert_eq!(member.wake_at_us(0), None);
    }
}
