//! The description in `api/openapi.json` and the server say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Cluster, Response};
use crate::{call, message};

/// Without HEAD, whose answers have a length and no body.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

fn description() -> Value {
    serde_json::from_str(include_str!("../../api/openapi.json")).expect("it is JSON")
}

/// Each path with its methods, in capitals; HEAD comes with GET.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let description = description();
    let paths = description["paths"].as_object().expect("paths");
    let methods = |path: &Value| {
        let path = path.as_object().expect("methods");
        let mut methods: BTreeSet<_> = path.keys().map(|m| m.to_uppercase()).collect();
        methods.remove("PARAMETERS");
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        methods
    };
    let each = paths
        .iter()
        .map(|(name, path)| (name.clone(), methods(path)));
    each.collect()
}

/// Follows a `$ref` into the same document.
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        None => value,
        Some(at) => {
            let pointer = at.strip_prefix('#').expect("of the same document");
            let found = root.pointer(pointer);
            resolve(root, found.unwrap_or_else(|| panic!("{at} is not there")))
        }
    }
}

/// The parts of JSON Schema that the description uses.
fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(root, schema);
    if let Some(any) = schema["oneOf"].as_array() {
        let tried: Vec<_> = any.iter().map(|one| fits(root, one, value)).collect();
        let fitting = tried.iter().filter(|tried| tried.is_ok()).count();
        return (fitting == 1)
            .then_some(())
            .ok_or_else(|| format!("{fitting} of oneOf fit {value}: {tried:?}"));
    }
    let right = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("the type {other}"),
        None => true,
    };
    if !right {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        return Err(format!("{value} is not {constant}"));
    }
    if let Some(values) = schema["enum"].as_array().filter(|v| !v.contains(value)) {
        return Err(format!("{value} is none of {values:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if value.get(name).is_none() {
            return Err(format!("{name} is missing in {value}"));
        }
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => fits(root, schema, part)?,
            // What the server says is described, every field of it.
            None if schema["type"] == "object" => return Err(format!("{name} is not described")),
            None => {}
        }
    }
    for part in value.as_array().into_iter().flatten() {
        fits(root, &schema["items"], part)?;
    }
    Ok(())
}

/// Asserts that this answer is one that the description gives for the call.
#[track_caller]
fn assert_described(root: &Value, path: &str, method: &str, response: &Response) {
    let operation = &root["paths"][path][method.to_lowercase()];
    let status = response.status.to_string();
    let described = resolve(root, &operation["responses"][&status]);
    assert!(
        described.is_object(),
        "{method} {path}: {status} is not described"
    );
    let content = &described["content"]["application/json"]["schema"];
    if !content.is_null() {
        let fits = fits(root, content, &response.json());
        assert_eq!(fits, Ok(()), "{method} {path} {status}");
    }
}

#[test]
fn the_server_takes_what_is_described_and_nothing_else() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let documented = documented();
    for (path, methods) in &documented {
        let target = path.replace("{user}", "bob").replace("{room}", "lobby");
        assert!(!target.contains('{'), "an unknown parameter in {path}");
        for method in METHODS {
            let response = call(node, method, &target, "");
            if methods.contains(method) {
                assert!(![404, 405].contains(&response.status), "{method} {path}");
                assert_described(&description(), path, method, &response);
            } else {
                assert_eq!(response.status, 405, "{method} {path}");
                let allow = response.header("allow").expect("an Allow");
                let allow: BTreeSet<_> = allow.split(", ").map(str::to_owned).collect();
                assert_eq!(&allow, methods, "{path}");
            }
        }
    }
    // Whoever asks for something else is told all that there is.
    let answer = call(node, "GET", "/nothing", "").json();
    let text = answer["error"]["message"].as_str().expect("a sentence");
    let told = text.split([' ', ',']).filter(|word| word.starts_with('/'));
    let told: BTreeSet<_> = told.map(str::to_owned).collect();
    assert_eq!(told, documented.into_keys().collect());
}

#[test]
fn answers_are_as_they_are_described() {
    let cluster = Cluster::of(2, &["--max-inbox-messages", "1"]);
    let node = &cluster.nodes[0];
    let root = description();
    let bob = cluster.user_of(1, "bob");
    let _session = crate::session_at(&cluster, 0, &bob);
    let kept = message("shop", &bob, "o1", &json!(1));
    let with = |field: &str, value: Value| {
        let mut message = kept.clone();
        message[field] = value;
        message
    };
    let mut statuses = BTreeSet::new();
    for body in [
        kept.clone(),
        kept.clone(),
        with("id", json!("o2")),
        with("to", json!({"user": "carol"})),
        json!({"from": "shop", "to": "everyone", "id": "o3", "body": 1}),
        json!({"from": "shop", "to": {"room": "lobby"}, "id": "o4", "body": 1}),
        with("qos", json!(0)),
        with("id", json!(7)),
        json!([kept, {}, with("qos", json!(0))]),
        json!(7),
    ] {
        if body.is_object() {
            let request = &root["paths"]["/v1/send"]["post"]["requestBody"];
            let schema = &request["content"]["application/json"]["schema"];
            let fitting = fits(&root, schema, &body).is_ok();
            assert_eq!(fitting, body["id"].is_string(), "{body}");
        }
        let response = call(node, "POST", "/v1/send", &body.to_string());
        assert_described(&root, "/v1/send", "POST", &response);
        statuses.insert(response.status);
    }
    assert_eq!(statuses, [200, 400, 409, 507].into());
    for (method, path, target) in [
        ("GET", "/v1/users/{user}", format!("/v1/users/{bob}")),
        ("GET", "/v1/users/{user}", "/v1/users/%ff".to_owned()),
        (
            "GET",
            "/v1/rooms/{room}",
            "/v1/rooms/lobby?limit=1".to_owned(),
        ),
        (
            "GET",
            "/v1/rooms/{room}",
            "/v1/rooms/lobby?limit=0".to_owned(),
        ),
        (
            "DELETE",
            "/v1/users/{user}/sessions",
            format!("/v1/users/{bob}/sessions"),
        ),
        ("GET", "/v1/cluster", "/v1/cluster".to_owned()),
        ("GET", "/v1/cluster/stats", "/v1/cluster/stats".to_owned()),
    ] {
        let response = call(node, method, &target, "");
        assert_described(&root, path, method, &response);
    }
}

#[test]
fn every_error_code_is_described_with_its_status() {
    let root = description();
    let codes = root["components"]["schemas"]["Error"]["properties"]["code"]["enum"].clone();
    let told: BTreeSet<_> = (codes.as_array().expect("codes").iter())
        .map(|code| code.as_str().expect("a string").to_owned())
        .collect();
    let all = [
        "bad_request",
        "id_reused",
        "inbox_full",
        "not_allowed",
        "offline",
        "rate_limited",
        "too_large",
        "unknown",
        "unreachable",
        "unsupported",
    ];
    assert_eq!(told, all.map(str::to_owned).into());
    let responses = root["paths"]["/v1/send"]["post"]["responses"].as_object();
    let statuses: BTreeSet<_> = responses.expect("responses").keys().cloned().collect();
    for status in [400, 403, 404, 409, 413, 429, 503, 504, 507] {
        assert!(statuses.contains(&status.to_string()), "{status}");
    }
}
