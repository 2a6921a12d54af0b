//! Who takes part in a load test of messages.

use std::sync::Arc;

use super::args::{BenchArgs, Mode};
use super::handshake::Opened;
use super::ledger::{Arrivals, Pairing};
use super::member::Member;
use super::pace::{Pace, Schedule};
use super::receiver::Receiver;
use super::role::Role;
use super::sender::{Sender, SenderPlan};
use super::session::{self, Seat};
use super::template::{Targets, Template};
use super::timeline::Timeline;

/// Somebody to whom messages come.
pub enum Audience {
    Receiver(Receiver),
    Member(Member),
}

impl Audience {
    fn user(&self) -> &str {
        match self {
            Self::Receiver(receiver) => receiver.user(),
            Self::Member(member) => member.user(),
        }
    }

    /// To the end of the test; what came.
    pub async fn run(self, opened: Opened, seat: Seat) -> Arrivals {
        match self {
            Self::Receiver(receiver) => session::run(receiver, opened, seat).await.into_arrivals(),
            Self::Member(member) => session::run(member, opened, seat).await.into_arrivals(),
        }
    }
}

/// Who takes part.
pub struct Cast {
    pub receivers: Vec<Audience>,
    pub senders: Vec<Sender>,
    pub pairing: Pairing,
    pub timeline: Arc<Timeline>,
}

impl Cast {
    pub fn new(args: &BenchArgs, seed: u32) -> Self {
        let timeline = Arc::new(Timeline::new(args.warmup.0));
        // Messages of an earlier test with the same seed may still be kept for its users.
        let run = rand::random();
        let (senders, receivers) = (args.senders as usize, args.receivers as usize);
        let pairing = match args.rooms {
            Some(rooms) => Pairing::groups(senders, rooms as usize, receivers),
            None if args.everyone => Pairing::groups(senders, 1, receivers),
            None => Pairing::new(senders, receivers),
        };
        let names = format!("{}-{seed}", args.user_prefix);
        let (users, rooms) = (format!("{names}-r"), format!("{names}-room"));
        let receiver = |index| {
            let (user, timeline) = (format!("{users}{index}"), Arc::clone(&timeline));
            if args.rooms.is_none() && !args.everyone {
                return Audience::Receiver(Receiver::new(run, user, pairing, timeline));
            }
            let target = pairing.target_of(index);
            let room = args.rooms.map(|_| format!("{rooms}{target}"));
            Audience::Member(Member::new(run, user, room, pairing, timeline))
        };
        let targets = match args.rooms {
            Some(_) => Targets::Rooms(&rooms),
            None if args.everyone => Targets::Everyone,
            None => Targets::Users(&users),
        };
        let plan = SenderPlan {
            run,
            qos: args.qos,
            pairing,
            timeline: Arc::clone(&timeline),
        };
        let sender = |index: usize| {
            let pace = match args.mode {
                Mode::Open => Pace::Schedule(Schedule {
                    rate: args.rate,
                    senders: senders as u64,
                    sender: index as u64,
                }),
                Mode::Closed | Mode::Idle | Mode::Storm => Pace::Window(args.window as usize),
            };
            let template = Template::new(run, index, targets, args.qos, args.size as usize);
            let user = format!("{names}-s{index}");
            Sender::new(plan.clone(), user, index, pace, template)
        };
        Self {
            receivers: (0..receivers).map(receiver).collect(),
            senders: (0..senders).map(sender).collect(),
            pairing,
            timeline,
        }
    }

    /// All users, the receivers first.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        let receivers = self.receivers.iter().map(Audience::user);
        receivers.chain(self.senders.iter().map(Role::user))
    }
}
