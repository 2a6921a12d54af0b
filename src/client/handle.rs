//! The program's side of a client.

mod rooms;

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::address::Target;
use super::driver::{Driver, Shared, Waiting, now};
use super::error::{Error, Failure, SendError};
use super::event::{Event, Position, Receipt, Recipient, Stats};
use super::machine::{Machine, Reply, RequestNumber};
use super::messages::{self, How};
use super::options::{Options, Qos, SendOptions};
use crate::core::protocol::request::REQUEST_ID_BYTES_MAX;

/// A client of a cluster: one user's connection, wherever it has to go.
///
/// Clones are the same client. When the last one is dropped the connection ends at once;
/// [`Client::close`] ends it well. See the [module](super) for what it does by itself.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _alive: Arc<DropGuard>,
}

impl Client {
    /// Connects to any node of a cluster, `ws://host:port` or `wss://host:port`, and to the one that it is sent to from
    /// there. Returns when that has welcomed the client.
    ///
    /// Needs a Tokio runtime, on which a task is started.
    ///
    /// # Errors
    /// [`Error`] when an address is of no use, when all nodes refuse the client for good, or, unless
    /// [`Options::keep_trying`] is on, when all of them were tried once.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let urls = std::iter::once(url).chain(options.also.iter().map(String::as_str));
        let roots = &options.root_certificates;
        let nodes = urls.map(|url| Ok(node(url)?.trusting(roots)));
        let nodes: Vec<Target> = nodes.collect::<Result<_, _>>()?;
        if options.user.is_none() && options.token.is_none() {
            return Err(Error::Nobody);
        }
        let authorization = match &options.token {
            Some(token) => Some(token.authorization()?),
            None => None,
        };
        let outstanding_max = options.outstanding_max;
        let message_bytes_max = options.message_bytes_max;
        let machine = Machine::new(now(), nodes, options, rand::random());
        let shared = Arc::new(Shared::new(machine, outstanding_max));
        let abandoned = CancellationToken::new();
        let driver = Driver::new(Arc::clone(&shared), authorization, message_bytes_max);
        tokio::spawn(driver.run(abandoned.clone()));
        let client = Self {
            shared,
            _alive: Arc::new(abandoned.drop_guard()),
        };
        client.first_welcome().await?;
        Ok(client)
    }

    async fn first_welcome(&self) -> Result<(), Error> {
        loop {
            let mut news = pin!(self.shared.news.notified());
            news.as_mut().enable();
            {
                let state = self.shared.lock();
                if state.machine.was_welcomed() {
                    return Ok(());
                }
                if let Some(error) = state.machine.end() {
                    return Err(error.clone());
                }
            }
            news.await;
        }
    }

    /// Sends a message and waits for its receipt. `body` is anything that can be written as JSON; a
    /// [`serde_json::value::RawValue`] goes out byte for byte.
    ///
    /// Messages are sent in the order in which this is first polled. While
    /// [`Options::outstanding_max`] have no receipt it waits. Dropping it does not take the message
    /// back.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::is_definite`] says whether the message may have been delivered
    /// all the same.
    pub async fn send(
        &self,
        to: &Recipient,
        body: &(impl Serialize + ?Sized),
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        self.start_send(to, body, options).await?.await
    }

    /// Sends a message without waiting for its receipt, which is what comes out of this can be
    /// waited for; so many messages can be on their way, in order. Waits only while
    /// [`Options::outstanding_max`] have no receipt.
    ///
    /// # Errors
    /// [`SendError`], when nothing was sent.
    pub async fn start_send(
        &self,
        to: &Recipient,
        body: &(impl Serialize + ?Sized),
        options: SendOptions,
    ) -> Result<PendingReceipt, SendError> {
        let body = serde_json::value::to_raw_value(body)
            .map_err(|error| SendError::Body(error.to_string()))?;
        let id = options.id.unwrap_or_else(random_id);
        if !(1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) {
            return Err(SendError::InvalidId);
        }
        let how = How {
            qos: match to {
                Recipient::Everyone => Qos::AtMostOnce,
                Recipient::User(_) | Recipient::Room(_) => options.qos,
            },
            notify: options.notify,
            echo: options.echo,
        };
        let text = messages::send(&id, to, &body, how)
            .map_err(|error| SendError::Body(error.to_string()))?;
        let repeatable = how.qos == Qos::AtLeastOnce;
        let send = |machine: &mut Machine| machine.request(&id, text.into(), repeatable);
        let reply = self.request(send).await?;
        Ok(PendingReceipt { id, reply })
    }

    /// Which of these users are online.
    ///
    /// # Errors
    /// [`SendError`]. A question that a broken connection has swallowed is asked again.
    pub async fn presence(&self, users: &[&str]) -> Result<HashMap<String, bool>, SendError> {
        let id = random_id();
        let text =
            messages::presence(&id, users).map_err(|error| SendError::Body(error.to_string()))?;
        let ask = |machine: &mut Machine| machine.request(&id, text.into(), true);
        let reply = self.request(ask).await?;
        match settled(reply.await)? {
            Reply::Presence(online) => Ok(online),
            other => Err(odd(&other)),
        }
    }

    /// Makes a request of the machine, once there is room for one more.
    async fn request(
        &self,
        make: impl FnOnce(&mut Machine) -> Result<RequestNumber, SendError>,
    ) -> Result<oneshot::Receiver<Result<Reply, SendError>>, SendError> {
        let room = Arc::clone(&self.shared.room).acquire_owned().await;
        let room = room.map_err(|_| SendError::NotSent(Error::ByProgram))?;
        let (reply, received) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            let number = make(&mut state.machine)?;
            let waiting = Waiting { reply, _room: room };
            state.waiting.insert(number, waiting);
        }
        self.shared.wake.notify_one();
        Ok(received)
    }

    /// The next event; `None` after the last one. Of many callers each event goes to one.
    ///
    /// A program has to call this all the time: with [`Options::events_ahead`] of them waiting the
    /// client stops reading, so that receipts do not come either. To stop waiting loses nothing.
    pub async fn next(&self) -> Option<Event> {
        loop {
            let mut news = pin!(self.shared.news.notified());
            news.as_mut().enable();
            {
                let mut state = self.shared.lock();
                if let Some(event) = state.machine.take_event(now()) {
                    drop(state);
                    // It may read on, or ack.
                    self.shared.wake.notify_one();
                    return Some(event);
                }
                if state.machine.end().is_some() {
                    return None;
                }
            }
            news.await;
        }
    }

    /// Tells the cluster that the program is done with all messages of its inbox up to this one. To
    /// be called where [`Options::auto_ack`] is off. Goes out with the next acks, within 100 ms.
    pub fn ack(&self, position: Position) {
        self.shared.lock().machine.ack(now(), position);
        self.shared.wake.notify_one();
    }

    /// The position of the last message that the program was given: what to keep, and to put into
    /// [`Options::resume`] of the next client. `None` where nodes keep no messages.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.shared.lock().machine.position().cloned()
    }

    /// What the client has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().machine.stats()
    }

    /// Ends the client well: nothing new is sent, outstanding receipts are waited for, up to
    /// [`Options::close_timeout`], what was handed over is acked, and the connection is closed.
    ///
    /// What is without a receipt then fails, [`SendError::Unknown`] if it was written. Messages
    /// that arrive meanwhile are left to the next connection; events that waited before can still be
    /// taken.
    pub async fn close(&self) {
        self.shared.lock().machine.close(now());
        self.shared.wake.notify_one();
        self.shared.done.cancelled().await;
    }
}

/// A receipt that will come.
#[derive(Debug)]
#[must_use = "only the receipt says what became of a message"]
pub struct PendingReceipt {
    id: String,
    reply: oneshot::Receiver<Result<Reply, SendError>>,
}

impl PendingReceipt {
    /// The id of the message.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Future for PendingReceipt {
    type Output = Result<Receipt, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.reply).poll(cx));
        Poll::Ready(match settled(reply)? {
            Reply::Receipt(receipt) => Ok(receipt),
            other => Err(odd(&other)),
        })
    }
}

/// The reply, unless the client was dropped before it came.
fn settled(
    reply: Result<Result<Reply, SendError>, oneshot::error::RecvError>,
) -> Result<Reply, SendError> {
    reply.unwrap_or(Err(SendError::Unknown(Error::ByProgram)))
}

/// A reply of another kind than was asked for.
fn odd(reply: &Reply) -> SendError {
    let json = match reply {
        Reply::Receipt(receipt) => &*receipt.json,
        Reply::Joined(_) => "joined",
        Reply::Left => "left",
        Reply::Presence(_) | Reply::RoomPage(_) => "presence",
    };
    SendError::Failed(Box::new(Failure::odd(json)))
}

fn node(url: &str) -> Result<Target, Error> {
    url.parse().map_err(|reason| Error::Url {
        url: url.to_owned(),
        reason,
    })
}

/// An id that nobody else has: 128 random bits.
fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
