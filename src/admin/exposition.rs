//! The text that Prometheus reads, in the exposition format 0.0.4.
//!
//! By hand: what there is to say is counted in places of its own already, and only has to be written
//! down. A library would want to own the counters, or to be told of each at every scrape.

use std::fmt::{Display, Write as _};

use crate::dispatch::{BOUNDS, Durations};

/// All that is said at one scrape.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// What kind of metric it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations by upper bounds.
    Histogram,
}

impl Exposition {
    /// The text.
    pub fn finish(self) -> String {
        self.0
    }

    /// A metric of one number.
    pub fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help);
        self.sample(name, "", value);
    }

    /// A metric whose value says nothing, and whose label all.
    pub fn info(&mut self, name: &str, help: &str, (label, said): (&str, &str)) {
        self.family(Kind::Gauge, name, help);
        self.sample(name, &format!("{{{label}=\"{said}\"}}"), 1);
    }

    /// Durations in seconds; with more than one series each has a value of `label`.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        series: &[(&str, &Durations)],
    ) {
        self.family(Kind::Histogram, name, help);
        for (value, durations) in series {
            let own = match label {
                "" => String::new(),
                label => format!("{label}=\"{value}\""),
            };
            let comma = if own.is_empty() { "" } else { "," };
            let mut upto = 0;
            let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".into()]);
            for (bound, count) in bounds.zip(&durations.buckets) {
                upto += count;
                let labels = format!("{{{own}{comma}le=\"{bound}\"}}");
                self.sample(&format!("{name}_bucket"), &labels, upto);
            }
            let labels = match &*own {
                "" => String::new(),
                own => format!("{{{own}}}"),
            };
            self.sample(&format!("{name}_sum"), &labels, durations.sum_seconds());
            self.sample(&format!("{name}_count"), &labels, upto);
        }
    }

    fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let mut buckets = vec![0; BOUNDS.len() + 1];
        (buckets[0], buckets[1], buckets[BOUNDS.len()]) = (1, 2, 4);
        let durations = Durations {
            buckets,
            sum_ns: 1_500_000_000,
        };
        let mut text = Exposition::default();
        text.histogram("a_seconds", "Help.", "path", &[("local", &durations)]);
        text.histogram("b_seconds", "Help.", "", &[("", &durations)]);
        let text = text.finish();
        for line in [
            "# TYPE a_seconds histogram",
            "a_seconds_bucket{path=\"local\",le=\"0.000025\"} 1",
            "a_seconds_bucket{path=\"local\",le=\"0.0001\"} 3",
            "a_seconds_bucket{path=\"local\",le=\"15\"} 3",
            "a_seconds_bucket{path=\"local\",le=\"+Inf\"} 7",
            "a_seconds_sum{path=\"local\"} 1.5",
            "a_seconds_count{path=\"local\"} 7",
            "b_seconds_bucket{le=\"+Inf\"} 7",
            "b_seconds_count 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
