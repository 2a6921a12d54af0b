//! The dashboard and the alerts use only metrics that there are, and lead to what is to be done.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::scrape;
use crate::support::{Cluster, skipped};

const DASHBOARD: &str = "contrib/grafana/ringpost.json";
const ALERTS: &str = "contrib/prometheus/alerts.yml";
const ALERTS_TEST: &str = "contrib/prometheus/alerts_test.yml";
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

/// The alerts, read as YAML.
fn alerts() -> Vec<Alert> {
    let rules: Rules =
        serde_yaml_ng::from_str(&read(ALERTS)).expect("it is YAML, with these fields");
    let groups = rules.groups.into_iter();
    groups.flat_map(|group| group.rules).collect()
}

/// Rules of Prometheus: only what it knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[allow(dead_code)]
    name: String,
    rules: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    #[serde(rename = "alert")]
    name: String,
    expr: String,
    #[serde(rename = "for")]
    wait: Option<String>,
    labels: Severity,
    annotations: Annotations,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Severity {
    severity: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
}

/// Whether every bracket is closed by its own kind.
fn is_balanced(expr: &str) -> bool {
    let mut open = Vec::new();
    let mut closes = expr.chars().map(|c| match c {
        '(' | '[' | '{' => {
            open.push(c);
            true
        }
        ')' => open.pop() == Some('('),
        ']' => open.pop() == Some('['),
        '}' => open.pop() == Some('{'),
        _ => true,
    });
    closes.all(|closes| closes) && open.is_empty()
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
fn every_alert_says_when_how_bad_it_is_and_where_help_is() {
    let alerts = alerts();
    assert!(alerts.len() > 20);
    let names: BTreeSet<&str> = alerts.iter().map(|alert| &*alert.name).collect();
    assert_eq!(names.len(), alerts.len(), "each name once");
    for alert in &alerts {
        assert!(alert.name.starts_with("Ringpost"), "{alert:?}");
        // Prometheus' own, of a node that says nothing.
        let of_prometheus = alert.expr.starts_with("up{");
        let ours = metrics_in(&alert.expr);
        assert!(of_prometheus || !ours.is_empty(), "{alert:?}");
        assert!(is_balanced(&alert.expr), "{alert:?}");
        let is_time = |text: &str| {
            let number = text.strip_suffix(['s', 'm', 'h']);
            number.is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0))
        };
        assert!(alert.wait.as_deref().is_none_or(is_time), "{alert:?}");
        let severity = &*alert.labels.severity;
        assert!(
            matches!(severity, "critical" | "warning" | "info"),
            "{alert:?}"
        );
        let Annotations {
            summary,
            description,
            runbook_url,
        } = &alert.annotations;
        assert!(
            !summary.is_empty() && description.ends_with('.'),
            "{alert:?}"
        );
        assert!(is_balanced(summary), "{alert:?}");
        let anchor = format!("{OPERATIONS}#alert-{}", alert.name.to_lowercase());
        assert_eq!(*runbook_url, anchor);
    }
}

/// The tool that Prometheus comes with; `RINGPOST_PROMTOOL` says where it is, if not in the path.
fn promtool(arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = std::env::var("RINGPOST_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let mut tool = Command::new(tool);
    match tool.args(arguments).current_dir(folder).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => skipped(&format!("promtool cannot be run ({error})")),
    }
}

#[test]
fn prometheus_takes_the_alerts() {
    promtool(&["check", "rules", ALERTS]);
}

#[test]
fn alerts_fire_when_they_should_and_not_before() {
    promtool(&["test", "rules", ALERTS_TEST]);
}

#[test]
fn tests_of_alerts_expect_what_the_alerts_say() {
    let tests: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&read(ALERTS_TEST)).expect("it is YAML");
    let tests = tests["tests"].as_sequence().expect("a list");
    let cases = tests
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_sequence().expect("a list"));
    let alerts = alerts();
    for case in cases {
        let name = case["alertname"].as_str().expect("a name");
        let alert = alerts.iter().find(|alert| alert.name == name);
        let alert = alert.unwrap_or_else(|| panic!("there is no {name}"));
        for fired in case["exp_alerts"].as_sequence().into_iter().flatten() {
            let severity = fired["exp_labels"]["severity"].as_str();
            assert_eq!(severity, Some(&*alert.labels.severity), "{name}");
        }
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
    for alert in alerts() {
        let name = alert.name;
        let wanted = format!("alert-{}", name.to_lowercase());
        assert!(anchors.contains(&wanted), "no heading \"Alert: {name}\"");
    }
}
