//! What systemd is told of a node, where it asks for it (`Type=notify`): that it is ready, and that it drains.

use std::convert::Infallible;
use std::time::Duration;

use ringpost::Node;

/// How often a node that is not ready is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the node is ready, and says so; while it is not, says why. Never ends, and elsewhere than
/// under systemd does nothing.
pub async fn follow(node: &Node) -> Infallible {
    if is_there() {
        let mut said = None;
        while let Some(why) = node.why_not_ready() {
            if said != Some(why) {
                said = Some(why);
                tell(&[State::Status(why)]);
            }
            tokio::time::sleep(LOOK).await;
        }
        tell(&[State::Ready, State::Status("ready")]);
    }
    std::future::pending().await
}

/// Says that the node drains, and will end.
pub fn draining() {
    if is_there() {
        tell(&[State::Stopping, State::Status("draining")]);
    }
}

/// What there is to say.
#[derive(Clone, Copy)]
enum State {
    Ready,
    Stopping,
    Status(&'static str),
}

#[cfg(unix)]
fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

#[cfg(unix)]
fn tell(states: &[State]) {
    let states: Vec<_> = states
        .iter()
        .map(|state| match state {
            State::Ready => sd_notify::NotifyState::Ready,
            State::Stopping => sd_notify::NotifyState::Stopping,
            State::Status(text) => sd_notify::NotifyState::Status(text),
        })
        .collect();
    if let Err(error) = sd_notify::notify(&states) {
        tracing::warn!(%error, "systemd cannot be told how the node is");
    }
}

#[cfg(not(unix))]
fn is_there() -> bool {
    false
}

#[cfg(not(unix))]
fn tell(_states: &[State]) {}
