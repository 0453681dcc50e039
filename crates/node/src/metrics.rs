//! What a node counts, for Prometheus.

use mainstay_sessions::{Record, RecordKind};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashSet;

/// Two texts of OpenMetrics as one: each ends with a mark, and only the last may.
pub(crate) fn one_text(mut first: String, second: &str) -> String {
    first.truncate(first.trim_end().trim_end_matches("# EOF").len());
    first.push_str(second);
    first
}

/// The same in the text format of Prometheus: there a counter is called by the name that its samples have, and
/// neither units nor an end are told.
pub(crate) fn classic_text(open_metrics: &str) -> String {
    let counters: HashSet<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut classic = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => continue,
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(name) => {
                classic.extend(["# ", kind, " ", name, "_total ", rest]);
            }
            _ => classic.push_str(line),
        }
        classic.push('\n');
    }
    classic
}

/// The counters of one node. They begin at zero with each process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    turns_accepted: Counter,
    turns_completed: Counter,
    turns_failed: Counter,
    turns_cancelled: Counter,
    turns_resumed: Counter,
    steps_in_doubt: Counter,
    model_answers: Counter,
    model_failures: Counter,
    tool_results: Counter,
    input_tokens: Counter,
    output_tokens: Counter,
    pub(crate) sessions_active: Gauge,
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_failures: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("mainstay");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let turns_accepted = counter("turns_accepted", "Turns accepted");
        let turns_completed = counter("turns_completed", "Turns that ended well");
        let turns_failed = counter("turns_failed", "Turns that ended badly");
        let turns_cancelled = counter("turns_cancelled", "Turns that were cancelled");
        let turns_resumed = counter("turns_resumed", "Turns taken up after an interruption");
        let steps_in_doubt = counter("steps_in_doubt", "Steps whose outcome became unknown");
        let model_answers = counter("model_answers", "Answers of models");
        let model_failures = counter("model_failures", "Failed model calls that were repeated");
        let tool_results = counter("tool_results", "Results of tool calls");
        let input_tokens = counter("input_tokens", "Tokens sent to models");
        let output_tokens = counter("output_tokens", "Tokens received from models");
        let commit_failures = counter("commit_failures", "Batches that could not be made durable");
        let sessions_active = Gauge::default();
        registry.register(
            "sessions_active",
            "Sessions held in memory",
            sessions_active.clone(),
        );
        let commit_seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let help = "Time to make a batch durable";
        registry.register_with_unit("commit", help, Unit::Seconds, commit_seconds.clone());
        Self {
            registry,
            turns_accepted,
            turns_completed,
            turns_failed,
            turns_cancelled,
            turns_resumed,
            steps_in_doubt,
            model_answers,
            model_failures,
            tool_results,
            input_tokens,
            output_tokens,
            sessions_active,
            commit_seconds,
            commit_failures,
        }
    }

    /// Counts what has become durable.
    pub(crate) fn count(&self, records: &[Record]) {
        for record in records {
            let counter = match &record.kind {
                RecordKind::TurnAccepted { .. } => &self.turns_accepted,
                RecordKind::TurnCompleted { .. } => &self.turns_completed,
                RecordKind::TurnFailed { .. } => &self.turns_failed,
                RecordKind::TurnCancelled { .. } => &self.turns_cancelled,
                RecordKind::TurnResumed { .. } => &self.turns_resumed,
                RecordKind::ToolInDoubt { .. } => &self.steps_in_doubt,
                RecordKind::ModelCallFailed { .. } => &self.model_failures,
                RecordKind::ToolCompleted { .. } => &self.tool_results,
                RecordKind::ModelAnswered { usage, .. } => {
                    self.input_tokens.inc_by(usage.input_tokens);
                    self.output_tokens.inc_by(usage.output_tokens);
                    &self.model_answers
                }
                _ => continue,
            };
            counter.inc();
        }
    }

    /// The text in the OpenMetrics format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::classic_text;

    #[test]
    fn the_classic_format_calls_counters_by_the_names_of_their_samples() {
        let open_metrics = "# HELP a Some # UNIT.\n# TYPE a counter\na_total{m=\"# EOF\"} 1\n\
            # HELP b_seconds Time.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
            b_seconds_count 2\n# EOF\n";
        let classic = "# HELP a_total Some # UNIT.\n# TYPE a_total counter\na_total{m=\"# EOF\"} 1\n\
            # HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_count 2\n";
        assert_eq!(classic_text(open_metrics), classic);
    }
}
