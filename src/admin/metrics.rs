//! `GET /metrics`: the node's counters and gauges as Prometheus text.

use std::fmt::Write as _;

use crate::core::view::MemberState;
use crate::dispatch::Dispatch;

/// All metrics, in the text exposition format 0.0.4.
pub(super) fn render(dispatch: &Dispatch) -> String {
    let mut text = String::new();
    for (name, help, value) in dispatch.counters().all() {
        sample(&mut text, &format!("{name}_total"), "counter", help, value);
    }
    let (sessions, guests) = dispatch.counts();
    gauge(&mut text, "sessions", "Sessions on this node.", sessions);
    let help = "Sessions elsewhere of users that this node owns.";
    gauge(&mut text, "guests", help, guests);
    let (copies, owned, bytes) = dispatch.stream_counts();
    gauge(
        &mut text,
        "streams_held",
        "Streams of which this node has a copy.",
        copies,
    );
    gauge(
        &mut text,
        "streams_owned",
        "Streams that this node owns.",
        owned,
    );
    let help = "Bytes of kept messages on this node, copies included, as of seconds ago.";
    gauge(&mut text, "inbox_bytes", help, bytes);
    let help = "Streams of this node with fewer copies than they should have, or being taken over.";
    sample(
        &mut text,
        "under_replicated",
        "gauge",
        help,
        dispatch.under_replicated(),
    );
    let topology = dispatch.topology();
    let members = &topology.view.members;
    let alive = members.iter().filter(|m| m.state == MemberState::Alive);
    gauge(
        &mut text,
        "members_alive",
        "Members that are alive.",
        alive.count(),
    );
    let connected = topology.links().filter(|link| link.is_connected()).count();
    gauge(
        &mut text,
        "links_connected",
        "Links that are up.",
        connected,
    );
    let (waiting, unanswered) = topology.links().fold((0, 0), |sum, link| {
        let depth = link.depth();
        (sum.0 + depth.0, sum.1 + depth.1)
    });
    gauge(
        &mut text,
        "link_waiting",
        "Requests that wait for a peer.",
        waiting,
    );
    let help = "Requests sent to a peer and not answered.";
    gauge(&mut text, "link_unanswered", help, unanswered);
    let help = "Webhook events that the receiver does not have yet.";
    gauge(
        &mut text,
        "webhook_queued",
        help,
        dispatch.webhooks_queued(),
    );
    text
}

fn gauge(text: &mut String, name: &str, help: &str, value: usize) {
    sample(text, name, "gauge", help, value as u64);
}

fn sample(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "# HELP ringpost_{name} {help}\n# TYPE ringpost_{name} {kind}\nringpost_{name} {value}\n"
    );
}
