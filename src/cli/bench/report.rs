//! What a load test reports: a table for people, one JSON object for programs.

mod connects;
mod load;

use std::collections::BTreeMap;
use std::time::Duration;

pub use connects::ConnectsReport;
pub use load::LoadReport;

use super::stats::Percentiles;

const LATENCY_HEADINGS: [&str; 6] = ["LATENCY IN MS", "P50", "P90", "P99", "P99.9", "MAX"];

fn latency_row(name: &str, latency: &Percentiles) -> [String; 6] {
    let Percentiles {
        p50,
        p90,
        p99,
        p99_9,
        max,
        ..
    } = *latency;
    let ms = |us: u64| format!("{}.{:03}", us / 1000, us % 1000);
    [
        name.to_owned(),
        ms(p50),
        ms(p90),
        ms(p99),
        ms(p99_9),
        ms(max),
    ]
}

/// Codes with their numbers, between two texts; nothing when there are none.
pub fn listed(before: &str, codes: &BTreeMap<String, u64>, after: &str) -> String {
    if codes.is_empty() {
        return String::new();
    }
    let codes: Vec<_> = codes
        .iter()
        .map(|(code, number)| format!("{code} {number}"))
        .collect();
    format!("{before}{}{after}", codes.join(", "))
}

/// 0 when there was no time.
fn per_second(number: u64, span: Duration) -> f64 {
    if span.is_zero() {
        return 0.0;
    }
    // Far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let number = number as f64;
    number / span.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::bench::args::BenchArgs;
    use crate::cli::bench::ledger::Findings;
    use crate::cli::bench::load::Outcome;
    use crate::cli::bench::stats::Stats;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    /// The report on these statistics over two seconds.
    fn report(stats: Stats, findings: Findings) -> LoadReport {
        let Line { args } = Line::parse_from(["bench", "--node", "127.0.0.1:1"]);
        let outcome = Outcome {
            stats,
            findings,
            unanswered: 1,
            not_sent: 0,
            opened: 100,
            measured: Duration::from_secs(2),
            interrupted: false,
        };
        LoadReport::new(&args, 7, &outcome)
    }

    fn some_messages() -> Stats {
        let mut stats = Stats::default();
        for number in 0..10 {
            stats.sent.add(number > 3);
            stats.accepted.add(number > 3);
            stats.delivered.add(number > 3);
            stats.receipt.record(1_234);
        }
        stats
    }

    #[test]
    fn a_table_has_rates_of_what_was_measured_and_totals_of_all() {
        let mut stats = some_messages();
        stats.fail("offline");
        let text = report(stats, Findings::default()).table();
        let words: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(words.contains(&vec!["accepted", "3", "6", "10"]), "{text}");
        assert!(
            words.contains(&vec!["failed", "1", "offline", "1"]),
            "{text}"
        );
        assert!(text.contains("send to receipt   1.234"), "{text}");
    }

    #[test]
    fn the_verdict_is_bad_when_nothing_worked_or_something_was_lost_repeated_or_out_of_order() {
        assert!(
            report(some_messages(), Findings::default())
                .verdict()
                .is_ok()
        );
        let redelivered = Findings {
            redelivered: 1,
            ..Findings::default()
        };
        assert!(report(some_messages(), redelivered).verdict().is_ok());
        let mut failing = Stats::default();
        failing.fail("offline");
        let error = report(failing, Findings::default()).verdict();
        assert!(error.unwrap_err().contains("(offline 1)"));
        for findings in [
            Findings {
                lost: 1,
                ..Findings::default()
            },
            Findings {
                repeated: 1,
                ..Findings::default()
            },
            Findings {
                out_of_order: 1,
                ..Findings::default()
            },
        ] {
            assert!(report(some_messages(), findings).verdict().is_err());
        }
    }

    #[test]
    fn no_time_and_no_codes_are_nothing_to_say() {
        let rate = per_second(3, Duration::ZERO);
        assert!(rate.abs() < f64::EPSILON);
        assert_eq!(listed("(", &BTreeMap::new(), ")"), "");
    }
}
