//! Requests without a reply, in the order in which they were made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ConnectionId;

/// The number of a request, by which whoever waits for it is found. They grow.
pub(in crate::client) type RequestNumber = u64;

/// What a request is for, where its reply changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Join {
        room: String,
        /// The program says from where, whatever it has been given.
        rewinds: bool,
    },
    Leave {
        room: String,
    },
    Other,
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    id: String,
    pub kind: Kind,
    pub text: Arc<str>,
    /// Whether it may be sent again on another connection.
    pub repeatable: bool,
    /// Where it was last written.
    pub written: Option<ConnectionId>,
    /// Whether it was written to an earlier connection, too: what became of it there nobody knows.
    pub repeated: bool,
}

/// All of them. How many there may be is for whoever adds them to see to.
#[derive(Debug, Default)]
pub(super) struct Requests {
    by_number: BTreeMap<RequestNumber, Request>,
    by_id: HashMap<String, RequestNumber>,
    last: RequestNumber,
}

impl Requests {
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Takes one in; `None` if its id is taken.
    pub fn add(
        &mut self,
        id: &str,
        text: Arc<str>,
        repeatable: bool,
        kind: Kind,
    ) -> Option<RequestNumber> {
        if self.by_id.contains_key(id) {
            return None;
        }
        self.last += 1;
        self.by_id.insert(id.to_owned(), self.last);
        let request = Request {
            id: id.to_owned(),
            kind,
            text,
            repeatable,
            written: None,
            repeated: false,
        };
        self.by_number.insert(self.last, request);
        Some(self.last)
    }

    pub fn get_mut(&mut self, number: RequestNumber) -> Option<&mut Request> {
        self.by_number.get_mut(&number)
    }

    /// The one under this id has its reply.
    pub fn settle(&mut self, id: &str) -> Option<(RequestNumber, Request)> {
        let number = self.by_id.remove(id)?;
        let request = self.by_number.remove(&number)?;
        Some((number, request))
    }

    /// Whether the one under this id was written to this connection, and to none since.
    pub fn was_last_written_to(&self, connection: ConnectionId, id: &str) -> bool {
        let request = (self.by_id.get(id)).and_then(|number| self.by_number.get(number));
        request.is_some_and(|request| request.written == Some(connection))
    }

    /// Whether a request after that one is to leave this room.
    pub fn leaves_after(&self, number: RequestNumber, left: &str) -> bool {
        let mut later = self.by_number.range(number + 1..);
        later.any(|(_, request)| matches!(&request.kind, Kind::Leave { room } if room == left))
    }

    /// Takes one out.
    pub fn remove(&mut self, number: RequestNumber) {
        if let Some(request) = self.by_number.remove(&number) {
            self.by_id.remove(&request.id);
        }
    }

    /// What a new connection has to be told, in order: all but those that may be sent only once and
    /// were.
    pub fn to_write(&self) -> Vec<RequestNumber> {
        let wanted = |request: &Request| request.repeatable || request.written.is_none();
        let fitting = self.by_number.iter().filter(|(_, request)| wanted(request));
        fitting.map(|(number, _)| *number).collect()
    }

    /// Whether this connection has something that can be answered nowhere else.
    pub fn depends_on(&self, connection: ConnectionId) -> bool {
        let mut requests = self.by_number.values();
        requests.any(|request| !request.repeatable && request.written == Some(connection))
    }

    /// Takes out what went with this connection and cannot be repeated.
    pub fn lost_with(&mut self, connection: ConnectionId) -> Vec<RequestNumber> {
        let lost = |request: &Request| !request.repeatable && request.written == Some(connection);
        let numbers = self.by_number.iter().filter(|(_, request)| lost(request));
        let numbers: Vec<_> = numbers.map(|(number, _)| *number).collect();
        for number in &numbers {
            self.remove(*number);
        }
        numbers
    }

    /// Takes all out, each with whether it was ever written.
    pub fn take_all(&mut self) -> Vec<(RequestNumber, bool)> {
        self.by_id.clear();
        let all = std::mem::take(&mut self.by_number);
        all.into_iter()
            .map(|(number, request)| (number, request.written.is_some()))
            .collect()
    }
}
