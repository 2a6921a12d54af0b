//! A client of `ringpost.v1.proto`, with the generated types.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use prost::Message as _;
use ringpost::proto::client_message::Request;
use ringpost::proto::server_message::Reply;
use ringpost::proto::target::To;
use ringpost::proto::{
    self, ClientMessage, Message, Ping, Qos, Receipt, Send, ServerMessage, Target, Welcome,
};

use crate::support::frames::{BINARY, CLOSE, TEXT};
use crate::support::kept::RECEIPT;
use crate::support::{Client, Cluster, Event, Handshake, PATIENCE};

pub const SUBPROTOCOL: &str = "ringpost.v1.proto";

/// A connection on which every frame is binary.
#[derive(Debug)]
pub struct Binary {
    client: Client,
    /// Messages that were read while a reply was looked for.
    aside: VecDeque<Reply>,
}

impl Binary {
    /// Connects to this URL, follows nothing.
    #[track_caller]
    pub fn connect(url: &str) -> Self {
        let handshake = Handshake::to(url).header("Sec-WebSocket-Protocol", SUBPROTOCOL);
        let client = handshake.connect().expect("101");
        let named = client.head.header("sec-websocket-protocol");
        assert_eq!(named, Some(SUBPROTOCOL));
        Self {
            client,
            aside: VecDeque::new(),
        }
    }

    /// A session at this node, whoever owns its user. `query` is added to the URL.
    #[track_caller]
    pub fn at(cluster: &Cluster, index: usize, user: &str, query: &str) -> (Self, Welcome) {
        let node = &cluster.nodes[index];
        let mut client = Self::connect(&format!("{}&redirect=never{query}", node.url(user)));
        let Reply::Welcome(welcome) = client.next() else {
            panic!("no welcome");
        };
        assert_eq!((&*welcome.user, &welcome.node), (user, &node.id));
        (client, welcome)
    }

    #[track_caller]
    pub fn send(&mut self, id: &str, request: Request) {
        let message = ClientMessage {
            id: id.to_owned(),
            request: Some(request),
        };
        self.send_bytes(&message.encode_to_vec());
    }

    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.client.send_frame(true, BINARY, bytes);
    }

    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.client.send_frame(true, TEXT, text.as_bytes());
    }

    /// Sends a request and waits for the receipt that names it.
    #[track_caller]
    pub fn ask(&mut self, id: &str, request: Request) -> Receipt {
        self.send(id, request);
        self.receipt(id)
    }

    /// The receipt that names this request; what else comes is kept for later.
    #[track_caller]
    pub fn receipt(&mut self, id: &str) -> Receipt {
        loop {
            match self.read(RECEIPT) {
                Reply::Receipt(receipt) if receipt.id == id => return receipt,
                other => self.aside.push_back(other),
            }
        }
    }

    /// The next message of any kind.
    #[track_caller]
    pub fn next(&mut self) -> Reply {
        match self.aside.pop_front() {
            Some(reply) => reply,
            None => self.read(PATIENCE),
        }
    }

    /// The next message, which must be a `message`.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        match self.next() {
            Reply::Message(message) => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    #[track_caller]
    fn read(&mut self, timeout: Duration) -> Reply {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.event(left) {
                Some(Event::Binary(bytes)) => return said(&bytes),
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                other => panic!("{other:?} instead of a binary message"),
            }
        }
    }

    /// Asserts that nothing else has come, and that the connection works both ways.
    #[track_caller]
    pub fn assert_quiet_and_alive(&mut self) {
        self.send("alive?", Request::Ping(Ping {}));
        let Reply::Pong(pong) = self.next() else {
            panic!("no pong");
        };
        assert_eq!(pong.id, "alive?");
    }

    /// Reads until the server closes and answers it. Returns what came first, and the code.
    #[track_caller]
    pub fn read_to_close(&mut self) -> (Vec<Reply>, Option<u16>) {
        let mut replies = Vec::from(std::mem::take(&mut self.aside));
        loop {
            match self.client.event(PATIENCE) {
                Some(Event::Binary(bytes)) => replies.push(said(&bytes)),
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(Event::Close(code, _)) => {
                    let payload = code.map(u16::to_be_bytes);
                    let payload = payload.as_ref().map_or(&[][..], |code| code);
                    let _ = self.client.try_send_frame(true, CLOSE, payload);
                    let after = self.client.event(PATIENCE);
                    assert!(matches!(after, Some(Event::End(_))), "{after:?}");
                    return (replies, code);
                }
                other => panic!("{other:?} instead of a Close"),
            }
        }
    }
}

fn said(bytes: &[u8]) -> Reply {
    let message = ServerMessage::decode(bytes).expect("a ServerMessage");
    message.reply.expect("one that says something")
}

pub fn to_user(user: &str) -> Target {
    Target {
        to: Some(To::User(user.to_owned())),
    }
}

pub fn to_room(room: &str) -> Target {
    Target {
        to: Some(To::Room(room.to_owned())),
    }
}

/// A message that is to be kept.
pub fn kept(to: Target, body: &str) -> Send {
    Send {
        to: Some(to),
        body: body.to_owned().into(),
        ..Send::default()
    }
}

/// A message that is not.
pub fn unkept(to: Target, body: &str) -> Send {
    Send {
        qos: Qos::AtMostOnce.into(),
        ..kept(to, body)
    }
}

/// A position, as it is in a message or a welcome.
pub fn position(epoch: &str, offset: u64) -> proto::Position {
    proto::Position {
        epoch: epoch.to_owned(),
        offset,
    }
}
