//! The client of a cluster, for programs that are users of it.
//!
//! A [`Client`] is given any node and finds the one that owns its user. It
//!
//! - follows redirects, and moves to another node when it is told to, without losing or repeating a
//!   message: the old connection is used until the new one is there;
//! - connects again after a break, with full jitter, from where it stood;
//! - sends what has no receipt again after a break, in order and under the same ids (qos 1), or says
//!   that nobody knows what became of it (qos 0);
//! - keeps the program in the rooms that it has joined, each of them one stream over breaks and moves;
//! - drops messages that it has given to the program before;
//! - acks, answers and sends heartbeats, and gives up a server that is silent.
//!
//! It keeps a bounded number of everything; what happens at each bound stands with it in
//! [`Options`]. `wss://` is TLS 1.2 or 1.3; see [`Options::root_certificates`].
//!
//! ```no_run
//! use ringpost::client::{Client, Event, Options, Recipient, SendOptions};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let alice = Client::connect("ws://127.0.0.1:7001", Options::for_user("alice")).await?;
//! let bob = Recipient::user("bob");
//! let receipt = alice.send(&bob, "good morning", SendOptions::default()).await?;
//! println!("{:?}", receipt.status);
//! while let Some(event) = alice.next().await {
//!     match event {
//!         Event::Message(message) => println!("{}: {}", message.from, message.body),
//!         Event::Ended(error) => println!("it is over: {error}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod connection;
mod driver;
mod error;
mod event;
mod handle;
pub mod http;
#[cfg_attr(not(test), deny(clippy::disallowed_methods))]
mod machine;
mod messages;
mod options;
mod tls;

pub use address::{InvalidTarget, Target, encoded};
pub use error::{Error, Failure, SendError};
pub use event::{Event, Joined, Message, Position, Receipt, Recipient, RoomPage, Stats, Status};
pub use handle::{Client, PendingReceipt};
pub use options::{Options, Qos, SendOptions, Token};
pub use tls::{InvalidCertificates, RootCertificates, Socket};
