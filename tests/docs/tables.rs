//! Flags, defaults, codes and metrics that are named.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use ringpost::error::{CloseCode, ErrorCode, close_means_reconnect};

use super::book::{documents, read};
use super::support::Cluster;
use super::support::node::BINARY;

const COMMANDS: [&str; 9] = [
    "serve",
    "demo",
    "locate",
    "status",
    "send",
    "bench",
    "health",
    "completions",
    "man",
];

/// Flags of other programs that are named.
const FOREIGN: [&str; 19] = [
    "--release",
    "--bench",
    "--example",
    "--test",
    "--locked",
    "--lib",
    "--nocapture",
    "--checkJs",
    "--host",
    "--strict",
    "--root",
    "--path",
    "--no-deps",
    "--doc",
    "--bin",
    "--all-targets",
    "--proto",
    "--features",
    "--python",
];

fn help(command: &str) -> String {
    let output = Command::new(BINARY).args([command, "--help"]).output();
    String::from_utf8(output.expect("the program starts").stdout).expect("it is text")
}

/// The words in a text that begin with two dashes.
fn flags_in(text: &str) -> BTreeSet<String> {
    let of_flag = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let starts = text.match_indices("--").filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(|c| !of_flag(c) && c != '|' && c != ':')
    });
    let words = starts.map(|(at, _)| {
        let rest = &text[at..];
        rest[..rest.find(|c| !of_flag(c)).unwrap_or(rest.len())].to_owned()
    });
    words
        .filter(|word| word[2..].starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

/// The default of each flag of `serve`, as its help says it.
fn defaults() -> BTreeMap<String, String> {
    let (mut defaults, mut flag) = (BTreeMap::new(), String::new());
    // Sentences of the help may go over lines.
    let text = help("serve");
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word.starts_with("--")
            && words
                .peek()
                .is_some_and(|next| next.starts_with('<') || next.starts_with('['))
        {
            word.split('[')
                .next()
                .unwrap_or_default()
                .clone_into(&mut flag);
        } else if let Some(boolean) = word.strip_suffix("[=<BOOL>]") {
            boolean.clone_into(&mut flag);
        } else if word == "Default:" {
            let value = words
                .next()
                .unwrap_or_default()
                .trim_end_matches([',', '.']);
            defaults
                .entry(flag.clone())
                .or_insert_with(|| value.to_owned());
        }
    }
    defaults
}

/// The cells of all rows of a document's tables, without the backticks.
fn rows(document: &str) -> Vec<Vec<String>> {
    let text = read(document).text;
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let cells = |row: &str| {
        row.split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn every_flag_that_is_named_is_one() {
    let helps: String = COMMANDS.iter().map(|command| help(command)).collect();
    let known = flags_in(&helps);
    assert!(
        known.contains("--max-inbox-bytes") && known.contains("--window"),
        "{known:?}"
    );
    for document in documents() {
        for flag in flags_in(&document.text) {
            let known = known.contains(&flag) || FOREIGN.contains(&flag.as_str());
            assert!(known, "{}: {flag}", document.name);
        }
    }
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let defaults = defaults();
    assert!(defaults.len() > 70, "{defaults:?}");
    let rows = [rows("docs/configuration.md"), rows("docs/operations.md")].concat();
    for (flag, default) in &defaults {
        // Two flags may share a row, and then its defaults.
        let row = rows
            .iter()
            .find(|row| row[0].starts_with('`') && flags_in(&row[0]).contains(flag));
        let row = row.unwrap_or_else(|| panic!("no table has a row of {flag}"));
        let place = row[0]
            .split(',')
            .position(|cell| flags_in(cell).contains(flag));
        let shown: Vec<&str> = row[1].split(", ").collect();
        let shown = shown.get(place.unwrap_or(0)).unwrap_or(&shown[0]);
        let shown = shown.trim_matches('`');
        let same = shown == default
            || shown.starts_with(&format!("{default}:"))
            // What is no value is told in words.
            || !default.starts_with(|c: char| c.is_ascii_digit()) && !shown.starts_with(|c: char| c.is_ascii_digit());
        assert!(
            same,
            "{flag}: `{shown}` is documented, and it is `{default}`"
        );
    }
}

#[test]
fn the_error_codes_of_the_protocol_reference_are_those_of_the_code() {
    let retry =
        |row: &Vec<String>| Some((row[0].trim_matches('`').to_owned(), row.last()?.clone()));
    let documented: BTreeMap<_, _> = rows("docs/protocol.md").iter().filter_map(retry).collect();
    for code in ErrorCode::ALL {
        let shown = documented.get(code.as_str());
        assert_eq!(shown, Some(&code.retry().to_string()), "{code}");
    }
    let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let flags = ["true", "false"];
    for (code, _) in documented
        .iter()
        .filter(|(_, last)| flags.contains(&last.as_str()))
    {
        assert!(
            codes.contains(code.as_str()),
            "{code} is documented, and there is none"
        );
    }
}

#[test]
fn the_close_codes_of_the_protocol_reference_are_those_of_the_code() {
    let rows = rows("docs/protocol.md");
    let number = |row: &Vec<String>| {
        row[0]
            .split(' ')
            .next()
            .and_then(|cell| cell.parse::<u16>().ok())
    };
    let documented: BTreeMap<_, _> = rows
        .iter()
        .filter_map(|row| Some((number(row)?, row)))
        .collect();
    let codes: BTreeSet<u16> = CloseCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(documented.keys().copied().collect::<BTreeSet<_>>(), codes);
    for (code, row) in documented {
        let reconnect = !row.last().expect("a row has cells").starts_with("no");
        assert_eq!(reconnect, close_means_reconnect(code), "{code}");
    }
}

#[test]
fn every_metric_that_is_named_is_exported() {
    let cluster = Cluster::of(1, &[]);
    let metrics = cluster.nodes[0].get_admin("/metrics").text();
    let names: BTreeSet<&str> = metrics
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let mut count = 0;
    for document in documents() {
        let words = document
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("ringpost_") && !word.ends_with('_')) {
            assert!(names.contains(word), "{}: {word}", document.name);
            count += 1;
        }
    }
    assert!(count > 10, "the documents name hardly any");
}
