//! What other clients notice of attacks: the latency of their messages, and the memory of the node,
//! before and during each.
//!
//! ```text
//! cargo bench --bench under_attack
//! ```
//!
//! Twenty users send each other twenty messages a second each, on a node with its default settings; a
//! latency counts from when a message should have been sent. The attackers come from another address, in a
//! process of their own with the lowest priority, so that on a small machine it is the node that is measured, and
//! not who gets the processor. It fails where the 99th percentile grows by more than 20 ms, a message is
//! lost, or the node grows by more than the attack is allowed. With `--test` all is short and nothing is
//! judged.

mod attacks;
mod socket;

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack};
use serde_json::{Value, json};
use socket::{TEXT, frame, open, read};

const USERS: u32 = 20;
/// Between two messages of one user.
const PACE: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_secs(5);
const ATTACKED: Duration = Duration::from_secs(10);
const IN_TEST: Duration = Duration::from_millis(500);
/// What the 99th percentile may grow by.
const NOTICED_MS: f64 = 20.0;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The name of this program's other half.
const AS_ATTACKER: &str = "attack";

type Failed = Box<dyn Error>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Node {
    process: Process,
    clients: SocketAddr,
    peers: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    fn start() -> Result<Self, Failed> {
        let free = "127.0.0.1:0";
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringpost"))
            .args(["serve", "--id", "n1", "--insecure-users", "--listen", free])
            .args(["--peer-listen", free, "--admin-listen", free])
            // Of loopback only who is measured.
            .args(["--exempt-networks", "127.0.0.1/32"])
            .env_remove("RUST_LOG")
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let process = Process(process);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let address = |name: &str| -> Result<SocketAddr, Failed> {
            let text = ready[name].as_str().ok_or("no address")?;
            Ok(text.trim_start_matches("ws://").parse()?)
        };
        Ok(Self {
            process,
            clients: address("url")?,
            peers: address("peer")?,
            admin: address("admin")?,
        })
    }

    fn resident_mib(&self) -> Result<f64, Failed> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? / 1024.0)
    }

    fn counter(&self, name: &str) -> Result<u64, Failed> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let sample = format!("ringpost_{name}_total ");
        let value = text.lines().find_map(|line| line.strip_prefix(&sample));
        Ok(value.ok_or_else(|| format!("no {sample}"))?.parse()?)
    }
}

/// What came, and how late, in microseconds.
#[derive(Default)]
struct Seen {
    latencies: Mutex<Vec<u64>>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Seen {
    /// The median and the 99th percentile of what comes within a time, in milliseconds.
    fn within(&self, time: Duration, mut meanwhile: impl FnMut()) -> (f64, f64) {
        locked(&self.latencies).clear();
        let began = Instant::now();
        while began.elapsed() < time {
            thread::sleep(Duration::from_millis(20));
            meanwhile();
        }
        let mut all = std::mem::take(&mut *locked(&self.latencies));
        all.sort_unstable();
        let at = |part: usize| {
            let index = (all.len() * part / 100).min(all.len().saturating_sub(1));
            #[expect(clippy::cast_precision_loss, reason = "it is a few milliseconds")]
            all.get(index)
                .map_or(f64::INFINITY, |&micros| micros as f64 / 1000.0)
        };
        (at(50), at(99))
    }

    fn lost(&self) -> u64 {
        let lost = || {
            let received = self.received.load(Ordering::SeqCst);
            self.sent.load(Ordering::SeqCst).saturating_sub(received)
        };
        // Some are on their way.
        let began = Instant::now();
        while lost() > u64::from(USERS) / 2 && began.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(10));
        }
        lost().saturating_sub(USERS.into())
    }
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A user who sends to another one, and acknowledges what comes.
fn be_user(number: u32, to: SocketAddr, seen: &Arc<Seen>, start: Instant) -> Result<(), Failed> {
    let mut stream = open(HERE, to, &format!("user{number}"))?;
    stream.set_read_timeout(None)?;
    let mut writer = stream.try_clone()?;
    let other = format!("user{}", number ^ 1);
    let sending = Arc::clone(seen);
    thread::spawn(move || {
        // They do not all send at the same moment.
        let begin = start.elapsed() + PACE * number / USERS;
        for count in 0_u32.. {
            let due = begin + PACE * count;
            thread::sleep(due.saturating_sub(start.elapsed()));
            let text = json!({"type": "send", "id": format!("{number}-{count}"),
                "to": {"user": other}, "body": u64::try_from(due.as_micros()).unwrap_or(0)});
            sending.sent.fetch_add(1, Ordering::SeqCst);
            if writer
                .write_all(&frame(true, TEXT, text.to_string().as_bytes()))
                .is_err()
            {
                return;
            }
        }
    });
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        while let Ok(text) = read(&mut stream) {
            let now = micros_since(start);
            let Ok(message) = serde_json::from_slice::<Value>(&text) else {
                continue;
            };
            if message["type"] != "message" {
                continue;
            }
            let due = message["body"].as_u64().unwrap_or_default();
            locked(&seen.latencies).push(now.saturating_sub(due));
            seen.received.fetch_add(1, Ordering::SeqCst);
            if message["offset"]
                .as_u64()
                .is_some_and(|it| it.is_multiple_of(50))
            {
                let ack = json!({"type": "ack", "stream": "inbox", "epoch": message["epoch"],
                    "offset": message["offset"]});
                let ack = frame(true, TEXT, ack.to_string().as_bytes());
                if stream.write_all(&ack).is_err() {
                    return;
                }
            }
        }
    });
    Ok(())
}

/// Attacks the node, and says what is wrong with that.
fn measure(number: usize, attack: &Attack, times: (Duration, Duration)) -> Result<bool, Failed> {
    let node = Node::start()?;
    let seen = Arc::new(Seen::default());
    let start = Instant::now();
    for user in 0..USERS {
        be_user(user, node.clients, &seen, start)?;
    }
    let quiet = seen.within(times.0, || {});
    let before = node.resident_mib()?;
    let target = if attack.at_peers {
        node.peers
    } else {
        node.clients
    };
    let process = Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe()?)
        .args([AS_ATTACKER, &number.to_string(), &target.to_string()])
        .spawn()
        .map(Process)?;
    let mut most = before;
    let attacked = seen.within(times.1, || {
        most = most.max(node.resident_mib().unwrap_or(f64::INFINITY));
    });
    drop(process);
    let lost = seen.lost();
    let grown = most - before;
    let met = if attack.counter.is_empty() {
        String::new()
    } else {
        format!("{} {}", attack.counter, node.counter(attack.counter)?)
    };
    println!(
        "{:<28} {:>7.2} {:>7.2} {:>9.2} {:>7.2} {:>9.1} {:>6.0} {:>5}  {met}",
        attack.name, quiet.0, quiet.1, attacked.0, attacked.1, grown, attack.memory_mib, lost
    );
    Ok(attacked.1 - quiet.1 <= NOTICED_MS && grown <= attack.memory_mib && lost == 0)
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, number, to] = &arguments[..]
        && what == AS_ATTACKER
    {
        let attack = ATTACKS.get(number.parse::<usize>()?);
        attack.ok_or("no such attack")?.run(to.parse()?);
        return Ok(());
    }
    let test = arguments.iter().any(|argument| argument == "--test");
    let times = if test {
        (IN_TEST, IN_TEST)
    } else {
        (QUIET, ATTACKED)
    };
    println!("{:28} before: ms       attacked: ms         MiB more", "");
    println!(
        "{:<28} {:>7} {:>7} {:>9} {:>7} {:>9} {:>6} {:>5}",
        "attack", "p50", "p99", "p50", "p99", "most", "may", "lost"
    );
    let mut noticed = Vec::new();
    for (number, attack) in ATTACKS.iter().enumerate() {
        if !measure(number, attack, times)? {
            noticed.push(attack.name);
        }
    }
    if test || noticed.is_empty() {
        return Ok(());
    }
    Err(format!("other clients or the node's memory notice: {noticed:?}").into())
}
