//! The task behind a client: it does what the machine says, and tells it what happens.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::header::{self, HeaderValue};
use serde::Deserialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::address::Target;
use super::connection::{Connection, Step};
use super::error::{Error, SendError};
use super::http::{self, Answer, Handshake};
use super::machine::{ConnectionId, Input, Machine, Output, Reply, RequestNumber};

/// What the program's side and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// For the task: the program has changed something.
    pub wake: Notify,
    /// For the program: there is an event, or the end.
    pub news: Notify,
    /// One permit for each request that may be outstanding.
    pub room: Arc<Semaphore>,
    /// The task is over, and its connections are closed.
    pub done: CancellationToken,
}

#[derive(Debug)]
pub(super) struct State {
    pub machine: Machine,
    pub waiting: HashMap<RequestNumber, Waiting>,
}

/// Who waits for a reply.
#[derive(Debug)]
pub(super) struct Waiting {
    pub reply: oneshot::Sender<Result<Reply, SendError>>,
    pub _room: OwnedSemaphorePermit,
}

impl Shared {
    pub fn new(machine: Machine, outstanding_max: usize) -> Self {
        let room = outstanding_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            state: Mutex::new(State {
                machine,
                waiting: HashMap::new(),
            }),
            wake: Notify::new(),
            news: Notify::new(),
            room: Arc::new(Semaphore::new(room)),
            done: CancellationToken::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of the runtime.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

type Dial = Pin<Box<dyn Future<Output = Result<Handshake, Error>> + Send>>;

/// The task.
pub(super) struct Driver {
    pub shared: Arc<Shared>,
    /// Goes to the nodes that were given.
    pub authorization: Option<HeaderValue>,
    pub message_bytes_max: usize,
    /// At most one is being made at a time.
    dial: Option<(ConnectionId, Target, Dial)>,
    /// Three at most.
    connections: Vec<(ConnectionId, Connection)>,
    closing: JoinSet<()>,
}

/// Something has happened to a connection.
enum Happened {
    Dialled(ConnectionId, Target, Result<Handshake, Error>),
    Said(ConnectionId, Step),
}

/// What the machine wants, apart from outputs.
struct Wants {
    deadline: Option<Instant>,
    reads: bool,
    ended: bool,
}

impl Driver {
    pub fn new(
        shared: Arc<Shared>,
        authorization: Option<HeaderValue>,
        message_bytes_max: usize,
    ) -> Self {
        Self {
            shared,
            authorization,
            message_bytes_max,
            dial: None,
            connections: Vec::new(),
            closing: JoinSet::new(),
        }
    }

    /// Runs until the client has ended, or nobody has it any more.
    pub async fn run(mut self, abandoned: CancellationToken) {
        let _done = self.shared.done.clone().drop_guard();
        tokio::select! {
            () = self.drive() => {}
            () = abandoned.cancelled() => {}
        }
    }

    async fn drive(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let wants = self.carry_out();
            if wants.ended {
                break;
            }
            let timer = async {
                match wants.deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shared.wake.notified() => {}
                () = timer => {}
                happened = poll_fn(|cx| self.poll(cx, wants.reads)) => self.tell(happened),
            }
        }
        while self.closing.join_next().await.is_some() {}
    }

    /// Lets the machine do what is due, and does what it wants.
    fn carry_out(&mut self) -> Wants {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let State { machine, waiting } = &mut *state;
        machine.tick(now());
        let mut outputs = Vec::new();
        while let Some(output) = machine.next_output() {
            match output {
                Output::Settle(number, outcome) => {
                    if let Some(waiting) = waiting.remove(&number) {
                        // Nobody may want to know any more.
                        let _ = waiting.reply.send(outcome);
                    }
                }
                output => outputs.push(output),
            }
        }
        let wants = Wants {
            deadline: machine.next_deadline(),
            reads: machine.reads(),
            ended: machine.end().is_some(),
        };
        let news = machine.has_event() || wants.ended;
        drop(state);
        if news {
            shared.news.notify_waiters();
        }
        for output in outputs {
            self.act(output);
        }
        wants
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Connect {
                connection,
                target,
                path,
                given,
            } => {
                let authorization = self.authorization.clone().filter(|_| given);
                let to = target.clone();
                let dial = async move { http::upgrade(&to, &path, authorization).await };
                self.dial = Some((connection, target, Box::pin(dial)));
            }
            Output::Write(connection, text) => {
                if let Some(connection) = self.connection(connection) {
                    connection.write_text(&text);
                }
            }
            Output::Pong(connection) => {
                if let Some(connection) = self.connection(connection) {
                    connection.write_pong();
                }
            }
            Output::Close(connection) => self.finish(connection),
            Output::Drop(connection) => {
                self.connections.retain(|(id, _)| *id != connection);
                self.dial.take_if(|(id, ..)| *id == connection);
            }
            // Settled under the lock.
            Output::Settle(..) => {}
        }
    }

    fn connection(&mut self, wanted: ConnectionId) -> Option<&mut Connection> {
        let mut all = self.connections.iter_mut();
        all.find_map(|(id, connection)| (*id == wanted).then_some(connection))
    }

    /// Closes a connection, beside everything else.
    fn finish(&mut self, wanted: ConnectionId) {
        let mut finished = self.connections.extract_if(.., |(id, _)| *id == wanted);
        if let Some((_, connection)) = finished.next() {
            self.closing.spawn(connection.finish());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Happened> {
        if let Some((_, _, dial)) = &mut self.dial
            && let Poll::Ready(result) = dial.as_mut().poll(cx)
            && let Some((connection, target, _)) = self.dial.take()
        {
            return Poll::Ready(Happened::Dialled(connection, target, result));
        }
        for index in 0..self.connections.len() {
            let (id, connection) = &mut self.connections[index];
            if let Poll::Ready(step) = connection.poll(cx, reads) {
                let id = *id;
                // A busy one must not keep the others from being heard.
                self.connections.rotate_left(index + 1);
                return Poll::Ready(Happened::Said(id, step));
            }
        }
        // What has been closed is not needed any more.
        while let Poll::Ready(Some(_)) = self.closing.poll_join_next(cx) {}
        Poll::Pending
    }

    fn tell(&mut self, happened: Happened) {
        match happened {
            Happened::Dialled(id, target, result) => {
                let input = match result {
                    Ok(Handshake::Open(socket, read)) => {
                        let connection = Connection::new(socket, &read, self.message_bytes_max);
                        self.connections.push((id, connection));
                        return;
                    }
                    Ok(Handshake::Refused(answer)) => refused(&target, &answer),
                    Err(error) => Input::Failed(error),
                };
                if let Input::Failed(error) = &input {
                    tracing::debug!(%error, "a client could not connect");
                }
                self.shared.lock().machine.handle(now(), id, input);
            }
            Happened::Said(id, step) => {
                let over = matches!(step, Step::Closed(..) | Step::Broken(_));
                let text;
                let input = match step {
                    Step::Heard => Input::Heard,
                    Step::Text(said) => {
                        text = said;
                        Input::Text(&text)
                    }
                    Step::Closed(code, reason) => Input::Closed(code, reason),
                    Step::Broken(reason) => Input::Broken(reason),
                };
                self.shared.lock().machine.handle(now(), id, input);
                if over {
                    self.finish(id);
                }
            }
        }
    }
}

/// What an answer other than 101 means.
fn refused(target: &Target, answer: &Answer) -> Input<'static> {
    #[derive(Deserialize)]
    struct Body {
        url: String,
    }
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Input::Failed(Error::Refused {
            node: target.clone(),
            status: answer.status.as_u16(),
            answer: answer.sentence(),
        });
    }
    if let Ok(Body { url }) = serde_json::from_slice(&answer.body) {
        return Input::Redirected(url);
    }
    let location = answer.headers.get(header::LOCATION);
    match location.and_then(|value| value.to_str().ok()) {
        Some(url) => Input::Redirected(url.to_owned()),
        None => Input::Failed(Error::Strange {
            node: target.clone(),
            reason: "redirected to nowhere".to_owned(),
        }),
    }
}
