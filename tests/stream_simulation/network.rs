//! Streams between nodes, as `rpc` makes them: one for each direction, which carries requests there
//! and their replies back, each in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use prost::Message as _;
use rand::RngExt as _;
use ringpost::core::peer::{Outcome, Reply, Request};
use ringpost::core::stream::Holder;
use ringpost::dispatch::{Dispatch, PeerLink, ReplyQueue};
use ringpost::wire::proto;

use super::gossip::node_id;
use super::promises::Asked;
use super::scenario::{MS, SECOND};
use super::world::{Event, Pid, World};

/// Requests and bytes in one batch, as `rpc::links` has it.
const BATCH_REQUESTS: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// A stream that is not answered after this is given up.
const CONNECT_TIMEOUT: u64 = SECOND;
const BACKOFF_MIN: u64 = 20 * MS;
const BACKOFF_MAX: u64 = SECOND;

/// A stream from the node that asks to the node that answers.
pub struct Stream {
    pub from: Pid,
    pub to: Pid,
    pub link: Arc<PeerLink>,
    caller: Holder,
    /// The caller has heard that it is open.
    open: bool,
    /// Nothing comes through any more.
    pub dead: bool,
    requests: Pipe,
    replies: Pipe,
    server: Option<Server>,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    batches: VecDeque<Vec<u8>>,
    last: u64,
}

/// The stream, at the node that answers.
struct Server {
    number: u64,
    replies: Arc<ReplyQueue>,
    /// Replies that were looked at, and will be sent.
    answered: Vec<Reply>,
    /// The messages that were to be appended, by the numbers of the requests.
    appends: BTreeMap<u64, usize>,
    /// When the replies were last looked at.
    looked_at: u64,
}

impl World {
    fn latency(&mut self, from: usize, to: usize) -> u64 {
        let slow = self.slow.iter().find(|(way, _)| *way == (from, to));
        let slow = slow.map_or(0, |(_, latency)| *latency);
        let usual = self.rng.random_range(50..2 * MS);
        let hiccup = self.rng.random_bool(0.01);
        let hiccup = if hiccup {
            self.rng.random_range(0..80 * MS)
        } else {
            0
        };
        usual + slow + hiccup
    }

    /// When the next batch arrives that leaves now.
    fn arrival(&mut self, stream: usize, back: bool) -> u64 {
        let (from, to) = self.way(stream, back);
        let latency = self.latency(from, to);
        let at = self.now + latency;
        let stream = &mut self.streams[stream];
        let pipe = if back {
            &mut stream.replies
        } else {
            &mut stream.requests
        };
        pipe.last = pipe.last.max(at);
        pipe.last - self.now
    }

    fn way(&self, stream: usize, back: bool) -> (usize, usize) {
        let stream = &self.streams[stream];
        let (from, to) = (stream.from.machine, stream.to.machine);
        if back { (to, from) } else { (from, to) }
    }

    /// A link wants a stream.
    pub fn dial(&mut self, pid: Pid, link: &Arc<PeerLink>) {
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        let caller = Holder {
            node: node_id(pid.machine),
            generation: process.dispatch.generation(),
        };
        let Some(carrier) = process.carrier(link).filter(|c| c.stream.is_none()) else {
            return;
        };
        let machine = carrier.machine;
        let Some(to) = self.machines[machine].process.as_ref().map(|p| p.pid) else {
            link.set_reachable(false);
            return self.dial_again(pid, link);
        };
        let stream = self.streams.len();
        self.streams.push(Stream {
            from: pid,
            to,
            link: Arc::clone(link),
            caller,
            open: false,
            dead: false,
            requests: Pipe::default(),
            replies: Pipe::default(),
            server: None,
        });
        if let Some(carrier) = self.process_mut(pid).and_then(|p| p.carrier(link)) {
            carrier.stream = Some(stream);
        }
        self.push_requests(stream, Vec::new());
        self.after(CONNECT_TIMEOUT, Event::GiveUp(stream));
    }

    fn dial_again(&mut self, pid: Pid, link: &Arc<PeerLink>) {
        let Some(carrier) = self.process_mut(pid).and_then(|p| p.carrier(link)) else {
            return;
        };
        carrier.stream = None;
        let longest = (BACKOFF_MIN << carrier.failures.min(10)).min(BACKOFF_MAX);
        carrier.failures += 1;
        let after = self.rng.random_range(MS..=longest);
        self.after(after, Event::Dial(pid, Arc::clone(link)));
    }

    fn push_requests(&mut self, stream: usize, batch: Vec<u8>) {
        let after = self.arrival(stream, false);
        self.streams[stream].requests.batches.push_back(batch);
        self.after(after, Event::Requests(stream));
    }

    fn push_replies(&mut self, stream: usize, batch: Vec<u8>) {
        let after = self.arrival(stream, true);
        self.streams[stream].replies.batches.push_back(batch);
        self.after(after, Event::Replies(stream));
    }

    /// Whether what has come to the end of its way gets through now; if not it waits.
    fn passes(&mut self, stream: usize, back: bool) -> bool {
        if self.streams[stream].dead {
            return false;
        }
        let way = self.way(stream, back);
        if self.blocked.contains(&way) {
            let event = if back {
                Event::Replies(stream)
            } else {
                Event::Requests(stream)
            };
            self.after(50 * MS, event);
            return false;
        }
        true
    }

    /// A batch of requests has arrived.
    pub fn requests(&mut self, id: usize) {
        if !self.passes(id, false) {
            return;
        }
        let Some(bytes) = self.streams[id].requests.batches.pop_front() else {
            return;
        };
        let (from, to) = (self.streams[id].from, self.streams[id].to);
        let server = self.streams[id].server.as_ref();
        let server = server.map(|server| (server.number, Arc::clone(&server.replies)));
        let Some(process) = self.process_mut(to) else {
            return;
        };
        let newest = process.newest.entry(from.machine).or_default();
        let Some((number, replies)) = server else {
            *newest += 1;
            let number = *newest;
            process.incoming.push(id);
            process.dispatch.peer_opened(&node_id(from.machine));
            self.streams[id].server = Some(Server {
                number,
                replies: Arc::default(),
                answered: Vec::new(),
                appends: BTreeMap::new(),
                looked_at: self.now,
            });
            self.push_replies(id, Vec::new());
            return;
        };
        if *newest == number {
            let dispatch = Arc::clone(&process.dispatch);
            self.take_requests(id, &dispatch, &bytes, &replies);
            self.touch(to);
        } else {
            self.end_stream(id);
        }
    }

    fn take_requests(
        &mut self,
        id: usize,
        dispatch: &Dispatch,
        bytes: &[u8],
        replies: &Arc<ReplyQueue>,
    ) {
        let stream = &self.streams[id];
        let (from, to, caller) = (stream.from, stream.to, stream.caller.clone());
        self.trace.bytes(bytes);
        let batch = match proto::Batch::decode(bytes) {
            Ok(batch) => batch,
            Err(error) => {
                return self
                    .ledger
                    .fail(format!("a batch is not understood: {error}"));
            }
        };
        for request in batch.requests {
            match <(u64, Request)>::try_from(request) {
                Err(error) => self.ledger.fail(format!("a request is wrong: {error}")),
                Ok((seq, request)) => {
                    self.trace.say(format_args!(
                        "{to:?} is asked by {from:?} #{seq}: {request:?}"
                    ));
                    let asked = Asked::by(&caller, &request);
                    let carried = self.copies.carried(&request);
                    if let (Request::Append(append), Some(server)) =
                        (&request, &mut self.streams[id].server)
                    {
                        let number = self.copies.number(append.message.key());
                        server.appends.extend(number.map(|number| (seq, number)));
                    }
                    dispatch.peer_request(&caller, seq, request, replies);
                    let answered = replies.take();
                    let reply = answered.iter().find(|reply| reply.seq == seq);
                    if reply.is_some_and(|reply| reply.outcome == Outcome::Done) {
                        self.copies.taken(&carried, [from, to]);
                    }
                    let wrong = reply.and_then(|reply| self.promises.answered(to, asked, reply));
                    if let Some(wrong) = wrong.filter(|_| !self.scenario.splits) {
                        self.ledger.fail(wrong);
                    }
                    self.look_at_replies(id, answered);
                }
            }
        }
    }

    /// A batch of replies has arrived.
    pub fn replies(&mut self, id: usize) {
        if !self.passes(id, true) {
            return;
        }
        let stream = &mut self.streams[id];
        let Some(bytes) = stream.replies.batches.pop_front() else {
            return;
        };
        let (from, to, link) = (stream.from, stream.to, Arc::clone(&stream.link));
        let opens = !std::mem::replace(&mut stream.open, true);
        let Some(process) = self.process_mut(from) else {
            return;
        };
        let dispatch = Arc::clone(&process.dispatch);
        let Some(carrier) = process.carrier(&link).filter(|c| c.stream == Some(id)) else {
            return;
        };
        carrier.failures = 0;
        if opens {
            link.set_reachable(true);
            dispatch.link_connected(&link);
            self.touch(from);
            return;
        }
        self.trace.bytes(&bytes);
        match proto::ReplyBatch::decode(&*bytes) {
            Err(error) => self
                .ledger
                .fail(format!("a batch is not understood: {error}")),
            Ok(batch) => {
                for reply in batch.replies {
                    match Reply::try_from(reply) {
                        Err(error) => self.ledger.fail(format!("a reply is wrong: {error}")),
                        Ok(reply) => {
                            self.trace
                                .say(format_args!("{from:?} is answered by {to:?}: {reply:?}"));
                            dispatch.link_reply(&link, reply);
                        }
                    }
                }
            }
        }
        self.touch(from);
    }

    /// A stream was not answered in time.
    pub fn give_up(&mut self, id: usize) {
        if !self.streams[id].open {
            // What it carries may still arrive.
            self.streams[id].dead |= self.rng.random_bool(0.5);
            self.stream_lost(id);
        }
    }

    /// The caller notices that a stream is over.
    pub fn stream_lost(&mut self, id: usize) {
        let (from, link) = (self.streams[id].from, Arc::clone(&self.streams[id].link));
        let Some(process) = self.process_mut(from) else {
            return;
        };
        let dispatch = Arc::clone(&process.dispatch);
        let Some(carrier) = process.carrier(&link).filter(|c| c.stream == Some(id)) else {
            return;
        };
        carrier.stream = None;
        link.set_reachable(false);
        if self.streams[id].open {
            dispatch.link_disconnected(&link);
        }
        self.dial_again(from, &link);
        self.touch(from);
    }

    /// A stream ends; the caller notices soon.
    pub fn end_stream(&mut self, id: usize) {
        if !self.streams[id].dead {
            self.streams[id].dead = true;
            let after = self.rng.random_range(0..5 * MS);
            self.after(after, Event::Lost(id));
        }
    }

    /// A stream on which a ping would not have been answered for too long.
    pub fn is_it_silent(&mut self, id: usize) {
        let stream = &self.streams[id];
        let (from, to) = (stream.from.machine, stream.to.machine);
        let cut = self.blocked.contains(&(from, to)) || self.blocked.contains(&(to, from));
        if cut || self.is_paused(stream.to) || self.is_paused(stream.from) {
            self.end_stream(id);
        }
    }

    pub fn send_requests(&mut self, pid: Pid) {
        let Some(process) = self.process(pid) else {
            return;
        };
        let carried = process.carriers.iter();
        let open: Vec<(usize, Arc<PeerLink>)> = carried
            .filter_map(|carrier| Some((carrier.stream?, Arc::clone(&carrier.link))))
            .filter(|(stream, _)| self.streams[*stream].open)
            .collect();
        for (stream, link) in open {
            loop {
                let batch = link.take_batch(BATCH_REQUESTS, BATCH_BYTES);
                if batch.is_empty() {
                    break;
                }
                let batch = proto::Batch {
                    caller: None,
                    requests: batch.into_iter().map(Into::into).collect(),
                };
                self.push_requests(stream, batch.encode_to_vec());
            }
        }
    }

    /// Keeps replies to be sent, once it is known that they are true.
    fn look_at_replies(&mut self, id: usize, replies: Vec<Reply>) {
        let (owner, to) = (self.streams[id].to, self.streams[id].from);
        let Some(server) = &mut self.streams[id].server else {
            return;
        };
        let since = std::mem::replace(&mut server.looked_at, self.now);
        let mut appended = Vec::new();
        for reply in &replies {
            if let Some(number) = server.appends.remove(&reply.seq) {
                appended.push((number, reply.answer.clone()));
            }
        }
        server.answered.extend(replies);
        for (number, answer) in appended {
            self.check_answer((owner, to), number, &answer, since);
        }
    }

    pub fn send_replies(&mut self, pid: Pid) {
        let streams = &self.streams;
        let process = self.machines[pid.machine].process.as_mut();
        let Some(process) = process.filter(|process| process.pid == pid) else {
            return;
        };
        process.incoming.retain(|id| !streams[*id].dead);
        for id in process.incoming.clone() {
            let Some(server) = &self.streams[id].server else {
                continue;
            };
            let replies = server.replies.take();
            self.look_at_replies(id, replies);
            let server = self.streams[id].server.as_mut();
            let replies = server.map(|server| std::mem::take(&mut server.answered));
            let replies = replies.unwrap_or_default();
            if !replies.is_empty() {
                let replies = replies.into_iter().map(Into::into).collect();
                let batch = proto::ReplyBatch {
                    replies,
                    ..Default::default()
                };
                self.push_replies(id, batch.encode_to_vec());
            }
        }
    }
}
