//! Two who talk, on the Rust client: what is typed goes to the other, what the other types is shown.
//!
//! `cargo run --example talk -- ws://127.0.0.1:7001 alice bob`, and in another terminal the same with
//! the names exchanged.

use std::error::Error;
use std::{io, thread};

use ringpost::client::{Client, Event, Options, Recipient, SendOptions};
use tokio::sync::mpsc;

/// Lines that were typed and not sent; then the keyboard waits.
const LINES_AHEAD: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(node), Some(me), Some(other)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("talk URL-OF-A-NODE YOUR-NAME THEIR-NAME".into());
    };
    let client = Client::connect(&node, Options::for_user(&me)).await?;
    let (typed, lines) = mpsc::channel(LINES_AHEAD);
    // A thread, because nothing can stop a read from a terminal.
    thread::spawn(move || {
        let mut lines = io::stdin().lines().map_while(Result::ok);
        lines.all(|line| typed.blocking_send(line).is_ok())
    });
    tokio::spawn(say(client.clone(), Recipient::User(other), lines));
    while let Some(event) = client.next().await {
        show(event);
    }
    Ok(())
}

/// Sends line by line, in order, and closes the client behind the last one. Receipts are waited for
/// one by one beside that.
async fn say(client: Client, other: Recipient, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        let options = SendOptions::default();
        match client.start_send(&other, &line, options).await {
            Ok(receipt) => {
                tokio::spawn(async move {
                    if let Err(error) = receipt.await {
                        println!("  ({line:?}: {error})");
                    }
                });
            }
            Err(error) => println!("  ({line:?}: {error})"),
        }
    }
    client.close().await;
}

fn show(event: Event) {
    match event {
        Event::Message(message) => match message.json::<String>() {
            Ok(text) => println!("{}: {text}", message.from),
            Err(_) => println!("{}: {}", message.from, message.body),
        },
        Event::Connected { node, .. } => println!("  (connected to {node})"),
        Event::Redirected { to, reason } => println!("  (on to {to}: {reason})"),
        Event::Disconnected { error, retry_in } => {
            println!("  ({error}; trying again in {retry_in:?})");
        }
        Event::Ended(error) => println!("  (the end: {error})"),
        _ => {}
    }
}
