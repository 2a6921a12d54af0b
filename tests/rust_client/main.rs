//! The Rust client, against servers that follow a script and against clusters of real nodes.
#![allow(clippy::unwrap_used)]

mod against_cluster;
mod against_script;
mod cluster;
mod kept;
mod load;
mod proxy;
mod rooms;
mod script;

use std::time::Duration;

use ringpost::client::{Client, Event, Message, Options};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is expected to happen.
async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Looks every now and then whether something that is expected to happen has.
async fn soon_true(what: &str, condition: impl AsyncFn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    soon(what, async {
        while !condition().await {
            looks.tick().await;
        }
    })
    .await;
}

/// A user who does not wait long before connecting again.
fn hasty(user: &str) -> Options {
    let mut options = Options::for_user(user);
    options.backoff_min = Duration::from_millis(1);
    options.backoff_first = Duration::from_millis(20);
    options.backoff_max = Duration::from_millis(200);
    options
}

/// The next event that fits; others are passed over.
async fn event<T>(client: &Client, what: &str, fits: impl Fn(Event) -> Option<T>) -> T {
    soon(what, async {
        loop {
            let event = client.next().await;
            let event = event.unwrap_or_else(|| panic!("the client has ended before {what}"));
            if let Some(fitting) = fits(event) {
                return fitting;
            }
        }
    })
    .await
}

async fn message(client: &Client) -> Message {
    event(client, "a message", |event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    })
    .await
}

/// The node that welcomes the client next.
async fn connected(client: &Client) -> String {
    event(client, "a welcome", |event| match event {
        Event::Connected { node, .. } => Some(node),
        _ => None,
    })
    .await
}
