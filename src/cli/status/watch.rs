//! `ringpost status --watch`: the numbers of all nodes, every second, with rates between them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};

use super::super::Outcome;
use super::super::args::StatusArgs;
use super::super::output::{print, printable};
use super::super::table::table;
use super::ask;

const EVERY: Duration = Duration::from_secs(1);
/// Answers in a row that may be missing; then the node is gone.
const MISSES_MAX: u32 = 10;
/// Hides the cursor.
const BEGIN: &str = "\x1b[?25l";
/// To the top left, and everything from there on away.
const CLEAR: &str = "\x1b[H\x1b[2J";
/// Shows the cursor again.
const END: &str = "\x1b[?25h";

#[derive(Deserialize)]
struct Snapshot {
    node: String,
    digest: String,
    /// Upper bounds of the buckets but the last.
    bucket_bounds_s: Vec<f64>,
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    generation: u64,
    state: String,
    draining: bool,
    share: f64,
    under_replicated: u64,
    stale: bool,
    stats: Option<Stats>,
}

#[derive(Clone, Deserialize)]
struct Stats {
    uptime_ms: u64,
    sessions: u64,
    guests: u64,
    streams_owned: u64,
    messages_in: u64,
    messages_out: u64,
    messages_forwarded: u64,
    link_waiting: u64,
    lanes_waiting: u64,
    webhooks_queued: u64,
    delivery_buckets: Vec<u64>,
}

/// The numbers of the second before, by node and generation.
type Before = HashMap<(String, u64), Stats>;

/// The terminal, without its cursor for as long as this lives.
struct Screen;

impl Screen {
    /// `None` where nobody looks.
    fn take() -> Option<Self> {
        io::stdout().is_terminal().then(|| {
            put(BEGIN);
            Self
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        put(END);
    }
}

fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Asks and prints until Ctrl-C.
pub async fn run(args: &StatusArgs) -> Outcome {
    let screen = Screen::take().filter(|_| !args.json);
    let shown = async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut misses, mut last) = (Before::new(), 0, String::new());
        let mut answered_once = false;
        loop {
            ticks.tick().await;
            let answered = ask(args, "/v1/cluster/stats").await;
            let text = match answered {
                Ok(body) if args.json => {
                    (misses, answered_once) = (0, true);
                    String::from_utf8_lossy(&body).into_owned()
                }
                Ok(body) => {
                    let snapshot: Snapshot = serde_json::from_slice(&body).map_err(|error| {
                        format!("the answer of {} is not understood: {error}", args.node)
                    })?;
                    (misses, answered_once) = (0, true);
                    last = shown(&snapshot, &before);
                    before = remembered(snapshot);
                    last.clone()
                }
                // One that never answered is the wrong one.
                Err(sentence) if !answered_once || misses >= MISSES_MAX => return Err(sentence),
                Err(sentence) if args.json => {
                    misses += 1;
                    eprintln!("{}", printable(&sentence));
                    continue;
                }
                Err(sentence) => {
                    misses += 1;
                    format!("{last}{}\n", printable(&sentence))
                }
            };
            match screen {
                Some(_) => put(&format!("{CLEAR}{text}")),
                None => print(&text),
            }
        }
    };
    tokio::select! {
        outcome = shown => outcome,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

fn remembered(snapshot: Snapshot) -> Before {
    let members = snapshot.members.into_iter();
    members
        .filter_map(|member| Some(((member.id, member.generation), member.stats?)))
        .collect()
}

fn shown(snapshot: &Snapshot, before: &Before) -> String {
    let rows: Vec<_> = snapshot
        .members
        .iter()
        .map(|member| {
            let before = before.get(&(member.id.clone(), member.generation));
            row(member, before, &snapshot.bucket_bounds_s)
        })
        .collect();
    let headings = [
        "ID", "STATE", "SHARE", "SESSIONS", "GUESTS", "STREAMS", "TO COPY", "IN/S", "OUT/S",
        "HOPS/S", "QUEUED", "P99",
    ];
    let sum = |of: fn(&Stats) -> u64| -> u64 {
        let stats = snapshot.members.iter().filter_map(|m| m.stats.as_ref());
        stats.map(of).sum()
    };
    let mut text = table(headings, &rows);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\nseen by   {}\ndigest    {}\nsessions  {}",
        printable(&snapshot.node),
        printable(&snapshot.digest),
        sum(|stats| stats.sessions),
    );
    text
}

fn row(member: &Member, before: Option<&Stats>, bounds: &[f64]) -> [String; 12] {
    let stats = member.stats.as_ref();
    let number = |of: fn(&Stats) -> u64| stats.map_or("-".to_owned(), |s| of(s).to_string());
    let rate = |of: fn(&Stats) -> u64| match (stats, before) {
        (Some(now), Some(before)) if !member.stale && now.uptime_ms > before.uptime_ms => {
            let more = of(now).saturating_sub(of(before));
            let ms = now.uptime_ms - before.uptime_ms;
            (more * 1000 / ms).to_string()
        }
        _ => "-".to_owned(),
    };
    let condition = match (member.state.as_str(), member.draining) {
        ("alive", true) => "draining",
        (word, _) => word,
    };
    [
        member.id.clone(),
        format!(
            "{condition}{}",
            if member.stale { ", no numbers" } else { "" }
        ),
        format!("{:.1}%", member.share * 100.0),
        number(|s| s.sessions),
        number(|s| s.guests),
        number(|s| s.streams_owned),
        member.under_replicated.to_string(),
        rate(|s| s.messages_in),
        rate(|s| s.messages_out),
        rate(|s| s.messages_forwarded),
        // What a peer has not answered waits in a lane, here or there, if it is kept.
        number(|s| s.link_waiting + s.lanes_waiting + s.webhooks_queued),
        p99(stats, before, bounds).unwrap_or_else(|| "-".to_owned()),
    ]
}

/// The bound below which 99 of 100 deliveries of the last second were.
fn p99(now: Option<&Stats>, before: Option<&Stats>, bounds: &[f64]) -> Option<String> {
    let (now, before) = (now?, before?);
    let counts = now.delivery_buckets.iter().zip(&before.delivery_buckets);
    let counts: Vec<u64> = counts.map(|(now, was)| now.saturating_sub(*was)).collect();
    let all: u64 = counts.iter().sum();
    let wanted = (all * 99).div_ceil(100).max(1);
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    })?;
    Some(match bounds.get(found) {
        Some(bound) if *bound < 1.0 => format!("{:.3}ms", bound * 1000.0),
        Some(bound) => format!("{bound}s"),
        None => "more".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(uptime_ms: u64, messages_in: u64, buckets: [u64; 3]) -> Snapshot {
        let stats = serde_json::json!({
            "uptime_ms": uptime_ms, "sessions": 7, "guests": 1, "streams_owned": 3,
            "messages_in": messages_in, "messages_out": 0, "messages_forwarded": 0,
            "link_waiting": 1, "link_unanswered": 2, "lanes_waiting": 4, "webhooks_queued": 8,
            "delivery_buckets": buckets,
        });
        let member = |id, state, stale, stats| {
            serde_json::json!({
                "id": id, "generation": 5, "state": state, "draining": false, "share": 0.5,
                "under_replicated": 0, "stale": stale, "stats": stats,
            })
        };
        serde_json::from_value(serde_json::json!({
            "node": "n1", "digest": "00ab", "bucket_bounds_s": [0.0005, 2.5], "members": [
                member("n1", "alive", false, stats),
                member("n2", "suspect", true, serde_json::Value::Null),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn rates_are_differences_and_a_node_without_numbers_has_none() {
        let first = snapshot(1000, 40, [5, 0, 0]);
        let text = shown(&first, &Before::new());
        let cells = |line: usize, text: &str| -> Vec<String> {
            let line = text.lines().nth(line).unwrap();
            let cells = line.split("  ").map(str::trim);
            cells.filter(|c| !c.is_empty()).map(str::to_owned).collect()
        };
        let n1 = |inn, p99| {
            let cells = [
                "n1", "alive", "50.0%", "7", "1", "3", "0", inn, inn, inn, "13", p99,
            ];
            cells.map(str::to_owned).to_vec()
        };
        assert_eq!(cells(1, &text), n1("-", "-"));
        let text = shown(&snapshot(3000, 40, [5, 0, 0]), &remembered(first));
        assert_eq!(cells(1, &text), n1("0", "-"), "nothing was delivered");
        let first = remembered(snapshot(1000, 40, [5, 0, 0]));
        let second = shown(&snapshot(3000, 100, [103, 2, 0]), &first);
        let row = cells(1, &second);
        assert_eq!((row[7].as_str(), row[11].as_str()), ("30", "2.5s"));
        assert_eq!(cells(2, &second)[..2], ["n2", "suspect, no numbers"]);
    }
}
