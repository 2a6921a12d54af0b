//! The modes `closed` and `open`: senders, receivers, and the comparison at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::args::{BenchArgs, Mode};
use super::cast::Cast;
use super::connection::Failure;
use super::handshake::{Opened, Route};
use super::interrupts::Interrupts;
use super::ledger::{Arrivals, Bits, Findings, compare};
use super::pacer;
use super::progress::Progress;
use super::report::listed;
use super::sender::Sender;
use super::session::{self, Seat};
use super::stats::{Shards, Stats, Totals};
use super::timeline::Timeline;

/// How often it is looked whether the test is over.
const TICK: Duration = Duration::from_millis(20);
/// How often a session is tried to be opened before the test is given up.
const ATTEMPTS: u32 = 3;
/// Between these.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(300);

/// What a load test of messages found.
#[derive(Debug)]
pub struct Outcome {
    pub stats: Stats,
    pub findings: Findings,
    /// Sent, and without a receipt at the end.
    pub unanswered: u64,
    /// Scheduled, and not sent before the end.
    pub not_sent: u64,
    /// Sessions at the begin.
    pub opened: usize,
    pub measured: Duration,
    pub interrupted: bool,
}

/// Runs the test; the error says why there is nothing to report.
pub async fn run(
    args: &BenchArgs,
    seed: u32,
    route: Arc<Route>,
    interrupts: &Interrupts,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let cast = Cast::new(args, seed);
    let opening = open_all(args, &route, &cast);
    let opened = tokio::select! {
        opened = opening => opened.map_err(|failure| failure.sentence)?,
        () = interrupts.at_least(1) => return Err("interrupted while connecting".to_owned()),
    };
    let Cast {
        receivers,
        senders,
        pairing,
        timeline,
    } = cast;
    let shards = Arc::new(Shards::new());
    for (number, opened) in opened.iter().enumerate() {
        shards.of(number).handshake_redirects += u64::from(opened.redirects);
    }
    let finished = CancellationToken::new();
    let opened_count = opened.len();
    let mut opened = opened.into_iter().enumerate();
    let mut seats = || {
        let (number, opened) = opened.next()?;
        let seat = Seat {
            route: Arc::clone(&route),
            shards: Arc::clone(&shards),
            timeline: Arc::clone(&timeline),
            number,
            wake: Arc::new(Notify::new()),
            finished: finished.clone(),
        };
        Some((opened, seat))
    };
    let receivers: Vec<JoinHandle<Arrivals>> = receivers
        .into_iter()
        .filter_map(|audience| {
            let (opened, seat) = seats()?;
            Some(tokio::spawn(audience.run(opened, seat)))
        })
        .collect();
    let mut wakes = Vec::new();
    let senders: Vec<JoinHandle<Sender>> = senders
        .into_iter()
        .filter_map(|sender| {
            let (opened, seat) = seats()?;
            wakes.push(Arc::clone(&seat.wake));
            Some(tokio::spawn(session::run(sender, opened, seat)))
        })
        .collect();

    if args.rooms.is_some() {
        wait_for_members(&shards, args, interrupts).await?;
    }
    timeline.begin(args.duration.0);
    for wake in &wakes {
        wake.notify_one();
    }
    if args.mode == Mode::Open {
        pacer::start(args.rate, wakes, Arc::clone(&timeline));
    }
    send(&shards, &timeline, interrupts, progress).await?;
    wait_for_the_rest(&shards, args.grace.0, interrupts).await;
    finished.cancel();

    let mut arrivals = Vec::new();
    for receiver in receivers {
        arrivals.push(joined(receiver).await?);
    }
    let mut accepted: Vec<Bits> = Vec::new();
    let (mut unanswered, mut not_sent) = (0, 0);
    for sender in senders {
        let sent = joined(sender).await?.into_sent();
        unanswered += sent.unanswered;
        not_sent += sent.missed;
        accepted.push(sent.accepted);
    }
    Ok(Outcome {
        stats: shards.merged(),
        findings: compare(pairing, &accepted, &arrivals),
        unanswered,
        not_sent,
        opened: opened_count,
        measured: timeline.measured(),
        interrupted: interrupts.count() > 0,
    })
}

/// Opens a session for every user, in their order.
async fn open_all(
    args: &BenchArgs,
    route: &Arc<Route>,
    cast: &Cast,
) -> Result<Vec<Opened>, Failure> {
    let permits = Arc::new(Semaphore::new(args.connect_concurrency as usize));
    let mut opening = JoinSet::new();
    for (number, user) in cast.users().enumerate() {
        let (route, permits, user) = (Arc::clone(route), Arc::clone(&permits), user.to_owned());
        opening.spawn(async move {
            let permit = permits.acquire().await;
            let opened = open_one(&route, number, &user).await;
            drop(permit);
            opened.map(|opened| (number, opened))
        });
    }
    let mut opened = Vec::new();
    while let Some(joined) = opening.join_next().await {
        match joined {
            Ok(one) => opened.push(one?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    opened.sort_by_key(|(number, _)| *number);
    Ok(opened.into_iter().map(|(_, opened)| opened).collect())
}

async fn open_one(route: &Route, number: usize, user: &str) -> Result<Opened, Failure> {
    let mut attempt = 1;
    loop {
        match route.open(number, user, None, None).await {
            Ok(opened) => return Ok(opened),
            Err(failure) if failure.is_final || attempt == ATTEMPTS => return Err(failure),
            Err(_) => sleep(ATTEMPT_PAUSE.mul_f64(rand::random())).await,
        }
        attempt += 1;
    }
}

/// Until every receiver is in its room; an error when that takes longer than a handshake may.
async fn wait_for_members(
    shards: &Shards,
    args: &BenchArgs,
    interrupts: &Interrupts,
) -> Result<(), String> {
    let (wanted, patience) = (u64::from(args.receivers), args.connect_timeout.0);
    let deadline = Instant::now() + patience;
    loop {
        let joined = shards.totals().joined;
        if joined == wanted {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let failures = shards.merged().connection_failures;
            return Err(format!(
                "{joined} of {wanted} receivers were in their rooms after {patience:?}{}",
                listed(" (", &failures, ")")
            ));
        }
        tokio::select! {
            () = sleep(TICK) => {}
            () = interrupts.at_least(1) => return Err("interrupted while joining".to_owned()),
        }
    }
}

/// Until the time is over, or an interrupt; an error when the cluster cannot do what is asked.
async fn send(
    shards: &Shards,
    timeline: &Timeline,
    interrupts: &Interrupts,
    progress: &mut Progress,
) -> Result<(), String> {
    let mut before = Totals::default();
    while timeline.now_us() < timeline.stop_us() {
        tokio::select! {
            () = sleep(TICK) => {}
            () = interrupts.at_least(1) => timeline.stop(),
        }
        let now = shards.totals();
        if now.accepted == 0 && now.unsupported > 0 {
            return Err(
                "the cluster does not know qos 1: its receipts say `unsupported`; --qos 0 would do"
                    .to_owned(),
            );
        }
        progress.tick(|since| {
            let line = rates(&before, &now, since);
            before = now;
            line
        });
    }
    Ok(())
}

fn rates(before: &Totals, now: &Totals, since: Duration) -> String {
    // A difference of counters, far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let rate = |before: u64, now: u64| (now - before) as f64 / since.as_secs_f64();
    format!(
        "{:.0} sent/s, {:.0} accepted/s, {:.0} delivered/s, {} failed",
        rate(before.sent, now.sent),
        rate(before.accepted, now.accepted),
        rate(before.delivered, now.delivered),
        now.failed
    )
}

/// Until every send has a receipt and everything that may still come has come, for a while at most.
async fn wait_for_the_rest(shards: &Shards, grace: Duration, interrupts: &Interrupts) {
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        let totals = shards.totals();
        if totals.sent == totals.accepted + totals.failed && totals.delivered >= totals.expected {
            return;
        }
        tokio::select! {
            () = sleep(TICK) => {}
            () = interrupts.at_least(2) => return,
        }
    }
}

async fn joined<R>(session: JoinHandle<R>) -> Result<R, String> {
    let joined = session.await;
    joined.map_err(|error| format!("a session of the load test broke: {error}"))
}
