//! `shell`: a command in the sandbox, in the workspace.

use super::{Context, Ran, ToolResult, arguments, object};
use crate::clock::now;
use crate::wiring;
use mainstay_contract::{Code, ToolCall};
use mainstay_manifest::Shell;
use mainstay_providers::ToolSpec;
use mainstay_runtimes::sandbox::{
    Captured, Chunk, ExitKind, Program, SandboxExit, SandboxSpec, Stream,
};
use mainstay_sessions::{Blob, BlobContent};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How many pieces of output wait for a listener.
const CHUNKS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    command: String,
    timeout_s: Option<u64>,
}

pub(super) fn spec() -> ToolSpec {
    let properties = json!({
        "command": { "type": "string", "description": "Run by /bin/sh -c in the workspace." },
        "timeout_s": {
            "type": "integer", "minimum": 1,
            "description": "Seconds until it is stopped; no more than the agent is given.",
        },
    });
    ToolSpec {
        name: "shell".to_owned(),
        description: "Run a shell command in the workspace. Every call starts a fresh shell."
            .to_owned(),
        parameters: object(properties, &["command"]),
    }
}

pub(super) async fn run(
    context: &Context<'_>,
    options: &Shell,
    call: &ToolCall,
    mut aborted: watch::Receiver<bool>,
) -> Ran {
    let wanted: Arguments = match arguments(call) {
        Ok(wanted) => wanted,
        Err(result) => return Ran::Ended(result),
    };
    if wanted.command.contains('\0') {
        let text = "The command holds a NUL character.";
        return Ran::Ended(ToolResult::failed(Code::ToolInvalidArguments, text));
    }
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), wanted.command];
    let mut spec = wiring::sandbox_spec(context, Program::Command { argv }, options.network);
    let asked = wanted
        .timeout_s
        .map_or(options.timeout, Duration::from_secs);
    spec.timeout = asked.min(options.timeout);
    let ran = tokio::select! {
        ran = sandboxed(context, &spec) => ran,
        _ = aborted.wait_for(|is_aborted| *is_aborted) => return Ran::Aborted,
    };
    match ran {
        Ok(exit) => Ran::Ended(result(exit, spec.timeout)),
        Err(error) => Ran::unsandboxed(&error),
    }
}

/// Runs in the sandbox, showing the output to whoever listens.
pub(crate) async fn sandboxed(
    context: &Context<'_>,
    spec: &SandboxSpec,
) -> Result<SandboxExit, mainstay_runtimes::sandbox::SandboxError> {
    let (sender, mut chunks) = mpsc::channel::<Chunk>(CHUNKS_MAX);
    let show = async {
        while let Some((stream, bytes)) = chunks.recv().await {
            let stream = if stream == Stream::Stdout {
                "stdout"
            } else {
                "stderr"
            };
            let text = String::from_utf8_lossy(&bytes);
            let feeds = &context.inner.feeds;
            feeds.preview(
                context.session,
                context.turn,
                now(),
                "tool_output",
                || json!({ "step": context.step, "stream": stream, "text": text }),
            );
        }
    };
    let run = context.inner.run_sandboxed(spec, Some(sender));
    let (ran, ()) = tokio::join!(run, show);
    ran
}

/// What the model is told of a run.
pub(super) fn result(exit: SandboxExit, timeout: Duration) -> ToolResult {
    let mut blobs = Vec::new();
    let mut text = String::new();
    for (name, captured) in [("stdout", &exit.stdout), ("stderr", &exit.stderr)] {
        if captured.total_bytes > 0 {
            text.push_str(&format!("{name}:\n{}\n", shown(captured, &mut blobs)));
        }
    }
    let (code, ending) = match exit.status {
        ExitKind::Code(code) => (None, format!("exit code {code}")),
        ExitKind::Signal(signal) => (None, format!("ended by signal {signal}")),
        ExitKind::TimedOut => (
            Some(Code::ToolTimedOut),
            format!("stopped after {} s", timeout.as_secs_f64()),
        ),
        ExitKind::OutOfMemory => (
            Some(Code::ToolResourcesExhausted),
            "a process was killed because the memory limit was reached".to_owned(),
        ),
        ExitKind::Cancelled => (Some(Code::ToolFailed), "cancelled".to_owned()),
    };
    text.push_str(&ending);
    for weaker in &exit.weaker {
        text.push_str(&format!("\nnot enforced on this host: {weaker}"));
    }
    ToolResult {
        code,
        text,
        blobs,
        has_touched_view: true,
    }
}

/// A stream as text; where it was cut, the whole of it becomes a blob and its digest is told.
fn shown(captured: &Captured, blobs: &mut Vec<Blob>) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = if captured.is_cut() {
        let missing = captured.total_bytes - (captured.head.len() + captured.tail.len()) as u64;
        format!(
            "{}\n[… {missing} bytes …]\n{}",
            lossy(&captured.head),
            lossy(&captured.tail)
        )
    } else {
        lossy(&[captured.head.as_slice(), &captured.tail].concat())
    };
    if std::str::from_utf8(&captured.head).is_err_and(|error| error.error_len().is_some()) {
        text.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}]");
    }
    if let Some(path) = &captured.full
        && let Ok(digest) = hash_file(path)
    {
        let whole = if captured.is_full_cut {
            "the beginning"
        } else {
            "all"
        };
        text.push_str(&format!("\n[{whole} of it is stored as {digest}]"));
        blobs.push(Blob {
            digest,
            content: BlobContent::File(path.clone()),
        });
    }
    text
}

fn hash_file(path: &std::path::Path) -> std::io::Result<mainstay_contract::Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(mainstay_contract::Digest(*hasher.finalize().as_bytes()))
}
