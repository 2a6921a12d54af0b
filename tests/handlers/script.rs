//! A handler that does what the messages say, and tells what it was called for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use ringpost::error::ErrorCode;
use ringpost::handler::{Recipient, Refusal, SessionError};
use ringpost::id::{RoomName, UserId};
use ringpost::{Body, Handler, Incoming, Session, Verdict};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::ring::Ring;
use crate::support::PATIENCE;

#[derive(Clone)]
pub struct Script {
    calls: Sender<String>,
    /// Who waits, waits for this.
    pub gate: Arc<Semaphore>,
    /// The last session that was opened.
    pub last: Arc<Mutex<Option<Session>>>,
}

/// What the handlers of a ring were called for, in order.
pub struct Calls(Receiver<String>);

impl Calls {
    #[track_caller]
    pub fn next(&self) -> String {
        // A client that does not read is waited for, for some seconds.
        self.0.recv_timeout(2 * PATIENCE).expect("a call")
    }

    /// The calls of one user from now on.
    #[track_caller]
    pub fn expect(&self, calls: &[&str]) {
        for call in calls {
            assert_eq!(self.next(), *call);
        }
    }
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A `send` with a body that is a string.
pub fn say(to: &Value, id: &str, text: &str) -> Value {
    json!({"type": "send", "id": id, "to": to, "body": text})
}

impl Script {
    pub fn start(nodes: usize) -> (Ring, Self, Calls) {
        let (calls, told) = channel();
        let script = Self {
            calls,
            gate: Arc::new(Semaphore::new(0)),
            last: Arc::default(),
        };
        let ring = Ring::start(nodes, || script.clone());
        (ring, script, Calls(told))
    }

    fn tell(&self, session: &Session, what: &str) {
        let _ = self.calls.send(format!("{what} {}", session.user()));
    }
}

/// Messages of a session so far.
struct Count(AtomicU64);

#[ringpost::async_trait]
impl Handler for Script {
    async fn on_open(&self, session: &Session) {
        session.insert(Count(AtomicU64::new(0)));
        *self.last.lock().unwrap() = Some(session.clone());
        self.tell(session, "open");
        assert!(!session.user().as_str().starts_with("unlucky"), "bad luck");
    }

    async fn on_message(&self, session: &Session, message: Incoming) -> Verdict {
        let count = session.get::<Count>().unwrap();
        let count = count.0.fetch_add(1, Ordering::Relaxed) + 1;
        let host = user("host");
        let text = message.body.text().unwrap_or_default();
        let (order, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match order {
            "refuse" => return Verdict::refuse("not that"),
            "limit" => return Verdict::Refuse(ErrorCode::RateLimited.into()),
            "to" => return Verdict::rewrite(&user(rest), "for you"),
            "all" => {
                let body = Body::json(&json!({"from": session.user().as_str()})).unwrap();
                return Verdict::rewrite(Recipient::Everyone, body);
            }
            "count" => session.send(&host, count.to_string()),
            "where" => session.send(&host, session.remote_addr().to_string()),
            "claims" => session.send(&host, format!("{:?}", session.claims())),
            "join" => {
                let joined = session.join(&room(rest)).await;
                session.send(&host, format!("{joined:?}"))
            }
            "leave" => session.send(&host, session.leave(&room(rest)).to_string()),
            "long" => {
                return Verdict::rewrite(&user("bob"), "x".repeat(rest.parse().unwrap()));
            }
            "close" => session.close_with(rest.parse().unwrap(), "as you wish"),
            "panic" => panic!("{rest}"),
            "wait" => {
                self.tell(session, "waits");
                self.gate.acquire().await.unwrap().forget();
                return Verdict::Pass;
            }
            _ => return Verdict::Pass,
        };
        Verdict::Taken
    }

    async fn on_join(&self, session: &Session, room: &RoomName) -> Result<(), Refusal> {
        if room.as_str().starts_with("staff") && session.user().as_str() != "boss" {
            return Err(Refusal::new(ErrorCode::NotAllowed, "for staff"));
        }
        Ok(())
    }

    async fn on_error(&self, session: &Session, error: SessionError) {
        self.tell(session, &format!("{error:?}"));
    }

    async fn on_close(&self, session: &Session) {
        if session.user().as_str().starts_with("endless") {
            self.tell(session, "waits");
            self.gate.acquire().await.unwrap().forget();
        }
        self.tell(session, "close");
    }
}
