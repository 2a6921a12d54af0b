//! A node that behaves as a test tells it: one sender, one receiver, no ring.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
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
}

/// What the node decides by: gets the sends in their order.
type Behave = Box<dyn FnMut(&Value) -> Act + Send>;

#[derive(Clone)]
struct Node {
    behave: Arc<Mutex<Behave>>,
    receiver: Arc<Mutex<Option<TcpStream>>>,
}

/// Starts it; it lives as long as the test's process. Gives its address.
pub fn node(behave: impl FnMut(&Value) -> Act + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = Node {
        behave: Arc::new(Mutex::new(Box::new(behave))),
        receiver: Arc::default(),
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let node = node.clone();
            thread::spawn(move || node.serve(stream.unwrap()));
        }
    });
    address
}

/// The message that a send becomes.
pub fn message(send: &Value) -> Value {
    json!({"type": "message", "id": send["id"], "from": "s", "to": send["to"], "body": send["body"]})
}

impl Node {
    fn serve(&self, mut stream: TcpStream) {
        let head = head_of(&mut stream);
        stream.write_all(switching(&head).as_bytes()).unwrap();
        say(&mut stream, &json!({"user": "u", "type": "welcome"}));
        if head.contains("-r0") {
            *self.receiver.lock().unwrap() = Some(stream.try_clone().unwrap());
        }
        while let Some(send) = masked_text(&mut stream) {
            let id = &send["id"];
            let receipt = match self.behave.lock().unwrap()(&send) {
                Act::Deliver(messages) => {
                    let mut receiver = self.receiver.lock().unwrap();
                    for message in messages {
                        say(receiver.as_mut().unwrap(), &message);
                    }
                    json!({"type": "receipt", "id": id, "status": "accepted", "copies": 2})
                }
                Act::Fail(code) => {
                    let error = json!({"code": code, "message": "no", "retry": false});
                    json!({"type": "receipt", "id": id, "status": "failed", "error": error})
                }
                Act::Break => break,
            };
            say(&mut stream, &receipt);
        }
        // The client may have gone first.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Writes a text frame of up to 64 KiB, `type` first. Whoever has gone is not told.
fn say(stream: &mut TcpStream, message: &Value) {
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
    let _ = stream.write_all(&frame);
}
