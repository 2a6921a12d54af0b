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
fn listed(before: &str, codes: &BTreeMap<String, u64>, after: &str) -> String {
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
