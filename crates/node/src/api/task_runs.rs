//! Runs of tasks: begun, looked at and stopped.

use super::body::{self, Fields, wrong};
use super::call::{Answer, Call};
use super::events;
use super::problem::Problem;
use crate::tasks::{Run, TaskOptions, TaskRunRequest, TaskRunState, TaskSandbox};
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;

const FIELDS: &[&str] = &["tasks", "options"];
const OPTIONS: &[&str] = &["jobs", "force", "keep_going", "sandbox", "grouped"];
/// The most jobs at once.
const JOBS_MAX: u64 = 65_535;

/// Begins a run.
pub(super) async fn start(call: Call) -> Answer {
    let call = call.known_query(&["wait"])?;
    let wait = call.wait()?;
    let key = call.idempotency_key()?;
    let Call {
        node,
        request,
        mut stopped,
        ..
    } = call;
    let request = read(body::object(request).await?.known(FIELDS)?)?;
    let run = node.start_tasks(request, key.as_deref()).await?;
    if let Some(wait) = wait {
        tokio::select! {
            _over = tokio::time::timeout(wait, run.over()) => {}
            () = events::stop(&mut stopped) => {}
        }
    }
    let location = format!("/api/tasks/runs/{}", run.id());
    Ok(([(header::LOCATION, location)], told(&run)?).into_response())
}

/// The runs that the node still knows.
pub(super) async fn list(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    Ok(Json(call.node.task_runs()).into_response())
}

/// One run.
pub(super) async fn show(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let run = call.node.task_run(call.text("run"))?;
    Ok(Json(run.view()).into_response())
}

/// Stops a run; asked again, everything is ended at once.
pub(super) async fn cancel(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let run = call.node.task_run(call.text("run"))?;
    body::object(call.request).await?.known(&[])?;
    run.stop();
    told(&run)
}

/// A run as it is now: accepted while it goes on, and done after that.
fn told(run: &Run) -> Answer {
    let unknown = || Problem::new(mainstay_contract::Code::Internal, "the run has not begun");
    let view = run.view().ok_or_else(unknown)?;
    let status = match view.state {
        TaskRunState::Running => StatusCode::ACCEPTED,
        TaskRunState::Succeeded | TaskRunState::Failed | TaskRunState::Stopped => StatusCode::OK,
    };
    Ok((status, Json(view)).into_response())
}

fn read(mut fields: Fields) -> Result<TaskRunRequest, Problem> {
    let names = || Problem::invalid("the body needs a field `tasks`: a list of names, not empty");
    let tasks = match fields.take("tasks") {
        None => return Err(names()),
        Some(Value::Array(tasks)) if !tasks.is_empty() => tasks,
        Some(Value::Array(_)) => return Err(names()),
        Some(other) => return Err(wrong("tasks", "a list of names", &other)),
    };
    let name = |task| match task {
        Value::String(name) => Ok(name),
        other => Err(wrong("tasks", "a list of names", &other)),
    };
    let tasks: Result<Vec<String>, Problem> = tasks.into_iter().map(name).collect();
    let options = fields.take_object("options")?.known(OPTIONS)?;
    Ok(TaskRunRequest {
        tasks: tasks?,
        options: read_options(options)?,
    })
}

fn read_options(mut fields: Fields) -> Result<TaskOptions, Problem> {
    let jobs = match fields.take("jobs") {
        None => None,
        Some(value) => {
            let jobs = value.as_u64().filter(|jobs| (1..=JOBS_MAX).contains(jobs));
            let jobs = jobs.and_then(|jobs| u32::try_from(jobs).ok());
            let rule = || Problem::invalid(format!("`jobs` must be a number from 1 to {JOBS_MAX}"));
            Some(jobs.ok_or_else(rule)?)
        }
    };
    Ok(TaskOptions {
        jobs,
        force: fields.take_bool("force")?.unwrap_or_default(),
        keep_going: fields.take_bool("keep_going")?.unwrap_or_default(),
        sandbox: match fields.take_string("sandbox")? {
            None => TaskSandbox::default(),
            Some(word) => sandbox(&word)?,
        },
        grouped: fields.take_bool("grouped")?.unwrap_or_default(),
    })
}

fn sandbox(word: &str) -> Result<TaskSandbox, Problem> {
    let known = TaskSandbox::ALL.iter().find(|(name, _)| *name == word);
    let refuse = || {
        let names = TaskSandbox::ALL.iter().map(|(name, _)| *name);
        let list: Vec<&str> = names.clone().collect();
        Problem::invalid(format!("`sandbox` must be one of {}", list.join(", "))).near(word, names)
    };
    known.map(|&(_, sandbox)| sandbox).ok_or_else(refuse)
}
