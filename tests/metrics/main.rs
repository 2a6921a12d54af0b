//! What Prometheus reads at `/metrics`, on clusters of real processes, and what is made of it: the
//! dashboard and the alerts in `contrib`.

mod contrib;
mod exposition;
mod messages;
#[path = "../support/mod.rs"]
mod support;

use exposition::Exposition;
use support::{Cluster, Node};

/// What a node says of itself now.
#[track_caller]
fn scrape(node: &Node) -> Exposition {
    let response = node.get_admin("/metrics");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::parse(&response.text())
}

#[test]
fn names_types_and_help_follow_the_conventions_of_prometheus() {
    let cluster = Cluster::of(1, &[]);
    let metrics = scrape(&cluster.nodes[0]);
    assert!(metrics.families.len() > 70, "{:?}", metrics.families);
    for (name, family) in &metrics.families {
        let lower = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(lower), "{name}");
        let prefixed = name.starts_with("ringpost_") || name.starts_with("process_");
        assert!(prefixed, "{name}");
        let is_total = name.ends_with("_total");
        assert_eq!(is_total, family.kind == "counter", "{name}");
        let in_seconds = name.ends_with("_seconds");
        assert!(family.kind != "histogram" || in_seconds, "{name}");
        let sentence = family.help.len() > 10 && family.help.ends_with('.');
        assert!(sentence, "{name}: {}", family.help);
        for unit in ["_ms", "_milliseconds", "_kib", "_kb", "_percent"] {
            assert!(!name.ends_with(unit), "{name} is in no base unit");
        }
    }
}

#[test]
fn the_process_is_told_of_as_by_clients_of_prometheus() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let metrics = scrape(node);
    let version = metrics.labelled(
        "ringpost_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
    );
    assert!(is(version, 1));
    if cfg!(target_os = "linux") {
        let value = |name: &str| metrics.value(&format!("process_{name}"));
        #[allow(clippy::cast_precision_loss)]
        let resident = (node.resident_kib() * 1024) as f64;
        let told = value("resident_memory_bytes");
        assert!((told / resident - 1.0).abs() < 0.5, "{told} {resident}");
        assert!(value("virtual_memory_bytes") >= told);
        let open = value("open_fds");
        assert!((10.0..value("max_fds")).contains(&open), "{open}");
        assert!(value("cpu_seconds_total") < 60.0);
        let now = std::time::UNIX_EPOCH.elapsed().expect("later");
        let age = now.as_secs_f64() - value("start_time_seconds");
        assert!((-2.0..600.0).contains(&age), "{age}");
    }
}

/// Whether a value is that number.
fn is(value: f64, number: u32) -> bool {
    (value - f64::from(number)).abs() < 1e-9
}
