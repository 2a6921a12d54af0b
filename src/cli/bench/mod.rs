//! `ringpost bench`: a load test of a running cluster.
//!
//! Pure: what a session does (`sender`, `receiver`, `member`), when it sends (`pace`), what came of it
//! (`ledger`, `stats`), the bytes (`frames`, `fields`, `messages`, `template`). Around it: `handshake`
//! opens a `connection`, `session` drives a role over as many as it takes, `load` (whose users
//! are a `cast`) and `connects` are the modes.

mod args;
mod cast;
mod connection;
mod connects;
mod fields;
mod frames;
mod handshake;
mod interrupts;
mod ledger;
mod load;
mod member;
mod messages;
mod pace;
mod pacer;
mod progress;
mod receiver;
mod report;
mod role;
mod sender;
mod session;
mod stats;
mod template;
mod timeline;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

pub use args::BenchArgs;
use args::Mode;
use handshake::Route;
use interrupts::Interrupts;
use progress::Progress;
use report::{ConnectsReport, LoadReport};

use super::Outcome;
use super::output::{complain, print};

/// Files of the process beside its connections. A guess.
const FILES_BESIDE: u32 = 50;

/// Runs a load test and prints its report.
pub async fn run(args: BenchArgs) -> Outcome {
    if let Err(sentence) = args.check() {
        complain(&sentence);
        return Ok(ExitCode::from(2));
    }
    let connections = args.connections();
    if let Some(files) = open_files_max().filter(|files| *files < connections + FILES_BESIDE) {
        complain(&format!(
            "{connections} connections need as many open files, and {files} are allowed; ulimit \
             -n raises it"
        ));
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let route = Arc::new(Route {
        nodes: match &args.ca {
            Some(roots) => (args.node.iter().cloned())
                .map(|node| node.trusting(roots))
                .collect(),
            None => args.node.clone(),
        },
        timeout: args.connect_timeout.0,
        anywhere: args.yes,
    });
    let interrupts = Interrupts::listen();
    let mut progress = Progress::new(args.progress, args.no_progress);
    let (text, json, verdict) = match args.mode {
        Mode::Closed | Mode::Open => {
            let outcome = load::run(&args, seed, route, &interrupts, &mut progress).await?;
            let report = LoadReport::new(&args, seed, &outcome);
            (
                report.table(),
                serde_json::to_string(&report),
                report.verdict(),
            )
        }
        Mode::Idle | Mode::Storm => {
            let outcome = connects::run(&args, seed, route, &interrupts, &mut progress).await;
            let report = ConnectsReport::new(&args, seed, &outcome);
            (
                report.table(),
                serde_json::to_string(&report),
                report.verdict(),
            )
        }
    };
    if args.json {
        print(&json.map_err(|error| error.to_string())?);
    } else {
        print(&text);
    }
    verdict.map(|()| ExitCode::SUCCESS)
}

/// How many files this process may have open, where that can be read.
fn open_files_max() -> Option<u32> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
