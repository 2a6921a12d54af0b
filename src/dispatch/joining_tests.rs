//! A session that joins and leaves a room at the same time: in the end it is a member if it says so itself.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use super::*;
use crate::dispatch::tests::{doubtful, session, user_of};
use crate::id::{SessionId, StreamKey};

/// Longer than another thread takes to get to the lock of a shard.
const PATIENCE: Duration = Duration::from_secs(30);

fn lobby() -> RoomName {
    RoomName::new("lobby").unwrap()
}

/// A room whose owner cannot be reached.
fn room_elsewhere(dispatch: &Dispatch) -> RoomName {
    let rooms = (0..100).map(|n| RoomName::new(&format!("r{n}")).unwrap());
    let mut theirs = rooms.filter(|room| !dispatch.topology().is_mine(room.as_str()));
    theirs.next().unwrap()
}

fn members(dispatch: &Dispatch, room: &RoomName) -> Vec<SessionId> {
    let mut reports = dispatch.room_reports();
    reports.remove(room).unwrap_or_default().members
}

/// What a session does in a room while nobody else gets at it; in the middle `meanwhile` happens, as soon as
/// the session says that it `is_in` the room, or not.
fn held_up<T: std::marker::Send>(
    dispatch: &Dispatch,
    (session, room): (&Session, &RoomName),
    does: impl FnOnce() -> T + std::marker::Send,
    is_in: bool,
    meanwhile: impl FnOnce(),
) -> T {
    thread::scope(|scope| {
        let shard = dispatch.shard(&StreamKey::Room(room.clone()));
        let other = scope.spawn(does);
        let start = std::time::Instant::now();
        while session.is_in(room) != is_in {
            assert!(start.elapsed() < PATIENCE, "it does not come so far");
            thread::yield_now();
        }
        meanwhile();
        drop(shard);
        other.join().unwrap()
    })
}

#[test]
fn who_leaves_while_the_join_is_on_its_way_is_no_member() {
    let (dispatch, _) = doubtful();
    let (alice, room) = (session(&dispatch, &user_of(&dispatch)), lobby());
    let join = || dispatch.join_of_program(&alice, &room).unwrap();
    let mut joined = held_up(&dispatch, (&alice, &room), join, true, || {
        assert!(alice.leave(&room));
    });
    assert_eq!(joined.try_recv(), Ok(Err(ErrorCode::Unknown)));
    assert_eq!(members(&dispatch, &room), []);
}

#[test]
fn who_joins_again_while_the_leave_is_on_its_way_is_a_member_until_the_end() {
    let (dispatch, _) = doubtful();
    let (alice, room) = (session(&dispatch, &user_of(&dispatch)), lobby());
    let _joined = dispatch.join_of_program(&alice, &room).unwrap();
    let leave = || dispatch.leave_of_program(&alice, &room);
    let was_there = held_up(&dispatch, (&alice, &room), leave, false, || {
        assert!(alice.enter(&[lobby()], 1));
    });
    assert!(was_there);
    assert_eq!(members(&dispatch, &room), [alice.id()]);
    dispatch.close(&alice);
    assert_eq!(members(&dispatch, &room), []);
}

#[test]
fn who_ends_while_the_join_is_on_its_way_is_no_member() {
    let (dispatch, _) = doubtful();
    let (alice, room) = (session(&dispatch, &user_of(&dispatch)), lobby());
    let _joined = dispatch.join_of_program(&alice, &room).unwrap();
    let close = || dispatch.close(&alice);
    held_up(&dispatch, (&alice, &room), close, false, || {
        // A handler may do so, for nothing.
        alice.enter(&[lobby()], 1);
    });
    assert_eq!(members(&dispatch, &room), []);
    assert!(dispatch.join_of_program(&alice, &room).is_ok());
    assert_eq!(members(&dispatch, &room), []);
}

/// Looks at the session as soon as it hears of its `join`.
struct Hears {
    session: Arc<Session>,
    room: RoomName,
    has_left: AtomicBool,
}

impl Wake for Hears {
    fn wake(self: Arc<Self>) {
        let has_left = !self.session.is_in(&self.room);
        self.has_left.store(has_left, Ordering::SeqCst);
    }
}

#[test]
fn who_hears_that_a_join_is_too_late_may_join_again_at_once() {
    let (dispatch, clock) = doubtful();
    let room = room_elsewhere(&dispatch);
    let alice = session(&dispatch, &user_of(&dispatch));
    let mut joined = dispatch.join_of_program(&alice, &room).unwrap();
    let hears = Arc::new(Hears {
        session: Arc::clone(&alice),
        room: room.clone(),
        has_left: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&hears));
    let mut cx = Context::from_waker(&waker);
    assert_eq!(Pin::new(&mut joined).poll(&mut cx), Poll::Pending);
    *locked(&clock.1) = Duration::from_secs(60);
    dispatch.tick();
    let late = Poll::Ready(Ok(Err(ErrorCode::Unreachable)));
    assert_eq!(Pin::new(&mut joined).poll(&mut cx), late);
    assert!(hears.has_left.load(Ordering::SeqCst));
    assert_eq!(members(&dispatch, &room), []);
    let _again = dispatch.join_of_program(&alice, &room).unwrap();
    assert_eq!(members(&dispatch, &room), [alice.id()]);
}
