//! Clients that follow the protocol whatever happens to nodes: members that come back with the
//! position that they have reached, and senders that repeat what has no receipt.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::frames::TEXT;
use crate::support::{Client, Event, Handshake, PATIENCE, Position, within};
use crate::{beginning, join_request, to_room};

/// Messages of a sender without a receipt, at most.
const WINDOW: usize = 8;
/// How long a client waits for something to come before it looks whether it shall go on.
const LOOK: Duration = Duration::from_millis(5);
/// After the last message was sent all has come within this.
const SETTLED: Duration = Duration::from_secs(30);

/// What a member has.
#[derive(Debug, Default)]
struct Has {
    joins: usize,
    order: Vec<String>,
    seen: HashSet<String>,
    last: HashMap<String, u64>,
    wrong: Vec<String>,
    /// What it does, and since when.
    state: Option<(String, Instant)>,
}

impl Has {
    fn now(&mut self, state: &str) {
        self.state = Some((state.to_owned(), Instant::now()));
    }

    fn state(&self) -> String {
        let state = self.state.as_ref();
        state.map_or_else(String::new, |(state, since)| {
            format!(
                "{state} {:?} ago, joined {} times",
                since.elapsed(),
                self.joins
            )
        })
    }
}

/// What a sender has been told.
#[derive(Debug, Default)]
struct Told {
    accepted: Vec<String>,
    pending: usize,
}

/// A room with members and senders, each with a thread of its own.
pub struct Crowd {
    members: Vec<Arc<Mutex<Has>>>,
    senders: Vec<Arc<Mutex<Told>>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    nodes: Vec<SocketAddr>,
    room: String,
    sending: AtomicBool,
    over: AtomicBool,
}

/// The number of a message among those of its sender.
fn number_of(id: &str) -> u64 {
    let number = id.rsplit('-').next().and_then(|number| number.parse().ok());
    number.expect("every id ends with one")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    /// Lets so many members into a room, waits until all are in, and lets senders begin.
    #[track_caller]
    pub fn start(nodes: Vec<SocketAddr>, room: &str, members: usize, senders: usize) -> Self {
        let shared = Arc::new(Shared {
            nodes,
            room: room.to_owned(),
            sending: AtomicBool::new(true),
            over: AtomicBool::new(false),
        });
        let mut crowd = Self {
            members: Vec::new(),
            senders: Vec::new(),
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        for number in 0..members {
            let has = Arc::new(Mutex::new(Has::default()));
            crowd.members.push(Arc::clone(&has));
            let shared = Arc::clone(&shared);
            crowd
                .threads
                .push(thread::spawn(move || shared.be_member(number, &has)));
        }
        let all_in = || crowd.members.iter().all(|has| locked(has).joins > 0);
        assert!(within(PATIENCE, all_in).is_some(), "not all have joined");
        for number in 0..senders {
            let told = Arc::new(Mutex::new(Told::default()));
            crowd.senders.push(Arc::clone(&told));
            let shared = Arc::clone(&shared);
            crowd
                .threads
                .push(thread::spawn(move || shared.be_sender(number, &told)));
        }
        crowd
    }

    /// Waits until every sender was told that so many more messages are accepted.
    #[track_caller]
    pub fn wait_for_more(&self, count: usize) {
        let accepted = |told: &Arc<Mutex<Told>>| locked(told).accepted.len();
        let wanted: Vec<_> = self
            .senders
            .iter()
            .map(|told| accepted(told) + count)
            .collect();
        let all = || {
            self.senders
                .iter()
                .zip(&wanted)
                .all(|(told, n)| accepted(told) >= *n)
        };
        assert!(
            within(SETTLED, all).is_some(),
            "senders are not served any more"
        );
    }

    /// Sends no more, and checks that every member has every accepted message, once but for repeats
    /// that are recognised by their ids, in one order, and was told of no gap.
    #[track_caller]
    pub fn finish(mut self) {
        self.shared.sending.store(false, Ordering::Relaxed);
        let told = |senders: &[Arc<Mutex<Told>>]| senders.iter().all(|t| locked(t).pending == 0);
        assert!(
            within(SETTLED, || told(&self.senders)).is_some(),
            "a sender still waits"
        );
        let accepted: HashSet<String> = (self.senders.iter())
            .flat_map(|told| locked(told).accepted.clone())
            .collect();
        let all = || {
            self.members
                .iter()
                .all(|has| locked(has).seen.is_superset(&accepted))
        };
        let _ = within(SETTLED, all);
        let states: Vec<_> = (self.members.iter())
            .map(|has| locked(has).state())
            .collect();
        self.end();
        let first = locked(&self.members[0]);
        for (number, has) in self.members.iter().enumerate().skip(1) {
            let has = locked(has);
            let missing: Vec<_> = accepted.difference(&has.seen).collect();
            assert!(
                missing.is_empty(),
                "member {number}, which {}, misses {missing:?}",
                states[number]
            );
            assert!(has.wrong.is_empty(), "member {number}: {:?}", has.wrong);
            assert_eq!(has.order, first.order, "members 0 and {number}");
        }
        assert!(first.wrong.is_empty(), "member 0: {:?}", first.wrong);
        for told in &self.senders {
            // As they were sent: a receipt may come later than that of the next one, when it has to be asked for again.
            let mut sent = locked(told).accepted.clone();
            sent.sort_by_key(|id| number_of(id));
            let places = sent
                .iter()
                .map(|id| first.order.iter().position(|known| known == id));
            assert!(
                places.is_sorted_by(|a, b| a.is_some() && a < b),
                "out of order: {sent:?}"
            );
        }
        drop(first);
        let joins: usize = self.members.iter().map(|has| locked(has).joins).sum();
        println!(
            "{} messages to {} members, who joined {joins} times",
            accepted.len(),
            self.members.len()
        );
    }

    fn end(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "a client has panicked"
            );
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// A session that is welcome; `attempt` says where it begins, and every other user lets itself be
    /// sent to its owner.
    fn connect(&self, user: &str, attempt: usize) -> Option<Client> {
        let node = self.nodes[attempt % self.nodes.len()];
        let never = if attempt.is_multiple_of(2) {
            "&redirect=never"
        } else {
            ""
        };
        let mut url = format!("ws://{node}/ws?user={user}{never}");
        let mut client = loop {
            match Handshake::to(&url).try_connect().ok()? {
                Ok(client) => break client,
                Err(refusal) if refusal.status == 307 => {
                    refusal.header("location")?.clone_into(&mut url);
                }
                Err(_) => return None,
            }
        };
        match next(&mut client, PATIENCE) {
            Some(Some(welcome)) if welcome["type"] == "welcome" => Some(client),
            _ => None,
        }
    }

    /// Connects again and again, and does something with each connection until that is over.
    fn live(
        &self,
        user: &str,
        first: usize,
        mut step: impl FnMut(&mut Client, bool) -> Option<()>,
    ) {
        let over = || self.over.load(Ordering::Relaxed);
        let mut attempt = first;
        while !over() {
            if let Some(mut client) = self.connect(user, attempt) {
                let mut new = true;
                while !over() && step(&mut client, std::mem::take(&mut new)).is_some() {}
            } else {
                let _ = within(LOOK * 20, over);
            }
            attempt += 1;
        }
    }

    fn be_member(&self, number: usize, has: &Mutex<Has>) {
        let mut position = beginning();
        self.live(&format!("member{number}"), number, |client, new| {
            if new {
                let mut join = join_request(&self.room, &position);
                join["id"] = json!("join");
                client
                    .try_send_frame(true, TEXT, join.to_string().as_bytes())
                    .ok()?;
                locked(has).now(&format!("asked at {}", client.url));
            }
            let Some(frame) = next(client, LOOK).or_else(|| {
                locked(has).now("lost its connection");
                None
            })?
            else {
                return Some(());
            };
            let mut has = locked(has);
            has.now(&frame.to_string());
            match frame["type"].as_str() {
                Some("receipt") if frame["status"] == "joined" => {
                    has.joins += 1;
                    position = Position::of(&frame);
                    if frame["recovered"] != true {
                        has.wrong.push(frame.to_string());
                    }
                }
                Some("message") => {
                    position = Position::of(&frame);
                    let id = frame["id"].as_str().unwrap_or_default().to_owned();
                    let last = has.last.insert(position.epoch.clone(), position.offset);
                    if last.is_some_and(|last| last >= position.offset) {
                        has.wrong.push(format!("not above {last:?}: {frame}"));
                    }
                    if has.seen.insert(id.clone()) {
                        has.order.push(id);
                    }
                }
                Some("joined" | "left") => {}
                // It goes elsewhere, or was not let in in time and tries again.
                Some("redirect" | "receipt") => return None,
                _ => has.wrong.push(frame.to_string()),
            }
            Some(())
        });
    }

    fn be_sender(&self, number: usize, told: &Mutex<Told>) {
        let mut pending: VecDeque<String> = VecDeque::new();
        let mut count = 0;
        let send = |client: &mut Client, id: &str| {
            let text = to_room(&self.room, id, &json!(number)).to_string();
            client.try_send_frame(true, TEXT, text.as_bytes()).ok()
        };
        self.live(&format!("sender{number}"), number, |client, new| {
            if new {
                for id in &pending {
                    send(client, id)?;
                }
            }
            if self.sending.load(Ordering::Relaxed) && pending.len() < WINDOW {
                pending.push_back(format!("{number}-{count}"));
                count += 1;
                locked(told).pending += 1;
                send(client, &pending[pending.len() - 1])?;
            }
            let Some(frame) = next(client, LOOK)? else {
                return Some(());
            };
            match frame["type"].as_str() {
                Some("receipt") if frame["status"] == "accepted" => {
                    let id = frame["id"].as_str().unwrap_or_default();
                    pending.retain(|sent| sent != id);
                    let mut told = locked(told);
                    told.pending = pending.len();
                    told.accepted.push(id.to_owned());
                    Some(())
                }
                // What has failed is sent again, with all behind it.
                _ => None,
            }
        });
    }
}

/// The next frame; `None` when the connection is over.
#[expect(clippy::option_option, reason = "over is not the same as quiet")]
fn next(client: &mut Client, timeout: Duration) -> Option<Option<Value>> {
    match client.event(timeout) {
        None | Some(Event::Ping(_) | Event::Pong(_)) => Some(None),
        Some(Event::Text(text)) => Some(Some(serde_json::from_str(&text).expect("it is JSON"))),
        Some(Event::Close(..) | Event::End(_) | Event::Binary(_)) => None,
    }
}
