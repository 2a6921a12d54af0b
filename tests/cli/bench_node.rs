//! A node that behaves as a test tells it: one sender, one receiver, no ring.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::clients::{head_of, masked_text, switching};

/// What the node does with a send.
pub enum Act {
    /// Gives these bodies, with their ids, to the receiver, then the receipt to the sender.
    Deliver(Vec<Value>),
    /// Gives the sender a receipt with this error.
    Fail(&'static str),
    /// Ends the sender's connection.
    Break,
    /// Tells the sender to come again, then gives it a receipt.
    MoveSender,
    /// Tells the receiver to come again, and gives the sender a receipt.
    MoveReceiver,
    /// Says that a room is joined.
    Join,
    /// Says nothing.
    Ignore,
}

/// What the node decides by: gets the sends in their order.
type Behave = Box<dyn FnMut(&Value) -> Act + Send>;

/// A node that lives as long as the test's process.
#[derive(Clone)]
pub struct Node {
    pub address: String,
    /// The first lines of all handshakes.
    pub handshakes: Arc<Mutex<Vec<String>>>,
    behave: Arc<Mutex<Behave>>,
    /// The receiver's connection, while it has one, and that it has come.
    receiver: Arc<(Mutex<Option<TcpStream>>, Condvar)>,
}

/// Starts a node that does with sends and acknowledgements what `behave` says.
pub fn node(behave: impl FnMut(&Value) -> Act + Send + 'static) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Node {
        address: listener.local_addr().unwrap().to_string(),
        handshakes: Arc::default(),
        behave: Arc::new(Mutex::new(Box::new(behave))),
        receiver: Arc::default(),
    };
    let node = started.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let node = node.clone();
            thread::spawn(move || node.serve(stream.unwrap()));
        }
    });
    started
}

/// The message that a send becomes.
pub fn message(send: &Value) -> Value {
    json!({"type": "message", "id": send["id"], "from": "s", "to": send["to"], "body": send["body"]})
}

impl Node {
    fn serve(&self, mut stream: TcpStream) {
        let head = head_of(&mut stream);
        let handshake = head.lines().next().unwrap().to_owned();
        let is_receiver = handshake.contains("-r0");
        self.handshakes.lock().unwrap().push(handshake);
        stream.write_all(switching(&head).as_bytes()).unwrap();
        say(&mut stream, &json!({"user": "u", "type": "welcome"}));
        if is_receiver {
            let (stream_now, came) = &*self.receiver;
            *stream_now.lock().unwrap() = Some(stream.try_clone().unwrap());
            came.notify_all();
        }
        while let Some(request) = masked_text(&mut stream) {
            let id = &request["id"];
            let accepted = json!({"type": "receipt", "id": id, "status": "accepted", "copies": 2});
            let act = self.behave.lock().unwrap()(&request);
            match act {
                Act::Deliver(messages) => {
                    self.deliver(&messages);
                    say(&mut stream, &accepted);
                }
                Act::Fail(code) => {
                    let error = json!({"code": code, "message": "no", "retry": false});
                    let receipt =
                        json!({"type": "receipt", "id": id, "status": "failed", "error": error});
                    say(&mut stream, &receipt);
                }
                Act::Break => break,
                Act::MoveSender => {
                    say(&mut stream, &self.redirect("u-s0"));
                    self.deliver(&[message(&request)]);
                    say(&mut stream, &accepted);
                }
                Act::MoveReceiver => {
                    let moved = self.receiver.0.lock().unwrap().take();
                    say(&mut moved.unwrap(), &self.redirect("u-r0"));
                    self.deliver(&[message(&request)]);
                    say(&mut stream, &accepted);
                }
                Act::Join => {
                    let joined = json!({"type": "receipt", "id": id, "status": "joined",
                        "epoch": "e", "offset": 0});
                    say(&mut stream, &joined);
                }
                Act::Ignore => {}
            }
        }
        // The client may have gone first.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Waits for the receiver, should it be on its way.
    fn deliver(&self, messages: &[Value]) {
        let (receiver, came) = &*self.receiver;
        let receiver = receiver.lock().unwrap();
        let mut receiver = came
            .wait_while(receiver, |stream| stream.is_none())
            .unwrap();
        // At once: who has read the first has read them all.
        let frames: Vec<u8> = messages.iter().flat_map(frame).collect();
        let _ = receiver.as_mut().unwrap().write_all(&frames);
    }

    fn redirect(&self, user: &str) -> Value {
        let url = format!("ws://{}/ws?user={user}&hop=1", self.address);
        json!({"type": "redirect", "url": url, "reason": "moved", "after_ms": 1})
    }
}

/// Writes a text frame. Whoever has gone is not told.
fn say(stream: &mut TcpStream, message: &Value) {
    let _ = stream.write_all(&frame(message));
}

/// A text frame of up to 64 KiB, `type` first.
fn frame(message: &Value) -> Vec<u8> {
    let kind = &message["type"];
    let rest = message.as_object().unwrap().iter();
    let rest = rest.filter(|(name, _)| *name != "type");
    let fields: Vec<_> = rest
        .map(|(name, value)| format!("{name:?}:{value}"))
        .collect();
    let text = format!("{{\"type\":{kind},{}}}", fields.join(","));
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = match u8::try_from(length) {
        Ok(short @ 0..126) => vec![0x81, short],
        _ => [&[0x81, 126], &length.to_be_bytes()[..]].concat(),
    };
    frame.extend_from_slice(text.as_bytes());
    frame
}
