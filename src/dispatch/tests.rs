//! What a node says that has just become an owner, before the others have agreed to that.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use super::*;
use crate::core::peer::Answer;
use crate::core::ring::Seed;
use crate::core::stream::{LogLimits, Resume};
use crate::core::trust::Principal;
use crate::core::view::{Member, MemberState};
use crate::id::SessionId;

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
    let peer = NodeId::new("n2").unwrap();
    let guest = (SessionId(1 << 40), 1);
    let told = (0, false, 0);
    let (outcome, _) = dispatch.register_guest(&peer, &StreamKey::from(&user), guest, told, None);
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
