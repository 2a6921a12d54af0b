//! What a node says that has just become an owner, before the others have agreed to that and before it
//! has the streams; and what one does that is not the owner of a room.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use super::*;
use crate::core::peer::{Answer, Offer, Reply as Said};
use crate::core::protocol::request::{Join, JoinRoom};
use crate::core::ring::Seed;
use crate::core::stream::{ConfigId, Epoch, History, LogLimits, Position, Resume};
use crate::core::trust::Principal;
use crate::core::view::{Member, MemberState};
use crate::id::{RoomName, SessionId};

const LIMITS: LogLimits = LogLimits {
    entries_max: 100,
    bytes_max: 1 << 20,
    kept_entries_max: 100,
    kept_bytes_max: 1 << 20,
    age_max: Duration::from_secs(3600),
    seen_max: 1000,
    seen_age: Duration::from_secs(600),
};

pub(super) fn view(names: &[&str]) -> Arc<View> {
    let members = names.iter().map(|name| Member {
        id: NodeId::new(name).unwrap(),
        generation: Generation(1),
        revision: 0,
        peer: "127.0.0.1:1".into(),
        url: "ws://127.0.0.1:2".into(),
        weight: 1,
        draining: false,
        state: MemberState::Alive,
    });
    let me = NodeId::new("n1").unwrap();
    let mut view = View::new(me, Seed(7), members.collect(), None);
    view.accepted = names.len() > 1;
    Arc::new(view)
}

/// A clock that is put forward by hand.
#[derive(Debug)]
pub(super) struct Hand(Instant, pub(super) Mutex<Duration>);

impl Clock for Hand {
    fn now(&self) -> Instant {
        self.0 + *locked(&self.1)
    }

    fn unix_ms(&self) -> u64 {
        1_732_350_000_000
    }
}

/// A node that knows of another one, which has not said anything yet.
pub(super) fn doubtful() -> (Dispatch, Arc<Hand>) {
    doubtful_with(1 << 20)
}

/// The same, with so many bytes that may wait for the other one.
pub(super) fn doubtful_with(queue_bytes_max: usize) -> (Dispatch, Arc<Hand>) {
    let config = DispatchConfig {
        request_timeout: Duration::from_secs(15),
        copy_timeout: Duration::from_secs(2),
        link: LinkLimits {
            window: 10,
            queue_bytes_max,
        },
        streams: StreamConfig {
            replicas: 2,
            min_copies: 1,
            inboxes: LIMITS,
            rooms: LIMITS,
            shard_bytes_max: 1 << 24,
        },
        rebalance_rate: 100,
        sessions_per_user: (1, AtSessionLimit::RefuseNewest),
        rooms: RoomConfig::default(),
        clients_may_broadcast: false,
        min_members: 1,
    };
    let clock = Arc::new(Hand(SystemClock.now(), Mutex::default()));
    let dispatch = Dispatch::new(view(&["n1"]), config, 1, Arc::<Hand>::clone(&clock));
    dispatch.join();
    dispatch.publish(view(&["n1", "n2"]));
    (dispatch, clock)
}

/// A user whom this node owns.
pub(super) fn user_of(dispatch: &Dispatch) -> UserId {
    let users = (0..100).map(|n| UserId::new(&format!("u{n}")).unwrap());
    let mut mine = users.filter(|user| dispatch.topology().is_mine(user.as_str()));
    mine.next().unwrap()
}

pub(super) fn session(dispatch: &Dispatch, user: &UserId) -> Arc<Session> {
    dispatch.open(SessionConfig {
        principal: Principal::believed(user.clone()),
        onward: "user=u".into(),
        protocol: Protocol::Json(Arc::new(Greeting {
            node: dispatch.me().clone(),
            heartbeat_ms: 25_000,
            max_message_bytes: 65_536,
        })),
        resume: Resume::Fresh,
        may_move: true,
        outbound_bytes_max: 1 << 20,
    })
}

/// All that is written to it.
fn written(session: &Session) -> String {
    let mut frames = VecDeque::new();
    let _ = (session.outbox()).poll_take(&Context::from_waker(Waker::noop()), &mut frames);
    let texts = frames.iter().map(|frame| String::from_utf8_lossy(frame));
    texts.collect()
}

fn other() -> NodeId {
    NodeId::new("n2").unwrap()
}

/// The other one agrees to all, and has a copy of that stream.
fn agrees(dispatch: &Dispatch, clock: &Hand, key: &StreamKey) {
    *locked(&clock.1) += Duration::from_secs(1);
    let questions = locked(&dispatch.consents).questions(dispatch.since_start());
    let holder = Holder {
        node: other(),
        generation: Generation(1),
    };
    let offer = Offer {
        key: key.clone(),
        config: ConfigId {
            number: 1,
            owner: holder.clone(),
        },
        seq: 1,
        tip: at(1),
    };
    let answer = Answer::Consented {
        ring: None,
        members: vec![holder],
        offers: vec![offer],
        under_replicated: 0,
    };
    dispatch.consent_answered(&questions[0], Outcome::Done, answer);
}

fn at(offset: u64) -> Position {
    let epoch = Epoch::ROOT;
    Position { epoch, offset }
}

#[test]
fn nobody_is_called_offline_by_an_owner_that_may_not_have_heard_of_all_sessions() {
    let (dispatch, _) = doubtful();
    let user = user_of(&dispatch);
    let asker = session(&dispatch, &user);
    asker.outbox().open(None);
    dispatch.presence(&asker, "p", vec![user.clone()]);
    let answer = written(&asker);
    assert!(answer.contains(r#""code":"unreachable""#), "{answer}");
    assert_eq!(dispatch.known_user(&user), None);
    let online = dispatch.tell_presence(std::slice::from_ref(&user));
    assert_eq!(online, (Outcome::NotOwner, Answer::None));
}

#[test]
fn an_owner_counts_sessions_once_it_may_have_heard_of_all() {
    let (dispatch, clock) = doubtful();
    let user = user_of(&dispatch);
    let sessions = [session(&dispatch, &user), session(&dispatch, &user)];
    assert!(sessions.iter().all(|session| session.outbox().is_held()));
    dispatch.tick();
    assert!(sessions.iter().all(|session| session.outbox().is_held()));
    // One elsewhere that was let in by the owner before.
    let guest = (SessionId(1 << 40), 1);
    let told = (0, false, 0);
    let (outcome, _) =
        dispatch.register_guest(&other(), &StreamKey::from(&user), guest, told, None);
    assert_eq!(outcome, Outcome::Done);
    // The other one does not answer, and is passed over.
    *locked(&clock.1) = Duration::from_secs(60);
    dispatch.tick();
    dispatch.tick();
    for session in &sessions {
        let refused = written(session);
        assert!(refused.contains("as many sessions"), "{refused}");
    }
    assert_eq!(dispatch.counts(), (0, 1));
}

#[test]
fn a_message_that_is_not_kept_is_undelivered_for_sure_once_all_sessions_may_be_known() {
    let (dispatch, clock) = doubtful();
    let user = user_of(&dispatch);
    let sender = session(&dispatch, &UserId::new("sender").unwrap());
    sender.outbox().open(None);
    let told = |id: &str| {
        let send = Send {
            id: id.into(),
            to: Recipient::Stream(StreamKey::from(&user)),
            body: "1",
            qos: Qos::AtMostOnce,
            notify: false,
            echo: true,
        };
        dispatch.send(&sender, &send);
        written(&sender)
    };
    let receipt = told("m1");
    assert!(receipt.contains(r#""code":"unreachable""#), "{receipt}");
    *locked(&clock.1) = Duration::from_secs(60);
    dispatch.tick();
    let receipt = told("m2");
    assert!(receipt.contains(r#""code":"offline""#), "{receipt}");
}

#[test]
fn a_watched_user_is_not_said_to_have_gone_before_all_sessions_may_be_known() {
    let (dispatch, clock) = doubtful();
    let user = user_of(&dispatch);
    let inbox = StreamKey::from(&user);
    let watcher = session(&dispatch, &UserId::new("watcher").unwrap());
    watcher.outbox().open(None);
    dispatch.watch(&watcher, std::slice::from_ref(&inbox), true);
    let guest = (SessionId(1 << 40), 1);
    dispatch.register_guest(&other(), &inbox, guest, (0, false, 0), None);
    let changes = |time| {
        *locked(&clock.1) = Duration::from_millis(time);
        dispatch.tick();
        written(&watcher)
    };
    let online = changes(100);
    assert!(online.contains(r#""online":true"#), "{online}");
    // It will tell its guests anew.
    dispatch.peer_opened(&other());
    assert_eq!(changes(200), "");
    assert_eq!(changes(2000), "");
    let offline = [changes(60_000), changes(60_100)].concat();
    assert!(offline.contains(r#""online":false"#), "{offline}");
}

#[test]
fn a_guest_is_there_while_its_stream_is_taken_over() {
    let (dispatch, clock) = doubtful();
    let user = user_of(&dispatch);
    let inbox = StreamKey::from(&user);
    agrees(&dispatch, &clock, &inbox);
    let registered = |session, nonce, new| {
        let guest = (SessionId(session), nonce);
        let told = (7, new, 0);
        let resume = Some(Resume::Fresh);
        dispatch.register_guest(&other(), &inbox, guest, told, resume)
    };
    let busy = (Outcome::Busy, Answer::None);
    let sessions = || {
        let known = dispatch.known_user(&user).unwrap().sessions;
        (known.iter()).map(|s| s.session.0).collect::<Vec<_>>()
    };
    // One that nobody has let in before is not there yet.
    assert_eq!(registered(1 << 41, 1, true), busy);
    assert!(sessions().is_empty());
    for nonce in [1, 2] {
        assert_eq!(registered(1 << 40, nonce, false), busy);
        assert_eq!(sessions(), [1 << 40]);
    }
    let online = dispatch.tell_presence(std::slice::from_ref(&user));
    assert_eq!(online, (Outcome::Done, Answer::Online(vec![true])));
    // It counts.
    let one_more = session(&dispatch, &user);
    let refused = written(&one_more);
    assert!(refused.contains("as many sessions"), "{refused}");
    let mut shard = dispatch.shard(&inbox);
    (shard.directory).unregister(&inbox, &other(), SessionId(1 << 40));
    drop(shard);
    assert!(sessions().is_empty());
}

#[test]
fn a_page_for_one_member_of_a_room_is_no_work_for_the_others_that_wait() {
    let (dispatch, clock) = doubtful();
    let topology = dispatch.topology();
    let link = topology.links().next().unwrap();
    link.lock().connected();
    let rooms = (0..100).map(|n| RoomName::new(&format!("r{n}")).unwrap());
    let mut theirs = rooms.filter(|room| !topology.is_mine(room.as_str()));
    let room = theirs.next().unwrap();
    let user = user_of(&dispatch);
    for id in ["j1", "j2"] {
        let member = session(&dispatch, &user);
        let since = Some(Resume::At(at(1)));
        let join = Join {
            id: id.into(),
            rooms: vec![JoinRoom {
                room: room.clone(),
                since,
            }],
            single: true,
        };
        dispatch.join_rooms(&member, join);
    }
    // Says what the other one is asked; and what it does not answer at once.
    let asked = || {
        let mut fetches = Vec::new();
        for (seq, request) in link.take_batch(100, 1 << 20) {
            let answer = match request {
                Request::Register { .. } => Answer::Registered {
                    position: at(5),
                    recovered: None,
                },
                Request::Members { .. } => Answer::None,
                Request::History { .. } => {
                    fetches.push(seq);
                    continue;
                }
                _ => continue,
            };
            let outcome = Outcome::Done;
            dispatch.link_reply(
                link,
                Said {
                    seq,
                    outcome,
                    answer,
                },
            );
        }
        fetches
    };
    assert!(asked().is_empty());
    let fetches = asked();
    assert_eq!(fetches.len(), 2);
    dispatch.link_reply(
        link,
        Said {
            seq: fetches[0],
            outcome: Outcome::Busy,
            answer: Answer::None,
        },
    );
    let page = History {
        position: at(1),
        recovered: true,
        entries: Vec::new(),
        upto: at(5),
    };
    dispatch.link_reply(
        link,
        Said {
            seq: fetches[1],
            outcome: Outcome::Done,
            answer: Answer::History(Box::new(page)),
        },
    );
    assert!(asked().is_empty(), "the other one's turn is the next tick");
    *locked(&clock.1) += Duration::from_millis(100);
    dispatch.tick();
    assert_eq!(asked().len(), 1);
}
