//! The text format of Prometheus, read strictly.

use std::collections::{BTreeMap, BTreeSet};

/// Everything of one scrape.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
    /// By name and labels, as they stand there.
    samples: BTreeMap<(String, String), f64>,
}

#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub help: String,
}

impl Exposition {
    /// # Panics
    /// At anything that Prometheus would not take, or should not get.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends, too");
        let mut all = Self::default();
        let mut current: Option<(String, String)> = None;
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("# HELP ") {
                let (name, help) = line.split_once(' ').expect("a text");
                current = Some((name.to_owned(), help.to_owned()));
            } else if let Some(line) = line.strip_prefix("# TYPE ") {
                let (name, kind) = line.split_once(' ').expect("a type");
                let (named, help) = current.clone().expect("HELP before TYPE");
                assert_eq!(named, name);
                let kind = kind.to_owned();
                let before = all.families.insert(named, Family { kind, help });
                assert!(before.is_none(), "{name} stands there twice");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let (name, labels) = match series.split_once('{') {
                    Some((name, labels)) => (name, labels.strip_suffix('}').expect("an end")),
                    None => (series, ""),
                };
                let family = &current.as_ref().expect("HELP before samples").0;
                let suffix = name.strip_prefix(&**family).expect("samples of one family");
                let is_histogram = all.families[family].kind == "histogram";
                let fits = match suffix {
                    "" => !is_histogram,
                    "_bucket" | "_sum" | "_count" => is_histogram,
                    _ => false,
                };
                assert!(fits, "{line}");
                let value = value.parse().expect("a number");
                let series = (name.to_owned(), labels.to_owned());
                let before = all.samples.insert(series, value);
                assert!(before.is_none(), "twice: {line}");
            }
        }
        all.check_histograms();
        all
    }

    /// The names under which there are samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| &**name).collect()
    }

    /// The only sample of that name.
    #[track_caller]
    pub fn value(&self, name: &str) -> f64 {
        self.labelled(name, &[])
    }

    /// The sample with these labels, in their order.
    #[track_caller]
    pub fn labelled(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<String> = (labels.iter())
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let series = (name.to_owned(), labels.join(","));
        let value = self.samples.get(&series);
        *value.unwrap_or_else(|| panic!("no {series:?} in {:?}", self.samples))
    }

    /// Buckets grow with their bounds, the last one has no bound, and it is the count.
    fn check_histograms(&self) {
        let histograms = self.families.iter().filter(|(_, f)| f.kind == "histogram");
        for (name, _) in histograms {
            let mut series: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
            let bucket = format!("{name}_bucket");
            for ((_, labels), count) in self.samples.iter().filter(|((n, _), _)| *n == bucket) {
                let (own, bound) = labels.rsplit_once("le=\"").expect("a bound");
                let bound = bound.trim_end_matches('"');
                let bound = bound.replace("+Inf", "inf").parse().expect("a number");
                let own = own.trim_end_matches(',');
                series.entry(own).or_default().push((bound, *count));
            }
            assert!(!series.is_empty(), "{name}");
            for (own, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{name} {own}");
                let last = *buckets.last().expect("there is one");
                assert!(last.0.is_infinite(), "{name} {own}");
                let of = |suffix| self.samples[&(format!("{name}{suffix}"), own.to_owned())];
                assert!((last.1 - of("_count")).abs() < 1e-9, "{name} {own}");
                let sum = of("_sum");
                // No more than if all had taken as long as their bound.
                let finite = buckets.iter().rev().find(|(bound, _)| bound.is_finite());
                let most = finite.expect("there is one");
                let within = (last.1 - most.1).abs() > 1e-9 || sum <= most.0 * last.1;
                assert!(sum >= 0.0 && within, "{name} {own}: {sum}");
            }
        }
    }
}
