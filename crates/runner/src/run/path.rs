//! The longest way through a run.

use super::record::{Summary, TaskRecord};
use mainstay_tasks::Graph;
use std::collections::HashMap;
use std::time::Instant;

/// What a run comes to.
pub(super) fn summary(
    graph: &Graph,
    tasks: Vec<TaskRecord>,
    began: Instant,
    is_stopped: bool,
) -> Summary {
    let took: HashMap<u32, u64> = tasks
        .iter()
        .filter_map(|record| Some((graph.find(&record.task)?, record.took_ms)))
        .collect();
    // For each task the longest way that ends with it, and where that comes from.
    let mut ways: HashMap<u32, (u64, Option<u32>)> = HashMap::new();
    for &task in graph.order() {
        let Some(own) = took.get(&task) else { continue };
        let before = graph.before(task).iter();
        let longest = before
            .filter_map(|before| Some((ways.get(before)?.0, Some(*before))))
            .max_by_key(|(ms, _)| *ms);
        let (ms, from) = longest.unwrap_or((0, None));
        ways.insert(task, (ms + own, from));
    }
    let last = graph.order().iter().filter(|task| ways.contains_key(task));
    let mut at = last.copied().max_by_key(|task| ways[task].0);
    let critical_ms = at.map_or(0, |task| ways[&task].0);
    let mut critical_path = Vec::new();
    while let Some(task) = at {
        critical_path.push(graph.id(task).clone());
        at = ways[&task].1;
    }
    critical_path.reverse();
    Summary {
        tasks,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        critical_path,
        critical_ms,
        is_stopped,
        remote_failure: None,
    }
}
