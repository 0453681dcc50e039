//! `files_…`: reading and changing files of the workspace, by our own code inside the sandbox.

use super::{Context, Ran, ToolResult, arguments};
use crate::wiring;
use mainstay_contract::{Code, ToolCall};
use mainstay_manifest::Network;
use mainstay_providers::ToolSpec;
use mainstay_runtimes::sandbox::{ExitKind, Program, SandboxExit};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// The most that one answer may have; the tool itself cuts long ones far below that.
const ANSWER_BYTES_MAX: usize = 8 << 20;

pub(super) fn specs() -> Vec<ToolSpec> {
    let spec = |tool: mainstay_runtimes::files::FilesTool| ToolSpec {
        name: tool.name.to_owned(),
        description: tool.description.to_owned(),
        parameters: tool.parameters,
    };
    mainstay_runtimes::files::tools()
        .into_iter()
        .map(spec)
        .collect()
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    text: String,
    code: Option<Code>,
}

pub(super) async fn run(
    context: &Context<'_>,
    call: &ToolCall,
    mut aborted: watch::Receiver<bool>,
) -> Ran {
    let wanted: Map<String, Value> = match arguments(call) {
        Ok(wanted) => wanted,
        Err(result) => return Ran::Ended(result),
    };
    let request = json!({
        "tool": call.name, "workspace": context.shell.workspace, "arguments": wanted,
    });
    let program = Program::InProcess(request);
    let mut spec = wiring::sandbox_spec(context, program, Network::None);
    spec.output_bytes_max = ANSWER_BYTES_MAX;
    let ran = tokio::select! {
        ran = context.inner.run_sandboxed(&spec, None) => ran,
        _ = aborted.wait_for(|is_aborted| *is_aborted) => return Ran::Aborted,
    };
    match ran {
        Ok(exit) => Ran::Ended(result(&exit)),
        Err(error) => Ran::unsandboxed(&error),
    }
}

fn result(exit: &SandboxExit) -> ToolResult {
    let bytes = [exit.stdout.head.as_slice(), &exit.stdout.tail].concat();
    match (exit.status, serde_json::from_slice::<Answer>(&bytes)) {
        (ExitKind::Code(_), Ok(answer)) => ToolResult {
            code: (!answer.ok).then(|| answer.code.unwrap_or(Code::ToolFailed)),
            text: answer.text,
            blobs: Vec::new(),
            has_touched_view: true,
        },
        (ExitKind::TimedOut, _) => touched(Code::ToolTimedOut, "It took too long and was stopped."),
        (ExitKind::OutOfMemory, _) => touched(
            Code::ToolResourcesExhausted,
            "It used more memory than it was given.",
        ),
        (status, _) => {
            let said = String::from_utf8_lossy(&exit.stderr.head);
            touched(
                Code::ToolFailed,
                format!("It ended without an answer ({status:?}): {said}"),
            )
        }
    }
}

fn touched(code: Code, text: impl Into<String>) -> ToolResult {
    ToolResult {
        has_touched_view: true,
        ..ToolResult::failed(code, text)
    }
}
