//! The report of connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{LATENCY_HEADINGS, latency_row, listed, per_second};
use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::connects::Outcome;
use crate::cli::bench::stats::Percentiles;
use crate::cli::table::table;

/// Figures of the modes `idle` and `storm`.
#[derive(Debug, Serialize)]
pub struct ConnectsReport {
    mode: &'static str,
    seed: u32,
    connections: u32,
    interrupted: bool,
    tried: u64,
    opened: u64,
    failed: u64,
    failures: BTreeMap<String, u64>,
    redirects: u64,
    /// From the first handshake to the end of the last.
    opening_seconds: f64,
    opened_per_s: f64,
    moves: u64,
    ended: BTreeMap<String, u64>,
    /// Open at the end.
    held: u64,
    handshake_us: Percentiles,
    #[serde(skip)]
    why: Option<String>,
}

impl ConnectsReport {
    pub fn new(args: &BenchArgs, seed: u32, outcome: &Outcome) -> Self {
        let Outcome {
            counts, opening, ..
        } = outcome;
        Self {
            mode: args.mode.as_str(),
            seed,
            connections: args.connections,
            interrupted: outcome.interrupted,
            tried: counts.tried,
            opened: counts.opened,
            failed: counts.failures.values().sum(),
            failures: counts.failures.clone(),
            redirects: counts.redirects,
            opening_seconds: opening.as_secs_f64(),
            opened_per_s: per_second(counts.opened, *opening),
            moves: counts.moves,
            ended: counts.ended.clone(),
            held: outcome.held,
            handshake_us: counts.handshake.percentiles(),
            why: counts.why.clone(),
        }
    }

    /// Whether anything worked; the error is one sentence.
    pub fn verdict(&self) -> Result<(), String> {
        if self.opened > 0 {
            return Ok(());
        }
        let why = self.why.as_ref().map(|why| format!(": {why}"));
        Err(format!(
            "no connection could be opened{}",
            why.unwrap_or_default()
        ))
    }

    pub fn table(&self) -> String {
        let interrupted = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        let mut text = format!(
            "{}: {} connections, seed {}{interrupted}\n\n",
            self.mode, self.connections, self.seed
        );
        let failures = listed("  ", &self.failures, "");
        let ended = listed("  ", &self.ended, "");
        let lines = [
            ("tried", self.tried, String::new()),
            (
                "opened",
                self.opened,
                format!(
                    "  in {:.2} s, {:.0} a second",
                    self.opening_seconds, self.opened_per_s
                ),
            ),
            ("redirects", self.redirects, String::new()),
            ("failed", self.failed, failures),
            ("moves", self.moves, String::new()),
            ("ended early", self.ended.values().sum(), ended),
            ("held to the end", self.held, String::new()),
        ];
        for (name, number, more) in lines {
            let _ = writeln!(text, "{name:<15}  {number}{more}");
        }
        text.push('\n');
        let rows = [latency_row("connect to welcome", &self.handshake_us)];
        text.push_str(&table(LATENCY_HEADINGS, &rows));
        text
    }
}
