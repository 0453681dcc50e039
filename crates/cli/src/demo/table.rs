//! The table of what each kill cost.

use super::plug::Cost;
use std::fmt::Write;

pub(super) fn render(costs: &[Cost]) -> String {
    let mut text = String::from(
        "kill   at ms  during            recovery ms  tools again  model again  posts  probe    diff\n",
    );
    for cost in costs {
        let recovery = cost
            .recovery_ms
            .map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        let diff = match (cost.is_completed, cost.is_diff_identical) {
            (true, true) => "identical",
            (true, false) => "DIFFERENT",
            (false, _) => "NOT DONE",
        };
        let probe = if cost.is_in_doubt {
            "in doubt"
        } else {
            cost.probe.as_deref().unwrap_or("-")
        };
        let _infallible = writeln!(
            text,
            "{:>4}  {:>6}  {:<16}  {:>11}  {:>11}  {:>11}  {:>5}  {:<7}  {diff}",
            cost.number,
            cost.killed_at_ms,
            cost.during,
            recovery,
            cost.tool_runs_repeated,
            cost.model_calls_repeated,
            cost.posts,
            probe,
        );
    }
    text.push_str(&summary(costs));
    text
}

fn summary(costs: &[Cost]) -> String {
    let mut recoveries: Vec<u128> = costs.iter().filter_map(|cost| cost.recovery_ms).collect();
    recoveries.sort_unstable();
    let median = recoveries
        .get(recoveries.len() / 2)
        .copied()
        .unwrap_or_default();
    let worst = recoveries.last().copied().unwrap_or_default();
    let sum = |part: fn(&Cost) -> u32| costs.iter().map(part).sum::<u32>();
    let good = costs.iter().filter(|cost| cost.is_good()).count();
    format!(
        "\n{good} of {} kills recovered to the identical result with exactly one post\n\
         recovery: median {median} ms, worst {worst} ms, from process start to the next step\n\
         repeated: {} tool runs (all pure, rolled back first), {} model calls\n",
        costs.len(),
        sum(|cost| cost.tool_runs_repeated),
        sum(|cost| cost.model_calls_repeated),
    )
}
