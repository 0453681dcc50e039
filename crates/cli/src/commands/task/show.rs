//! `task ls`, `task graph` and `task why`: what there is, and why it would run.

use super::Opened;
use crate::args::TaskGraph;
use crate::context::Context;
use crate::error::CliError;
use mainstay_manifest::Program;
use mainstay_runner::{Reason, Verdict, Why};
use mainstay_tasks::{Change, InputChange, VariableChange};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;

pub(crate) fn list(context: &Context) -> Result<ExitCode, CliError> {
    let opened = Opened::new(context)?;
    let workspace = &opened.workspace;
    let graph = &workspace.graph;
    if context.output.is_json {
        let tasks: Vec<Value> = (0..)
            .zip(&workspace.tasks)
            .map(|(number, task)| {
                let ids = |numbers: &[u32]| {
                    let ids = numbers.iter().map(|&other| graph.id(other).clone());
                    ids.collect::<Vec<_>>()
                };
                let texts = |patterns: &[mainstay_tasks::Pattern]| {
                    let texts = patterns.iter().map(ToString::to_string);
                    texts.collect::<Vec<_>>()
                };
                json!({
                    "task": task.id, "folder": task.project, "cwd": task.cwd,
                    "program": task.program, "cached": task.is_cached,
                    "inputs": task.inputs.as_deref().map(texts), "outputs": texts(&task.outputs),
                    "after": ids(graph.after(number)), "before": ids(graph.before(number)),
                })
            })
            .collect();
        context.output.json(&tasks);
        return Ok(ExitCode::SUCCESS);
    }
    let width = workspace.tasks.iter().map(|task| task.id.to_string().len());
    let width = width.max().unwrap_or(0);
    for task in &workspace.tasks {
        let runs = match &task.program {
            Program::Command(arguments) => arguments.join(" "),
            Program::Shell(script) => script.lines().next().unwrap_or_default().to_owned(),
        };
        let id = task.id.to_string();
        context.output.line(&format!("{id:width$}  {runs}"));
    }
    if workspace.tasks.is_empty() {
        context.output.note("no tasks; declare some under `tasks`");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn graph(context: &Context, args: &TaskGraph) -> Result<ExitCode, CliError> {
    let opened = Opened::new(context)?;
    let graph = &opened.workspace.graph;
    let shown = match args.targets.as_slice() {
        [] => graph.order().to_vec(),
        words => graph.closure(&opened.targets(words)?),
    };
    let edges: Vec<(u32, u32, bool)> = shown
        .iter()
        .flat_map(|&task| {
            let before = graph.before(task).iter();
            before.map(move |&other| (task, other, graph.after(task).contains(&other)))
        })
        .filter(|(_, other, _)| shown.contains(other))
        .collect();
    if context.output.is_json {
        let tasks: Vec<_> = shown.iter().map(|&task| graph.id(task)).collect();
        let edges: Vec<Value> = edges
            .iter()
            .map(|&(task, other, is_hard)| {
                let kind = if is_hard { "after" } else { "follows" };
                json!({"from": graph.id(other), "to": graph.id(task), "kind": kind})
            })
            .collect();
        context
            .output
            .json(&json!({"tasks": tasks, "edges": edges}));
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = "digraph tasks {\n  rankdir=LR;\n".to_owned();
    for &task in &shown {
        let _written = writeln!(text, "  \"{}\";", graph.id(task));
    }
    for (task, other, is_hard) in edges {
        let style = if is_hard { "" } else { " [style=dashed]" };
        let (from, to) = (graph.id(other), graph.id(task));
        let _written = writeln!(text, "  \"{from}\" -> \"{to}\"{style};");
    }
    text.push_str("}\n");
    context.output.text(&text);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn why(context: &Context, target: &str) -> Result<ExitCode, CliError> {
    let opened = Opened::new(context)?;
    let targets = opened.targets(&[target.to_owned()])?;
    let runner = opened.runner()?;
    let answers: Vec<Why> = targets.iter().map(|&task| runner.why(task)).collect();
    for why in &answers {
        if context.output.is_json {
            context.output.json(why);
            continue;
        }
        context
            .output
            .line(&format!("{}: {}", why.task, verdict(&why.verdict)));
        for reason in &why.changes {
            context.output.line(&format!("  {}", told(reason)));
        }
        for task in &why.pending {
            context
                .output
                .line(&format!("  {task} would run first, which may change this"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::UpToDate => "up to date".to_owned(),
        Verdict::Cached => "would be restored from the cache".to_owned(),
        Verdict::Changed => "would run, because of what changed since its last result".to_owned(),
        Verdict::Evicted => "would run, because its result was removed from the cache".to_owned(),
        Verdict::New => "would run, because no earlier result of it is known here".to_owned(),
        Verdict::NotCached => "always runs: its result is not cached".to_owned(),
        Verdict::Unbuildable { error } => format!("cannot run: {error}"),
    }
}

fn told(Reason { change, made_by }: &Reason) -> String {
    let told = self::change(change);
    match made_by {
        Some(task) => format!("{told} (made by {task})"),
        None => told,
    }
}

/// A difference, in words.
pub(super) fn change(change: &Change) -> String {
    match change {
        Change::Task => "the task".to_owned(),
        Change::WorkingDirectory => "the folder that it runs in".to_owned(),
        Change::Command => "the command".to_owned(),
        Change::Platform => "the system or the processor".to_owned(),
        Change::Tool { name } => format!("the tool `{name}`"),
        Change::OutputPattern { pattern } => format!("the output pattern `{pattern}`"),
        Change::Variable { name, change } => {
            let how = match change {
                VariableChange::Allowed => "is let through now",
                VariableChange::Forbidden => "is no longer let through",
                VariableChange::Set => "is set now",
                VariableChange::Unset => "is not set any more",
                VariableChange::Value => "has another value",
            };
            format!("the variable `{name}` {how}")
        }
        Change::Input { path, change } => {
            let how = match change {
                InputChange::Added => "is new",
                InputChange::Removed => "is gone",
                InputChange::Content => "has other content",
                InputChange::Mode => "is executable or not, other than before",
                InputChange::LinkTarget => "points elsewhere",
                InputChange::Touched => "was written, with the same content",
                InputChange::Kind => "is another kind of thing",
            };
            format!("`{path}` {how}")
        }
    }
}
