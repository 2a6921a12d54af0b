//! One session of a load test: its role, driven over as many connections as it takes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ringpost::core::backoff::Backoff;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{CLOSE_TIMEOUT, Connection, Failure};
use super::handshake::{Opened, Route};
use super::messages::Incoming;
use super::role::Role;
use super::stats::Shards;
use super::timeline::Timeline;

/// Waits between attempts to connect again, with full jitter.
const RECONNECT_MIN: Duration = Duration::from_millis(10);
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// How long a session that has been told to move waits for its receipts.
const SETTLE_US: u64 = 500_000;

/// What a session works with.
#[derive(Clone)]
pub struct Seat {
    pub route: Arc<Route>,
    pub shards: Arc<Shards>,
    pub timeline: Arc<Timeline>,
    /// Among all sessions; says at which node it begins and where it counts.
    pub number: usize,
    /// There may be something to send.
    pub wake: Arc<Notify>,
    /// The load test is over.
    pub finished: CancellationToken,
}

/// Where to go, and when, as a redirect of an open session says.
struct Move {
    at_us: u64,
    url: String,
}

/// Runs a session that has been opened until the load test is over, and gives its role back.
pub async fn run<R: Role>(mut role: R, opened: Opened, seat: Seat) -> R {
    let mut opened = opened;
    loop {
        role.opened(opened.position.take());
        let mut connection = opened.connection;
        let mut destination = None;
        let served = {
            let mut serving = pin!(serve(&mut role, &mut connection, &mut destination, &seat));
            tokio::select! {
                served = &mut serving => served,
                () = seat.finished.cancelled() => Ok(()),
            }
        };
        match served {
            Ok(()) if destination.is_none() => {
                role.finish(connection.output());
                connection.close().await;
                return role;
            }
            Ok(()) => {
                let mut stats = seat.shards.of(seat.number);
                stats.moves += 1;
                role.closed(&mut stats);
            }
            Err(failure) => {
                let mut stats = seat.shards.of(seat.number);
                stats.connection_failed(&failure.code);
                role.closed(&mut stats);
                if failure.is_final {
                    return role;
                }
            }
        }
        let reopened = tokio::select! {
            reopened = reopen(&role, destination, &seat) => reopened,
            () = seat.finished.cancelled() => None,
        };
        match reopened {
            Some(again) => opened = again,
            None => return role,
        }
    }
}

/// Serves one connection until it breaks, or it is time to move to `destination`.
async fn serve<R: Role>(
    role: &mut R,
    connection: &mut Connection,
    destination: &mut Option<String>,
    seat: &Seat,
) -> Result<(), Failure> {
    let Seat {
        shards,
        timeline,
        number,
        wake,
        ..
    } = seat;
    let mut told: Option<Move> = None;
    let mut timer = pin!(sleep(Duration::MAX));
    let mut armed_us = None;
    loop {
        let now_us = timeline.now_us();
        match &told {
            Some(Move { at_us, url }) if now_us >= *at_us => {
                if role.is_settled() || now_us >= at_us + SETTLE_US {
                    *destination = Some(url.clone());
                    leave(role, connection, seat).await;
                    return Ok(());
                }
            }
            _ => {
                let more = role.fill(now_us, &mut shards.of(*number), connection.output());
                connection.flush()?;
                if more && connection.output().is_empty() {
                    continue;
                }
            }
        }
        let move_us = told.as_ref().map(|told| {
            let settled_us = told.at_us + SETTLE_US;
            if now_us < told.at_us {
                told.at_us
            } else {
                settled_us
            }
        });
        let wake_us = [role.wake_at_us(now_us), move_us]
            .into_iter()
            .flatten()
            .min();
        if wake_us != armed_us {
            if let Some(at_us) = wake_us {
                timer.as_mut().reset(timeline.instant(at_us));
            }
            armed_us = wake_us;
        }
        tokio::select! {
            turned = connection.turn() => turned?,
            () = wake.notified() => continue,
            () = &mut timer, if armed_us.is_some() => {
                armed_us = None;
                continue;
            }
        }
        told = take(role, connection, seat)?.or(told);
    }
}

/// Gives the role what has been read; the redirect, if there is one.
fn take<R: Role>(
    role: &mut R,
    connection: &mut Connection,
    seat: &Seat,
) -> Result<Option<Move>, Failure> {
    let mut told = None;
    let mut stats = seat.shards.of(seat.number);
    let now_us = seat.timeline.now_us();
    connection.each_text(|text, output| {
        match Incoming::read(text) {
            Incoming::Redirect { url, after_ms } => {
                let at_us = now_us + after_ms * 1000;
                told = Some(Move { at_us, url });
            }
            Incoming::Error { code } => stats.connection_failed(&format!("error_{code}")),
            incoming => role.handle(&incoming, now_us, &mut stats, output),
        }
        true
    })?;
    Ok(told)
}

/// Closes the connection, and takes what the node wrote before it knew.
async fn leave<R: Role>(role: &mut R, connection: &mut Connection, seat: &Seat) {
    connection.begin_close();
    let until_it_ends =
        async { while connection.turn().await.is_ok() && take(role, connection, seat).is_ok() {} };
    // Whoever does not answer a close is left alone.
    let _ = timeout(CLOSE_TIMEOUT, until_it_ends).await;
}

/// Connects again: where a redirect said, then at the nodes in turn, until it works or is of no
/// use.
async fn reopen<R: Role>(role: &R, mut destination: Option<String>, seat: &Seat) -> Option<Opened> {
    let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
    let mut node = seat.number;
    loop {
        if destination.is_none() {
            sleep(backoff.next(rand::random())).await;
        }
        let url = destination.take();
        let opening = seat
            .route
            .open(node, role.user(), role.position(), url.as_deref());
        match opening.await {
            Ok(opened) => {
                let mut stats = seat.shards.of(seat.number);
                stats.reconnects += 1;
                stats.handshake_redirects += u64::from(opened.redirects);
                return Some(opened);
            }
            Err(failure) => {
                seat.shards.of(seat.number).connection_failed(&failure.code);
                if failure.is_final {
                    return None;
                }
            }
        }
        node += 1;
    }
}
