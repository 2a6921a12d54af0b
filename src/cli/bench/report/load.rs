//! The report of messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{LATENCY_HEADINGS, latency_row, listed, per_second};
use crate::cli::bench::args::{BenchArgs, Mode};
use crate::cli::bench::load::Outcome;
use crate::cli::bench::stats::{Count, Percentiles};
use crate::cli::table::table;

/// Figures of the modes `closed` and `open`.
#[derive(Debug, Serialize)]
pub struct LoadReport {
    mode: &'static str,
    seed: u32,
    qos: u8,
    senders: u32,
    receivers: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    everyone: bool,
    size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    interrupted: bool,
    measured: Measured,
    total: Total,
    failures: BTreeMap<String, u64>,
    connections: Connections,
    latency_us: Latency,
}

/// After the warm-up and before the last send.
#[derive(Debug, Serialize)]
struct Measured {
    seconds: f64,
    sent: u64,
    accepted: u64,
    delivered: u64,
    sent_per_s: f64,
    accepted_per_s: f64,
    delivered_per_s: f64,
}

/// Of the whole test, warm-up and grace included: `sent` is the sum of `accepted`, `failed` and
/// `unanswered`. A message to a room or to everyone is `delivered`, or `lost`, once for each
/// receiver.
#[derive(Debug, Serialize)]
struct Total {
    sent: u64,
    accepted: u64,
    failed: u64,
    unanswered: u64,
    delivered: u64,
    lost: u64,
    repeated: u64,
    redelivered: u64,
    out_of_order: u64,
    foreign: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Connections {
    opened: usize,
    redirects: u64,
    moves: u64,
    reconnects: u64,
    failures: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Latency {
    receipt: Percentiles,
    delivery: Percentiles,
    /// From when a message was to be sent to when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    send_lag: Option<Percentiles>,
}

impl LoadReport {
    pub fn new(args: &BenchArgs, seed: u32, outcome: &Outcome) -> Self {
        let Outcome {
            stats,
            findings,
            measured,
            ..
        } = outcome;
        let open = args.mode == Mode::Open;
        let of = |count: &Count| (count.measured, per_second(count.measured, *measured));
        let (sent, sent_per_s) = of(&stats.sent);
        let (accepted, accepted_per_s) = of(&stats.accepted);
        let (delivered, delivered_per_s) = of(&stats.delivered);
        Self {
            mode: args.mode.as_str(),
            seed,
            qos: args.qos,
            senders: args.senders,
            receivers: args.receivers,
            rooms: args.rooms,
            everyone: args.everyone,
            size: args.size,
            window: (!open).then_some(args.window),
            rate: open.then_some(args.rate),
            interrupted: outcome.interrupted,
            measured: Measured {
                seconds: measured.as_secs_f64(),
                sent,
                accepted,
                delivered,
                sent_per_s,
                accepted_per_s,
                delivered_per_s,
            },
            total: Total {
                sent: stats.sent.total,
                accepted: stats.accepted.total,
                failed: stats.failed(),
                unanswered: outcome.unanswered,
                delivered: stats.delivered.total,
                lost: findings.lost,
                repeated: findings.repeated,
                redelivered: findings.redelivered,
                out_of_order: findings.out_of_order,
                foreign: stats.foreign,
                not_sent: open.then_some(outcome.not_sent),
            },
            failures: stats.failures.clone(),
            connections: Connections {
                opened: outcome.opened,
                redirects: stats.handshake_redirects,
                moves: stats.moves,
                reconnects: stats.reconnects,
                failures: stats.connection_failures.clone(),
            },
            latency_us: Latency {
                receipt: stats.receipt.percentiles(),
                delivery: stats.delivery.percentiles(),
                send_lag: open.then(|| stats.lag.percentiles()),
            },
        }
    }

    /// Whether the cluster did what it promises; the error is one sentence.
    pub fn verdict(&self) -> Result<(), String> {
        let Total {
            accepted,
            delivered,
            lost,
            repeated,
            out_of_order,
            ..
        } = self.total;
        if accepted == 0 {
            return Err(format!(
                "no message was accepted{}",
                listed(" (", &self.failures, ")")
            ));
        }
        if delivered == 0 {
            return Err("no message was delivered".to_owned());
        }
        if self.measured.accepted == 0 && !self.interrupted {
            return Err(format!(
                "no message was accepted after the warm-up{}",
                listed(" (", &self.failures, ")")
            ));
        }
        if lost + repeated + out_of_order > 0 {
            let messages = match self.rooms {
                None if !self.everyone => "messages",
                Some(_) | None => "deliveries",
            };
            return Err(format!(
                "{lost} {messages} were lost, {repeated} repeated, {out_of_order} out of order"
            ));
        }
        Ok(())
    }

    pub fn table(&self) -> String {
        let how = match (self.window, self.rate) {
            (Some(window), _) => format!("closed loop, window {window}"),
            (None, rate) => format!("open loop, {} messages/s", rate.unwrap_or_default()),
        };
        let to = match self.rooms {
            Some(rooms) => format!(" in {rooms} rooms"),
            None if self.everyone => ", all of each message".to_owned(),
            None => String::new(),
        };
        let mut text = format!(
            "{how}: {} senders, {} receivers{to}, bodies of {} bytes, qos {}, seed {}\n",
            self.senders, self.receivers, self.size, self.qos, self.seed
        );
        let interrupted = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        let Measured { seconds, .. } = self.measured;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "measured for {seconds:.1} s{interrupted}\n");
        text.push_str(&self.counts());
        text.push('\n');
        let mut rows = vec![
            latency_row("send to receipt", &self.latency_us.receipt),
            latency_row("send to delivery", &self.latency_us.delivery),
        ];
        if let Some(lag) = &self.latency_us.send_lag {
            rows.push(latency_row("due to sent", lag));
        }
        text.push_str(&table(LATENCY_HEADINGS, &rows));
        let Connections {
            opened,
            redirects,
            moves,
            reconnects,
            failures,
        } = &self.connections;
        let failures = listed("; ", failures, "");
        let _ = write!(
            text,
            "\nsessions: {opened}, redirects {redirects}, moves {moves}, reconnects \
             {reconnects}{failures}"
        );
        text
    }

    fn counts(&self) -> String {
        let (measured, total) = (&self.measured, &self.total);
        let row = |name: &str, rate: f64, measured: u64, total: u64| {
            [
                name.to_owned(),
                format!("{rate:.0}"),
                measured.to_string(),
                total.to_string(),
            ]
        };
        let accepted = if self.qos == 0 {
            "receipt sent"
        } else {
            "accepted"
        };
        let rows = [
            row("sent", measured.sent_per_s, measured.sent, total.sent),
            row(
                accepted,
                measured.accepted_per_s,
                measured.accepted,
                total.accepted,
            ),
            row(
                "delivered",
                measured.delivered_per_s,
                measured.delivered,
                total.delivered,
            ),
        ];
        let mut text = table(["MESSAGES", "PER SECOND", "MEASURED", "TOTAL"], &rows);
        let mut lines = vec![
            ("failed", total.failed, listed("  ", &self.failures, "")),
            ("without receipt", total.unanswered, String::new()),
            ("lost", total.lost, String::new()),
            ("repeated", total.repeated, String::new()),
            ("redelivered", total.redelivered, String::new()),
            ("out of order", total.out_of_order, String::new()),
        ];
        if let Some(not_sent) = total.not_sent {
            lines.push(("due, not sent", not_sent, String::new()));
        }
        if total.foreign > 0 {
            lines.push(("of other tests", total.foreign, String::new()));
        }
        text.push('\n');
        for (name, number, more) in lines {
            let _ = writeln!(text, "{name:<15}  {number}{more}");
        }
        text
    }
}
