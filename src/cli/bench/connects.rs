//! The modes `idle` and `storm`: many connections that say nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::args::{BenchArgs, Mode};
use super::connection::{Connection, Failure};
use super::handshake::{Opened, Route};
use super::interrupts::Interrupts;
use super::messages::Incoming;
use super::progress::Progress;
use super::stats::{Latencies, count};
use super::timeline::micros;

/// How often it is looked whether the time is over.
const TICK: Duration = Duration::from_millis(50);

/// What the connections count.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    pub tried: u64,
    pub opened: u64,
    /// Redirects during handshakes.
    pub redirects: u64,
    /// Redirects of open sessions, which were followed.
    pub moves: u64,
    /// Handshakes that failed, by cause.
    pub failures: BTreeMap<String, u64>,
    /// Connections that ended before they were to, by cause.
    pub ended: BTreeMap<String, u64>,
    /// From the first connect to the welcome, redirects included.
    pub handshake: Latencies,
    /// When the last handshake was done.
    pub last: Option<Instant>,
    /// A sentence about the first failure.
    pub why: Option<String>,
}

/// What a test of connections found.
#[derive(Debug)]
pub struct Outcome {
    pub counts: Counts,
    /// From the first handshake to the end of the last.
    pub opening: Duration,
    /// Open at the end.
    pub held: u64,
    pub interrupted: bool,
}

/// What all connections have in common.
struct Common {
    route: Arc<Route>,
    counts: Mutex<Counts>,
    finished: CancellationToken,
}

impl Common {
    /// A panic elsewhere leaves counters behind that are as good as they were.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the test.
pub async fn run(
    args: &BenchArgs,
    seed: u32,
    route: Arc<Route>,
    interrupts: &Interrupts,
    progress: &mut Progress,
) -> Outcome {
    let common = Arc::new(Common {
        route,
        counts: Mutex::default(),
        finished: CancellationToken::new(),
    });
    let mut sessions = JoinSet::new();
    let started = Instant::now();
    open_all(args, seed, &common, &mut sessions, interrupts, progress).await;
    let opening = {
        let last = common.counts().last;
        last.map_or(started.elapsed(), |last| last - started)
    };
    if args.mode == Mode::Idle {
        let until = Instant::now() + args.duration.0;
        while Instant::now() < until && interrupts.count() == 0 {
            tokio::select! {
                () = sleep(TICK) => {}
                () = interrupts.at_least(1) => {}
            }
            progress.tick(|_| line(&common.counts()));
        }
    }
    common.finished.cancel();
    let mut held = 0;
    while let Some(session) = sessions.join_next().await {
        held += u64::from(session.unwrap_or(false));
    }
    let counts = common.counts().clone();
    Outcome {
        counts,
        opening,
        held,
        interrupted: interrupts.count() > 0,
    }
}

/// Begins all connections, as fast as the mode says, and waits until none is being opened.
async fn open_all(
    args: &BenchArgs,
    seed: u32,
    common: &Arc<Common>,
    sessions: &mut JoinSet<bool>,
    interrupts: &Interrupts,
    progress: &mut Progress,
) {
    let permits = Arc::new(Semaphore::new(args.connect_concurrency as usize));
    let started = Instant::now();
    let rate = f64::from(args.connect_rate);
    let longest = match args.mode {
        Mode::Idle => Duration::from_secs_f64(f64::from(args.connections) / rate),
        Mode::Closed | Mode::Open | Mode::Storm => args.duration.0,
    };
    let deadline = started + longest + args.connect_timeout.0;
    let last_begin = match args.mode {
        Mode::Idle => deadline,
        Mode::Closed | Mode::Open | Mode::Storm => started + longest,
    };
    for number in 0..args.connections {
        if args.mode == Mode::Idle {
            let due = started + Duration::from_secs_f64(f64::from(number) / rate);
            if due > Instant::now() {
                sleep_until(due).await;
            }
        }
        let permit = tokio::select! {
            permit = timeout_at(last_begin, Arc::clone(&permits).acquire_owned()) => permit,
            () = interrupts.at_least(1) => break,
        };
        let Ok(Ok(permit)) = permit else {
            break;
        };
        let user = format!("{}-{seed}-c{number}", args.user_prefix);
        let common = Arc::clone(common);
        common.counts().tried += 1;
        progress.tick(|_| line(&common.counts()));
        sessions.spawn(session(common, number as usize, user, permit));
    }
    // Each handshake has its own time-out; this is for the progress meanwhile.
    while permits.available_permits() < args.connect_concurrency as usize {
        if Instant::now() > deadline + args.connect_timeout.0 || interrupts.count() > 0 {
            break;
        }
        sleep(Duration::from_millis(1)).await;
        progress.tick(|_| line(&common.counts()));
    }
}

fn line(counts: &Counts) -> String {
    let failed: u64 = counts.failures.values().sum();
    let ended: u64 = counts.ended.values().sum();
    let Counts { tried, opened, .. } = counts;
    format!("{tried} tried, {opened} opened, {failed} failed, {ended} ended")
}

/// One connection: its handshake, and its life until the test is over; whether it lived so long.
async fn session(
    common: Arc<Common>,
    number: usize,
    user: String,
    permit: OwnedSemaphorePermit,
) -> bool {
    let began = Instant::now();
    let opened = tokio::select! {
        opened = common.route.open(number, &user, None, None) => opened,
        () = common.finished.cancelled() => Err(given_up()),
    };
    let mut connection = {
        let mut counts = common.counts();
        counts.last = Some(Instant::now());
        match opened {
            Ok(Opened {
                connection,
                redirects,
                ..
            }) => {
                counts.opened += 1;
                counts.redirects += u64::from(redirects);
                counts.handshake.record(micros(began.elapsed()));
                connection
            }
            Err(failure) => {
                count(&mut counts.failures, &failure.code);
                counts.why.get_or_insert(failure.sentence);
                return false;
            }
        }
    };
    drop(permit);
    loop {
        let held = tokio::select! {
            held = hold(&mut connection) => held,
            () = common.finished.cancelled() => {
                connection.close().await;
                return true;
            }
        };
        let again = match held {
            Ok(url) => tokio::select! {
                again = common.route.open(number, &user, None, Some(&url)) => again,
                () = common.finished.cancelled() => Err(given_up()),
            },
            Err(failure) => Err(failure),
        };
        let mut counts = common.counts();
        match again {
            Ok(opened) => {
                counts.moves += 1;
                connection = opened.connection;
            }
            Err(failure) => {
                count(&mut counts.ended, &failure.code);
                return false;
            }
        }
    }
}

fn given_up() -> Failure {
    Failure::new("given_up", "the test was over before the handshake")
}

/// Answers pings until the connection ends or is told to move; where to.
async fn hold(connection: &mut Connection) -> Result<String, Failure> {
    let mut told = None;
    loop {
        connection.each_text(|text, _| {
            if let Incoming::Redirect { url, after_ms } = Incoming::read(text) {
                told = Some((Instant::now() + Duration::from_millis(after_ms), url));
            }
            true
        })?;
        match &told {
            None => connection.turn().await?,
            Some((at, _)) => match timeout_at(*at, connection.turn()).await {
                Ok(turned) => turned?,
                Err(_) => return Ok(told.map(|(_, url)| url).unwrap_or_default()),
            },
        }
    }
}
