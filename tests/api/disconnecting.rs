//! Backends that end the sessions of a user.

use serde_json::json;

use crate::support::{Cluster, PATIENCE, Signal, wait_until};
use crate::{call, look_up, session_at};

#[test]
fn all_sessions_of_a_user_are_closed_with_4510_wherever_they_are() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut carol = session_at(&cluster, 1, &cluster.user_of(1, "carol")).0;
    let target = format!("/v1/users/{bob}/sessions");
    for node in &cluster.nodes {
        let sessions = [0, 1, 1, 2].map(|index| session_at(&cluster, index, &bob).0);
        let response = call(node, "DELETE", &target, "");
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json(), json!({"user": bob, "closed": 4}));
        for mut session in sessions {
            assert_eq!(session.read_to_close(PATIENCE).1, Some(4510));
        }
        wait_until(PATIENCE, "bob is offline", || {
            look_up(node, &bob)["online"] == false
        });
        let again = call(node, "DELETE", &target, "").json();
        assert_eq!(again, json!({"user": bob, "closed": 0}));
    }
    carol.assert_quiet_and_alive();
    // It keeps nobody out.
    session_at(&cluster, 0, &bob).0.assert_quiet_and_alive();
}

#[test]
fn a_dead_node_keeps_nobody_from_being_disconnected() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut guest = session_at(&cluster, 0, &bob).0;
    let _home = session_at(&cluster, 1, &bob);
    cluster.nodes[1].signal(Signal::Kill);
    // Nobody knows that yet; its sessions ended with it.
    let target = format!("/v1/users/{bob}/sessions");
    let response = call(&cluster.nodes[2], "DELETE", &target, "");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.json(), json!({"user": bob, "closed": 1}));
    assert_eq!(guest.read_to_close(PATIENCE).1, Some(4510));
}

#[test]
fn a_node_that_does_not_answer_is_said_with_504() {
    // Nor is it taken for dead meanwhile.
    let patient = ["--request-timeout", "500ms", "--suspicion-timeout", "20s"];
    let mut cluster = Cluster::of(2, &patient);
    let mut session = session_at(&cluster, 0, "bob").0;
    cluster.nodes[1].signal(Signal::Stop);
    let response = call(&cluster.nodes[0], "DELETE", "/v1/users/bob/sessions", "");
    cluster.nodes[1].signal(Signal::Continue);
    assert_eq!(response.status, 504, "{response:?}");
    assert_eq!(response.json()["error"]["code"], "unknown");
    assert_eq!(session.read_to_close(PATIENCE).1, Some(4510));
}
