//! `task`: a task of the workspace, in the agent's view and with the same cache as on the command line.

use super::{Context, Ran, ToolResult, arguments, object};
use crate::wiring::{self, TaskRan};
use mainstay_contract::{Code, Digest, ToolCall};
use mainstay_manifest::TaskTool;
use mainstay_providers::ToolSpec;
use mainstay_runner::{Outcome, Summary, TaskRecord};
use mainstay_sessions::{Blob, BlobContent};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

/// There are none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

/// The name by which the model calls it: letters, digits, `_` and `-` are what all providers take.
pub(super) fn name(tool: &TaskTool) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '_',
    };
    let name = tool.target.chars().map(plain).take(59);
    format!("task_{}", name.collect::<String>())
}

pub(super) fn spec(tool: &TaskTool) -> ToolSpec {
    let target = &tool.target;
    ToolSpec {
        name: name(tool),
        description: format!(
            "Run the task `{target}` of this workspace and what it needs. What was done before on the \
             same inputs is not done again."
        ),
        parameters: object(json!({}), &[]),
    }
}

pub(super) async fn run(
    context: &Context<'_>,
    tool: &TaskTool,
    call: &ToolCall,
    aborted: watch::Receiver<bool>,
) -> Ran {
    if let Err(result) = arguments::<Arguments>(call) {
        return Ran::Ended(result);
    }
    match wiring::run_task(context, tool, aborted.clone()).await {
        Ok(_) if *aborted.borrow() => Ran::Aborted,
        Ok(ran) => Ran::Ended(result(context, &ran)),
        Err(ran) => ran,
    }
}

fn result(context: &Context<'_>, ran: &TaskRan) -> ToolResult {
    let mut blobs = Vec::new();
    let most = usize::try_from(context.shell.agent.sandbox.output).unwrap_or(usize::MAX);
    let mut text = shown(&ran.said, most, &mut blobs);
    if ran.missing > 0 {
        text.push_str(&format!("[{} bytes more were said]\n", ran.missing));
    }
    for record in &ran.summary.tasks {
        text.push_str(&told(record));
    }
    ToolResult {
        code: code(&ran.summary),
        text,
        blobs,
        has_touched_view: ran.summary.tasks.iter().any(has_written),
    }
}

/// What the commands said; where it was cut, the whole of it becomes a blob and its digest is told.
fn shown(said: &[u8], most: usize, blobs: &mut Vec<Blob>) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = match said.len() {
        length if length <= most => lossy(said),
        length => {
            let digest = Digest(*blake3::hash(said).as_bytes());
            blobs.push(Blob {
                digest,
                content: BlobContent::Bytes(said.to_vec()),
            });
            let half = most / 2;
            let (head, tail) = (lossy(&said[..half]), lossy(&said[length - half..]));
            let missing = length - 2 * half;
            format!("{head}\n[… {missing} bytes …]\n{tail}\n[all of it is stored as {digest}]")
        }
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// How a task ended, in a line, and what went wrong.
fn told(record: &TaskRecord) -> String {
    let task = &record.task;
    let mut text = match &record.outcome {
        Outcome::UpToDate => format!("{task}: up to date\n"),
        Outcome::Restored { written } => {
            format!("{task}: brought back from the cache, {written} written\n")
        }
        Outcome::Ran => format!("{task}: ran, {} ms\n", record.took_ms),
        _ => String::new(),
    };
    for report in &record.reports {
        text.push_str(&format!("{}\n", report.message));
    }
    text
}

fn code(summary: &Summary) -> Option<Code> {
    let failed = summary
        .tasks
        .iter()
        .find(|task| task.outcome.is_failure())?;
    match failed.outcome {
        // A command that fails is an answer, as with the shell.
        Outcome::Failed { .. } => None,
        Outcome::TimedOut => Some(Code::ToolTimedOut),
        _ => failed.reports.last().map(|report| report.code.clone()),
    }
}

fn has_written(record: &TaskRecord) -> bool {
    record.attempts > 0 || matches!(record.outcome, Outcome::Restored { .. })
}
