use std::fmt::{Display, Write as _};

use walship_types::Durations;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up only, until the process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Prometheus' text format, version 0.0.4: families of samples, each with its help and type.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
}

/// The samples of one metric.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// A metric: a family of samples that differ in their labels.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, kind, help);
        Family { text: &mut self.text, name }
    }

    /// A metric with one sample and no labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// A gauge that has a value only sometimes.
    pub(super) fn gauge_if(&mut self, name: &'static str, help: &str, value: Option<impl Display>) {
        self.family(name, Kind::Gauge, help).sample_if(&[], value);
    }

    /// A counter with one sample and no labels.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// A histogram, in seconds, of each of these series.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        series: &[(&[(&str, &str)], &Durations)],
    ) {
        self.head(name, "histogram", help);
        for (labels, durations) in series {
            let mut sample = |suffix: &str, bound: Option<&str>, value: &dyn Display| {
                let labels: Vec<(&str, &str)> =
                    labels.iter().copied().chain(bound.map(|bound| ("le", bound))).collect();
                put(&mut self.text, name, suffix, &labels, value);
            };
            for (bound, count) in durations.cumulative() {
                sample("_bucket", Some(&bound.as_secs_f64().to_string()), &count);
            }
            let count = durations.count();
            sample("_bucket", Some("+Inf"), &count);
            sample("_sum", None, &durations.sum.as_secs_f64());
            sample("_count", None, &count);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // writing to a string cannot fail
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

impl Family<'_> {
    /// One sample. Labels must differ between the samples of a family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        put(self.text, self.name, "", labels, &value);
    }

    /// One sample, where there is a value.
    pub(super) fn sample_if(&mut self, labels: &[(&str, &str)], value: Option<impl Display>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }
}

fn put(text: &mut String, name: &str, suffix: &str, labels: &[(&str, &str)], value: &dyn Display) {
    text.push_str(name);
    text.push_str(suffix);
    for (place, (label, value)) in labels.iter().enumerate() {
        text.push(if place == 0 { '{' } else { ',' });
        text.push_str(label);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
    // writing to a string cannot fail
    let _ = writeln!(text, " {value}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use walship_types::DurationHistogram;

    use super::*;

    #[test]
    fn the_format_is_prometheus() {
        let mut exposition = Exposition::default();
        exposition.gauge("a", "what it is", 1.5);
        let mut family = exposition.family("b_total", Kind::Counter, "others");
        family.sample(&[("name", "odd \"one\"\\\n"), ("state", "x")], 18_446_744_073_709_551_615_u64);
        family.sample_if(&[("name", "none")], None::<u64>);
        let histogram = DurationHistogram::default();
        histogram.observe(Duration::from_micros(50));
        histogram.observe(Duration::from_secs(60));
        exposition.histogram("c_seconds", "times", &[(&[("stage", "flush")], &histogram.get())]);
        let text = exposition.into_text();
        assert!(
            text.starts_with(
                "# HELP a what it is\n# TYPE a gauge\na 1.5\n# HELP b_total others\n# TYPE b_total counter\n\
             b_total{name=\"odd \\\"one\\\"\\\\\\n\",state=\"x\"} 18446744073709551615\n# HELP c_seconds times\n\
             # TYPE c_seconds histogram\nc_seconds_bucket{stage=\"flush\",le=\"0.00005\"} 1\n"
            ),
            "{text}"
        );
        assert!(
            text.ends_with(
                "c_seconds_bucket{stage=\"flush\",le=\"30\"} 1\nc_seconds_bucket{stage=\"flush\",le=\"+Inf\"} 2\n\
             c_seconds_sum{stage=\"flush\"} 60.00005\nc_seconds_count{stage=\"flush\"} 2\n"
            ),
            "{text}"
        );
    }
}
