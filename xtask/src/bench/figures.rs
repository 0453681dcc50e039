//! Every promise in numbers, in the order of the tables in `docs/benchmarks.md`.

use super::Bound::{self, AtLeast, Below};
use super::Figure;

/// The promises for sessions, in the order of the table in `docs/benchmarks.md`.
pub(super) const SESSIONS: &[Figure] = &[
    node(
        "journaled step, overhead, p50",
        "ms",
        Below(0.5),
        "bench_sessions",
        &["overhead"],
    ),
    node(
        "64 sessions, durable steps",
        "1/s",
        AtLeast(3000.0),
        "bench_sessions",
        &["rate"],
    ),
    node(
        "store growth a step",
        "KB",
        Below(1.5),
        "bench_sessions",
        &["step"],
    ),
    node(
        "bytes, K=150 over K=50",
        "×",
        Below(3.1),
        "bench_sessions",
        &["bytes"],
    ),
    node(
        "time, K=150 over K=50",
        "×",
        Below(3.3),
        "bench_sessions",
        &["time"],
    ),
    node(
        "10,000 parked sessions",
        "MB",
        Below(200.0),
        "bench_sessions",
        &["parked"],
    ),
    node(
        "first new step after SIGKILL",
        "ms",
        Below(250.0),
        "bench_process",
        &["recovery"],
    ),
    runtimes(
        "sandbox over bubblewrap, p50",
        "×",
        Below(1.0),
        "bench_sandbox",
        &["start"],
    ),
    node(
        "mainstay --version",
        "ms",
        Below(5.0),
        "bench_process",
        &["version"],
    ),
    node(
        "idle node, resident",
        "MB",
        Below(40.0),
        "bench_process",
        &["idle"],
    ),
    runtimes(
        "step that changes nothing",
        "ms",
        Below(2.0),
        "bench_workspace",
        &["still"],
    ),
    runtimes(
        "step that changes one file",
        "ms",
        Below(3.0),
        "bench_workspace",
        &["edit"],
    ),
];

/// The promises for tasks.
pub(super) const TASKS: &[Figure] = &[
    tasks(
        "1,000 tasks, nothing to do, over ninja",
        "×",
        Below(1.5),
        &["warm"],
    ),
    tasks(
        "1,000 tasks, nothing to do",
        "s",
        Below(0.05),
        &["warm-seconds"],
    ),
    tasks("1,000 tasks, all restored", "s", Below(0.10), &["restore"]),
    tasks(
        "1,000 tasks from nothing, over ninja",
        "×",
        Below(1.1),
        &["cold"],
    ),
    tasks(
        "1,000 tasks, nothing to do, over turbo",
        "×",
        Below(1.0),
        &["turbo"],
    ),
    tasks("one leaf changed, over ninja", "×", Below(2.0), &["leaf"]),
    tasks(
        "2 GB in 2,000 files restored, over cp",
        "×",
        Below(1.1),
        &["large-restore"],
    ),
    tasks(
        "2 GB in 2,000 files, nothing to do",
        "s",
        Below(0.02),
        &["large-noop"],
    ),
    tasks("10,000 tasks over 1,000", "×", Below(12.0), &["scale"]),
    tasks(
        "an agent's call of a task, answered from the cache",
        "ms",
        Below(1.0),
        &["tool"],
    ),
    tasks(
        "memory for 10 GB of output",
        "MB",
        Below(200.0),
        &["memory"],
    ),
];

/// The promises for inference.
pub(super) const INFERENCE: &[Figure] = &[
    gateway(
        "added at 1,000 requests a second, p50",
        "µs",
        Below(100.0),
        &["latency"],
    ),
    gateway(
        "added at 1,000 requests a second, p99",
        "ms",
        Below(1.0),
        &["latency-p99"],
    ),
    gateway(
        "requests for a second of processor time",
        "1/s",
        AtLeast(10_000.0),
        &["rate"],
    ),
    gateway("the same over LiteLLM's", "×", AtLeast(100.0), &["litellm"]),
    gateway("the same over smg's", "×", AtLeast(1.0), &["smg"]),
    gateway(
        "the same over vllm-router's",
        "×",
        AtLeast(1.0),
        &["vllm-router"],
    ),
    gateway(
        "added to a piece of a stream",
        "µs",
        Below(50.0),
        &["piece"],
    ),
    gateway(
        "resident after a million requests",
        "MB",
        Below(60.0),
        &["memory"],
    ),
    gateway(
        "a million requests over 100,000, resident",
        "×",
        Below(1.1),
        &["memory-growth"],
    ),
    gateway("10,000 idle streams", "MB", Below(500.0), &["idle-streams"]),
    gateway(
        "answers beyond the budget, or refused with room",
        "answers",
        Below(1.0),
        &["overshoot"],
    ),
    Figure {
        title: "a local model's tokens a second over llama.cpp's",
        unit: "×",
        bound: AtLeast(0.9),
        package: "mainstay-local",
        example: "bench_local",
        arguments: &[],
    },
];

/// A figure of the gateway.
const fn gateway(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    arguments: &'static [&'static str],
) -> Figure {
    Figure {
        title,
        unit,
        bound,
        package: "mainstay-gateway",
        example: "bench_inference",
        arguments,
    }
}

/// A figure of the task runner.
const fn tasks(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    arguments: &'static [&'static str],
) -> Figure {
    Figure {
        title,
        unit,
        bound,
        package: "mainstay-runner",
        example: "bench_tasks",
        arguments,
    }
}

/// A figure that an example of the node measures.
const fn node(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    example: &'static str,
    arguments: &'static [&'static str],
) -> Figure {
    let package = "mainstay-node";
    Figure {
        title,
        unit,
        bound,
        package,
        example,
        arguments,
    }
}

/// A figure that an example of the runtimes measures.
const fn runtimes(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    example: &'static str,
    arguments: &'static [&'static str],
) -> Figure {
    let package = "mainstay-runtimes";
    Figure {
        title,
        unit,
        bound,
        package,
        example,
        arguments,
    }
}
