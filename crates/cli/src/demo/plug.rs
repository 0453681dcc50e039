//! Pulls the plug: starts the same run, kills it at a moment, starts it again, and adds up the cost.

use super::RUN_LIMIT;
use super::repository::Repository;
use super::tracker::Tracker;
use super::watched::{Seen, Watched};
use crate::error::CliError;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one kill cost.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Cost {
    pub(super) number: usize,
    pub(super) killed_at_ms: u128,
    pub(super) during: String,
    /// From process start to the first step taken; absent where the kill left no step to take.
    pub(super) recovery_ms: Option<u128>,
    pub(super) tool_runs_repeated: u32,
    pub(super) model_calls_repeated: u32,
    pub(super) posts: usize,
    pub(super) probe: Option<String>,
    pub(super) is_in_doubt: bool,
    pub(super) is_completed: bool,
    pub(super) is_diff_identical: bool,
}

impl Cost {
    /// Whether nothing was lost and nothing outside was repeated.
    pub(super) fn is_good(&self) -> bool {
        self.is_completed && self.is_diff_identical && self.posts == 1
    }
}

/// Seeded moments, spread over the length of an undisturbed run.
pub(super) fn moments(seed: u64, count: u32, length: Duration) -> impl Iterator<Item = Duration> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX).max(1);
    (0..count).map(move |_| Duration::from_micros(random.next_u64() % length))
}

/// Runs, kills, runs again.
pub(super) async fn pull(
    repository: &Repository,
    tracker: &Tracker,
    number: usize,
    moment: Duration,
    expected: &str,
) -> Result<Cost, CliError> {
    let session = format!("demo-{number}");
    let killed = Watched::start(repository, &session)?
        .kill_at(moment)
        .await?;
    let ended = Watched::start(repository, &session)?
        .until_the_end(RUN_LIMIT, None)
        .await?;
    let diff = repository.diff(&session).await?;
    Ok(Cost {
        number,
        killed_at_ms: moment.as_millis(),
        during: during(&killed.seen),
        recovery_ms: ended.seen.first_step.map(|elapsed| elapsed.as_millis()),
        tool_runs_repeated: repeated(&killed.seen.tools, &ended.seen.tools),
        model_calls_repeated: repeated(&killed.seen.models, &ended.seen.models),
        posts: tracker.take_posts(),
        probe: ended.seen.probe.clone(),
        is_in_doubt: ended.seen.is_in_doubt,
        is_completed: ended.is_completed(),
        is_diff_identical: diff == expected,
    })
}

fn during(seen: &Seen) -> String {
    if seen.last.is_empty() {
        "start".to_owned()
    } else {
        seen.last.clone()
    }
}

fn repeated(before: &BTreeMap<String, u32>, after: &BTreeMap<String, u32>) -> u32 {
    let mut total = before.clone();
    for (step, count) in after {
        *total.entry(step.clone()).or_default() += count;
    }
    total.values().map(|count| count.saturating_sub(1)).sum()
}
