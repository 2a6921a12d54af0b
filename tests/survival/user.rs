//! One user's client: it does what the protocol asks of clients, and writes down what happens.
//!
//! Told to move, it reconnects there with its position. When its connection ends it goes to any
//! node, after a moment of its own. Once it is welcome it first sends again what has no receipt,
//! in order, and then anything new. It drops repeats by sender and id.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ledger::{Ledger, Record};
use crate::random::Random;
use crate::support::frames::{CLOSE, TEXT};
use crate::support::kept::kept_text;
use crate::support::{Client, Event, Handshake, PATIENCE, Position, within};

/// Messages without a receipt, at most.
const WINDOW: usize = 8;
/// Between two messages of a user, on average.
const PACE: Duration = Duration::from_millis(100);
/// Before another attempt to connect, at most.
const JITTER: Duration = Duration::from_millis(300);
/// Messages between two acks.
const ACK_EVERY: usize = 8;
/// How long a restless client stays, at most.
const STAY: Duration = Duration::from_secs(3);
/// How often a client looks whether it shall go on.
const LOOK: Duration = Duration::from_millis(50);

/// What a client does of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// It stays where it is, and goes where it is sent.
    Steady,
    /// It asks to be kept wherever it comes.
    Guest,
    /// It leaves every now and then, for any node.
    Restless,
}

impl Habit {
    pub const fn of(user: usize) -> Self {
        match user % 4 {
            0 => Self::Restless,
            1 => Self::Guest,
            _ => Self::Steady,
        }
    }
}

/// What all users of a fleet share.
pub struct Shared {
    /// Where clients may start.
    pub nodes: Vec<SocketAddr>,
    pub ledger: Ledger,
    pub users: usize,
    /// Whether new messages are sent.
    pub sending: AtomicBool,
    pub over: AtomicBool,
}

/// A message without a receipt.
struct Pending {
    number: u64,
    to: usize,
    /// It was sent on a connection that has ended: whatever is said of it now, it may be there.
    before: bool,
}

pub struct User {
    me: usize,
    shared: Arc<Shared>,
    random: Random,
    position: Option<Position>,
    pending: VecDeque<Pending>,
    next_number: u64,
    next_send: Instant,
    to_ack: usize,
    /// When it leaves by itself.
    stays_until: Option<Instant>,
    /// Where it was told to go, and when.
    onward: Option<(Instant, String)>,
}

pub fn name(user: usize) -> String {
    format!("u{user}")
}

impl User {
    pub fn new(me: usize, shared: Arc<Shared>, random: &Random) -> Self {
        Self {
            me,
            shared,
            random: random.fork(me),
            position: None,
            pending: VecDeque::new(),
            next_number: 0,
            next_send: Instant::now(),
            to_ack: 0,
            stays_until: None,
            onward: None,
        }
    }

    /// Lives until the fleet is over.
    pub fn run(mut self) {
        while !self.shared.over.load(Ordering::Relaxed) {
            if let Some(mut client) = self.connect() {
                while self.step(&mut client).is_some() {}
            } else {
                let over = || self.shared.over.load(Ordering::Relaxed);
                let _ = within(self.random.up_to(JITTER), over);
            }
        }
    }

    fn record(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.shared.ledger.of(self.me));
    }

    fn wrong(&self, what: String) {
        self.record(|record| record.wrong.push(what));
    }

    /// A session that is welcome, and has been sent again what had no receipt.
    fn connect(&mut self) -> Option<Client> {
        let nodes = &self.shared.nodes;
        let anywhere = nodes[self.random.below(nodes.len())];
        let how = match Habit::of(self.me) {
            Habit::Guest => "&redirect=never",
            Habit::Steady | Habit::Restless => "",
        };
        let start = self.onward.take().map_or_else(
            || format!("ws://{anywhere}/ws?user={}{how}", name(self.me)),
            |(_, url)| url,
        );
        let mut url = start
            + &self
                .position
                .as_ref()
                .map(Position::query)
                .unwrap_or_default();
        let mut client = loop {
            match Handshake::to(&url).try_connect().ok()? {
                Ok(client) => break client,
                Err(refusal) if refusal.status == 307 => {
                    refusal.header("location")?.clone_into(&mut url);
                }
                Err(_) => return None,
            }
        };
        let welcome = match client.event(2 * PATIENCE)? {
            Event::Text(text) => serde_json::from_str::<Value>(&text).expect("it is JSON"),
            _ => return None,
        };
        match welcome["type"].as_str() {
            Some("welcome") => {}
            // "Come later" before the Close that says so.
            Some("error") => return None,
            _ => {
                self.wrong(format!("instead of a welcome: {welcome}"));
                return None;
            }
        }
        let position = Position::of(&welcome);
        self.record(|record| {
            record.connects += 1;
            record.last = welcome.to_string();
            record.gaps += u64::from(welcome["recovered"] == false);
        });
        if welcome.get("recovered").is_some() != self.position.is_some() {
            self.wrong(format!("asked for {:?}: {welcome}", self.position));
        }
        self.position = Some(position);
        if Habit::of(self.me) == Habit::Restless {
            self.stays_until = Some(Instant::now() + self.random.up_to(STAY));
        }
        for index in 0..self.pending.len() {
            self.pending[index].before = true;
            self.send(&mut client, index)?;
        }
        Some(client)
    }

    fn send(&self, client: &mut Client, index: usize) -> Option<()> {
        let Pending { number, to, .. } = &self.pending[index];
        let text = kept_text(&name(*to), &number.to_string(), &number.to_string());
        client.try_send_frame(true, TEXT, text.as_bytes()).ok()
    }

    /// Does what is to be done next; `None` when the connection has ended.
    fn step(&mut self, client: &mut Client) -> Option<()> {
        let now = Instant::now();
        let sent_away = self.onward.as_ref().is_some_and(|(at, _)| *at <= now);
        let leaves = self.stays_until.take_if(|until| *until <= now).is_some();
        if sent_away || leaves || self.shared.over.load(Ordering::Relaxed) {
            let _ = client.try_send_frame(true, CLOSE, &1000_u16.to_be_bytes());
            return None;
        }
        let may_send = self.pending.len() < WINDOW && self.shared.sending.load(Ordering::Relaxed);
        if may_send && self.next_send <= now {
            self.send_new(client)?;
        }
        let mut until = now + LOOK;
        if may_send {
            until = until.min(self.next_send);
        }
        if let Some((at, _)) = &self.onward {
            until = until.min(*at);
        }
        match client.event(until.saturating_duration_since(now)) {
            None | Some(Event::Ping(_) | Event::Pong(_)) => Some(()),
            Some(Event::Text(text)) => {
                let message = serde_json::from_str(&text).expect("it is JSON");
                self.take(client, &message)
            }
            Some(Event::Close(code, reason)) => {
                // Whether it may come back is told by the number.
                if !matches!(code, Some(1001 | 1006 | 1012 | 1013 | 4000..4500)) {
                    self.wrong(format!("closed with {code:?}, {reason:?}"));
                }
                None
            }
            Some(Event::End(_)) => None,
            Some(other) => {
                self.wrong(format!("{other:?}"));
                None
            }
        }
    }

    fn send_new(&mut self, client: &mut Client) -> Option<()> {
        self.next_send = Instant::now() + self.random.up_to(2 * PACE);
        let to = self.random.below(self.shared.users);
        self.pending.push_back(Pending {
            number: self.next_number,
            to,
            before: false,
        });
        self.next_number += 1;
        self.record(|record| record.pending += 1);
        self.send(client, self.pending.len() - 1)
    }

    fn take(&mut self, client: &mut Client, message: &Value) -> Option<()> {
        match message["type"].as_str() {
            Some("message") => self.take_message(client, message),
            Some("receipt") => {
                self.take_receipt(message);
                Some(())
            }
            Some("redirect") => {
                let after = message["after_ms"].as_u64().unwrap_or_default();
                let at = Instant::now() + Duration::from_millis(after);
                let url = message["url"].as_str().expect("a URL").to_owned();
                self.onward = Some((at, url));
                self.record(|record| record.redirects += 1);
                Some(())
            }
            _ => {
                self.wrong(format!("unasked: {message}"));
                Some(())
            }
        }
    }

    fn take_message(&mut self, client: &mut Client, message: &Value) -> Option<()> {
        let position = Position::of(message);
        if let Some(last) = &self.position
            && last.epoch == position.epoch
            && last.offset >= position.offset
        {
            self.wrong(format!("not above {last:?}: {message}"));
        }
        self.position = Some(position.clone());
        self.record(|record| record.last = format!("{position:?} at {}", client.url));
        let from = message["from"]
            .as_str()
            .and_then(|from| from.strip_prefix('u'));
        let from = from.and_then(|from| from.parse().ok()).expect("a user");
        let number = message["body"].as_u64().expect("a number");
        if message["id"].as_str() != Some(number.to_string().as_str()) {
            self.wrong(format!("another id: {message}"));
        }
        self.record(|record| {
            if record.seen.insert((from, number)) {
                record.received.push((from, number));
            } else {
                record.repeats += 1;
            }
        });
        self.to_ack += 1;
        if self.to_ack < ACK_EVERY {
            return Some(());
        }
        self.to_ack = 0;
        let ack = position.ack().to_string();
        client.try_send_frame(true, TEXT, ack.as_bytes()).ok()
    }

    fn take_receipt(&mut self, receipt: &Value) {
        let number = receipt["id"].as_str().and_then(|id| id.parse::<u64>().ok());
        let place = self.pending.iter().position(|p| Some(p.number) == number);
        let Some(pending) = place.and_then(|place| self.pending.remove(place)) else {
            return self.wrong(format!("nothing waits for it: {receipt}"));
        };
        let Pending { number, to, before } = pending;
        self.record(|record| {
            record.pending -= 1;
            if receipt["status"] == "accepted" {
                record.accepted.push((number, to));
                record.duplicates += u64::from(receipt["duplicate"] == true);
            } else {
                let code = receipt["error"]["code"]
                    .as_str()
                    .unwrap_or("none")
                    .to_owned();
                let certain = code != "unknown" && !before;
                record.failed.push((number, to, code, certain));
            }
        });
    }
}
