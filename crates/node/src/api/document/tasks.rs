//! Runs of tasks: what can be asked, and the shapes of it.

use super::paths::{Entry, Operation};
use super::schemas::{boolean, closed, integer, list, object, or_null, reference, string, words};
use serde_json::{Value, json};

pub(super) fn operations() -> Vec<Entry> {
    let start = Operation::new(
        "startTaskRun",
        "Run tasks of the node's workspace, and what they need",
    )
    .query(
        "wait",
        json!({ "type": "number", "minimum": 0, "maximum": 600 }),
        "Wait so many seconds for the run's end; 202 where it still goes on then",
    )
    .header(
        "Idempotency-Key",
        "The same key is the same run, as long as the node knows it",
    )
    .body("StartTaskRun", true)
    .answers("200", "The run is over", "TaskRun")
    .answers("202", "The run has begun", "TaskRun")
    .done();
    let list = Operation::new(
        "listTaskRuns",
        "Runs of tasks, newest first; those before the node's start are not known",
    )
    .answers_list("200", "The runs", "TaskRun")
    .done();
    let show = Operation::new("getTaskRun", "A run of tasks")
        .path("run")
        .answers("200", "The run", "TaskRun")
        .done();
    let events = Operation::new("taskRunEvents",
        "The events of a run, as `mainstay --json task run` prints them; as a stream where text/event-stream is accepted")
        .path("run")
        .query("after", json!({ "type": "integer", "minimum": 0 }), "Begin after this sequence")
        .header("Last-Event-ID", "Begin after this sequence; wins over `after`")
        .answers_list("200", "The events that are kept, each with its `seq`", "TaskRunEvent")
        .also("200", "text/event-stream", json!({ "type": "string", "description":
            "`id` is the sequence, `event` the kind, `data` a TaskRunEvent. The stream ends with the run." }))
        .done();
    let cancel = Operation::new(
        "cancelTaskRun",
        "Ask a run to stop; asked again, everything is ended at once",
    )
    .path("run")
    .answers("200", "The run was over before", "TaskRun")
    .answers("202", "The run will stop", "TaskRun")
    .done();
    vec![
        ("/api/tasks/runs", "get", list),
        ("/api/tasks/runs", "post", start),
        ("/api/tasks/runs/{run}", "get", show),
        ("/api/tasks/runs/{run}/events", "get", events),
        ("/api/tasks/runs/{run}/cancel", "post", cancel),
    ]
}

pub(super) fn schemas() -> Value {
    let sandbox = || words(&["off", "trace", "enforce"]);
    let options = |or: fn(Value) -> Value| {
        [
            (
                "jobs",
                or_null(json!({ "type": "integer", "minimum": 1, "maximum": 65535 })),
            ),
            ("force", or(boolean())),
            ("keep_going", or(boolean())),
            ("sandbox", or(sandbox())),
            ("grouped", or(boolean())),
        ]
    };
    let asked = closed(
        "As on the command line; `grouped`: one task speaks at a time",
        &options(or_null),
    );
    json!({
        "StartTaskRun": closed("Tasks to be run", &[
            ("tasks!", json!({ "type": "array", "items": string(), "minItems": 1 })),
            ("options", or_null(asked)),
        ]),
        "TaskRun": object("A run of tasks", &[
            ("id!", reference("Id")),
            ("state!", words(&["running", "succeeded", "failed", "stopped"])),
            ("tasks!", list(string())),
            ("options!", object("How", &options(|schema| schema))),
            ("stop_asked!", boolean()),
            ("started_at!", reference("Timestamp")),
            ("ended_at!", or_null(reference("Timestamp"))),
            ("summary!", or_null(reference("TaskRunSummary"))),
            ("error!", or_null(reference("ErrorReport"))),
            ("last_seq!", integer()),
            ("events_dropped!", integer()),
        ]),
        "TaskRunSummary": object("What a run came to; how many tasks ended in which way", &[
            ("event!", json!({ "const": "summary" })),
            ("up_to_date!", integer()), ("restored!", integer()), ("ran!", integer()),
            ("failed!", integer()), ("skipped!", integer()), ("cancelled!", integer()),
            ("not_started!", integer()),
            ("took_ms!", integer()), ("saved_ms!", integer()),
            ("critical_path!", list(string())), ("critical_ms!", integer()),
            ("stopped!", boolean()), ("remote_failure!", or_null(string())),
            ("failure!", or_null(reference("ErrorReport"))),
        ]),
        "TaskRunEvent": {
            "type": "object", "required": ["event"],
            "description": "`dropped` stands in the place of events that are no longer kept; `broken` is \
                the last where a run could not go on",
            "properties": {
                "event": words(&["started", "ready", "waiting", "output", "ended", "summary", "dropped", "broken"]),
                "seq": integer(), "task": string(),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::schemas::tests::fits;
    use crate::tasks::{TaskOptions, TaskRunRequest, TaskRunState, TaskRunView};
    use mainstay_contract::{Code, ErrorReport, Timestamp};
    use mainstay_runner::{Summary, summary_line};

    #[test]
    fn the_schemas_describe_what_is_really_sent() {
        let summary = summary_line(&Summary {
            tasks: Vec::new(),
            took_ms: 1,
            critical_path: Vec::new(),
            critical_ms: 0,
            is_stopped: false,
            remote_failure: None,
        });
        fits("TaskRunSummary", &summary);
        for state in [
            TaskRunState::Running,
            TaskRunState::Succeeded,
            TaskRunState::Failed,
            TaskRunState::Stopped,
        ] {
            let view = TaskRunView {
                id: "run_1".to_owned(),
                state,
                request: TaskRunRequest {
                    tasks: vec!["t".to_owned()],
                    options: TaskOptions::default(),
                },
                stop_asked: false,
                started_at: Timestamp(1),
                ended_at: None,
                summary: Some(summary.clone()),
                error: Some(ErrorReport::new(Code::TaskFailed, "x")),
                last_seq: 1,
                events_dropped: 0,
            };
            fits("TaskRun", &view);
        }
    }
}
