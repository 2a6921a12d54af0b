//! `GET /metrics`: what the node counts and has now.

use super::exposition::{Exposition, Kind};
use super::process;
use crate::core::view::{Member, MemberState};
use crate::dispatch::Dispatch;

/// All metrics, in the text exposition format 0.0.4.
pub(super) fn render(dispatch: &Dispatch) -> String {
    let mut text = Exposition::default();
    let version = ("version", env!("CARGO_PKG_VERSION"));
    text.info("ringpost_build_info", "The version that runs.", version);
    for (name, help, value) in dispatch.counters().all() {
        let name = format!("ringpost_{name}_total");
        text.single(Kind::Counter, &name, help, value);
    }
    durations(&mut text, dispatch);
    let mut gauge = |name: &str, help: &str, value: u64| {
        let name = format!("ringpost_{name}");
        text.single(Kind::Gauge, &name, help, value);
    };
    streams_and_sessions(&mut gauge, dispatch);
    cluster(&mut gauge, dispatch);
    process::render(&mut text, dispatch.started_unix_ms());
    text.finish()
}

fn durations(text: &mut Exposition, dispatch: &Dispatch) {
    let stats = dispatch.stats();
    let paths = [
        ("local", &stats.delivery.local),
        ("hop", &stats.delivery.hop),
        ("guest", &stats.delivery.guest),
    ];
    let help = "Time from taking a message until it stood in its recipients' queues (local), or until \
                the owner (hop) or the guest's node (guest) had said so.";
    text.histogram("ringpost_delivery_seconds", help, "path", &paths);
    let by_qos = [("0", &stats.receipt_qos0), ("1", &stats.receipt_qos1)];
    let help = "Time from taking a message to its receipt, be it good or bad; without messages to everyone, and \
                without those refused at once for their rate, their rights or their id.";
    text.histogram("ringpost_receipt_seconds", help, "qos", &by_qos);
    let help = "Time from sending a copy of messages to a holder to its acknowledgement.";
    let copies = [("", &stats.replication)];
    text.histogram("ringpost_replication_seconds", help, "", &copies);
}

fn streams_and_sessions(gauge: &mut impl FnMut(&str, &str, u64), dispatch: &Dispatch) {
    let (sessions, guests) = dispatch.counts();
    gauge("sessions", "Sessions on this node.", sessions as u64);
    let help = "Sessions elsewhere of users that this node owns.";
    gauge("guests", help, guests as u64);
    let (copies, owned, bytes) = dispatch.stream_counts();
    let help = "Streams of which this node has a copy.";
    gauge("streams_held", help, copies as u64);
    let help = "Streams that this node owns.";
    gauge("streams_owned", help, owned as u64);
    let help = "Bytes of kept messages on this node, copies included, as of seconds ago.";
    gauge("inbox_bytes", help, bytes as u64);
    let help = "Streams of this node with fewer copies than they should have, or being taken over.";
    gauge(
        "streams_under_replicated",
        help,
        dispatch.under_replicated(),
    );
    let help = "Messages of senders at this node that are to be kept and have no receipt yet.";
    gauge("messages_pending", help, dispatch.unresolved() as u64);
    let help = "Keys, secrets and certificates in use that are older than their files, which cannot be used.";
    gauge("key_files_unusable", help, dispatch.stale_keys());
    let help = "Webhook events that the receiver does not have yet.";
    gauge("webhook_queued", help, dispatch.webhooks_queued() as u64);
}

fn cluster(gauge: &mut impl FnMut(&str, &str, u64), dispatch: &Dispatch) {
    let help = "1 while load balancers should send clients here, as /readyz says, and else 0.";
    let ready = dispatch.why_not_ready().is_none();
    gauge("ready", help, ready.into());
    let topology = dispatch.topology();
    let members = |which: fn(&&Member) -> bool| {
        let members = topology.view.members.iter();
        members.filter(which).count() as u64
    };
    let help = "Members that are alive, this node included.";
    let alive = members(|member| member.state == MemberState::Alive);
    gauge("members_alive", help, alive);
    let help = "Members that did not answer and have a moment to deny that they are down.";
    let suspect = members(|member| member.state == MemberState::Suspect);
    gauge("members_suspect", help, suspect);
    let help = "Members that are on their way out, and own nothing any more.";
    let draining = members(|member| member.draining && member.state != MemberState::Down);
    gauge("members_draining", help, draining);
    let mut connected = 0;
    let (mut waiting, mut unanswered) = (0, 0);
    for link in topology.links() {
        connected += u64::from(link.is_connected());
        let depth = link.depth();
        waiting += depth.0 as u64;
        unanswered += depth.1 as u64;
    }
    gauge("links_connected", "Links to peers that are up.", connected);
    gauge("link_waiting", "Requests that wait for a peer.", waiting);
    let help = "Messages sent to a peer and not answered.";
    gauge("link_unanswered", help, unanswered);
}
