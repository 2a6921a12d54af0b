//! The dashboard and the alerts use only metrics that there are, and lead to what is to be done.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::scrape;
use crate::support::Cluster;

const DASHBOARD: &str = "contrib/grafana/ringpost.json";
const ALERTS: &str = "contrib/prometheus/alerts.yml";
const OPERATIONS: &str = "docs/operations.md";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).expect("it is JSON")
}

/// All queries of the dashboard.
fn queries(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => (fields.iter())
            .flat_map(|(key, value)| match (&**key, value) {
                ("expr" | "query" | "definition", Value::String(query)) => vec![&**query],
                _ => queries(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

/// The metrics that are named in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|w| w.starts_with("ringpost_") || w.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The alerts with all that belongs to them.
fn alerts() -> Vec<(String, String)> {
    let text = read(ALERTS);
    let mut alerts = text.split("- alert: ");
    alerts.next();
    alerts
        .map(|alert| {
            let (name, rest) = alert.split_once('\n').expect("more lines");
            (name.to_owned(), rest.to_owned())
        })
        .collect()
}

/// As GitHub makes an anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_metric_of_the_dashboard_and_of_the_alerts_exists() {
    let cluster = Cluster::of(1, &[]);
    let metrics = scrape(&cluster.nodes[0]);
    let names = metrics.names();
    let dashboard = dashboard();
    let shown = metrics_in(&queries(&dashboard).join("\n"));
    let alerted = metrics_in(&read(ALERTS));
    assert!(
        shown.len() > 50 && alerted.len() > 20,
        "they were not found"
    );
    for name in shown.union(&alerted) {
        assert!(names.contains(&**name), "{name} is not exported");
    }
}

#[test]
fn panels_of_the_dashboard_lie_side_by_side() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a number"));
        assert!(x + width <= 24, "{panel}");
        for column in x..x + width {
            for line in y..y + height {
                assert!(places.insert((column, line)), "{panel}");
            }
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_help_is() {
    let alerts = alerts();
    assert!(alerts.len() > 20);
    for (name, alert) in &alerts {
        let runbook = format!(
            "runbook_url: docs/operations.md#alert-{}\n",
            name.to_lowercase()
        );
        for needed in ["expr: ", "summary: \"", "description: \"", &*runbook] {
            assert!(alert.contains(needed), "{name}: {needed}");
        }
        let severities = ["critical", "warning", "info"].map(|s| format!("severity: {s}\n"));
        assert!(severities.iter().any(|s| alert.contains(s)), "{name}");
    }
}

#[test]
fn the_operations_manual_knows_every_alert() {
    if !Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(OPERATIONS)
        .exists()
    {
        return;
    }
    let text = read(OPERATIONS);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    for (name, _) in alerts() {
        let wanted = format!("alert-{}", name.to_lowercase());
        assert!(anchors.contains(&wanted), "no heading \"Alert: {name}\"");
    }
}
