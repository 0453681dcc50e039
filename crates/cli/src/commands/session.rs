//! `session …`: look at sessions and act on them.

use crate::args::{Resolve, Session};
use crate::client::{Client, Follow, events_path};
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;
use futures_util::StreamExt;
use mainstay_contract::{ErrorReport, Event, Seq, SessionId, StepId, TurnId};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) async fn run(context: &Context, command: Session) -> Result<ExitCode, CliError> {
    let connection = context.connect().await?;
    let ended = act(context.output, &connection.client, command).await;
    connection.close().await;
    ended
}

async fn act(output: Output, client: &Client, command: Session) -> Result<ExitCode, CliError> {
    match command {
        Session::Ls => list(output, client).await,
        Session::Show { id } => show(output, client, &SessionId::new(id)?).await,
        Session::Events { id, after, follow } => {
            events(output, client, &SessionId::new(id)?, Seq(after), follow).await
        }
        Session::Cancel { id, turn } => {
            let turn = turn.map(TurnId::new).transpose()?;
            let path = format!("/api/sessions/{}/cancel", SessionId::new(id)?);
            told(output, client, &path, &json!({ "turn": turn })).await
        }
        Session::Resolve(args) => resolve(output, client, args).await,
        Session::Diff { id } => diff(output, client, &SessionId::new(id)?).await,
        Session::Apply { id, to } => apply(output, client, &SessionId::new(id)?, to).await,
        Session::Export { id } => export(output, client, &SessionId::new(id)?).await,
        Session::Replay { turn } => replay(output, client, &TurnId::new(turn)?).await,
        Session::Rm { id } => {
            let path = format!("/api/sessions/{}", SessionId::new(id)?);
            let answer: Value = client.json(Method::DELETE, &path, None).await?;
            if output.is_json {
                output.json(&answer);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(output: Output, client: &Client) -> Result<ExitCode, CliError> {
    let sessions: Value = client.get("/api/sessions").await?;
    if output.is_json {
        output.json(&sessions);
        return Ok(ExitCode::SUCCESS);
    }
    for row in rows(&sessions) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        output.line(&format!(
            "{:<40} {:<16} {:<12} {}",
            text(&row["session"]),
            text(&row["agent"]),
            text(&row["turn"]["state"]),
            text(&row["turn"]["turn"]),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .or_else(|| value["sessions"].as_array())
        .into_iter()
        .flatten()
}

async fn show(output: Output, client: &Client, id: &SessionId) -> Result<ExitCode, CliError> {
    let view: Value = client
        .get(&format!("/api/sessions/{id}?messages=true"))
        .await?;
    if output.is_json {
        output.json(&view);
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for turn in view["turns"].as_array().into_iter().flatten() {
        let spent = &turn["spent"];
        output.line(&format!(
            "{} {} · {} tokens in, {} out, {} USD, {} ms",
            output.paint("1", &text(&turn["turn"])),
            text(&turn["state"]),
            spent["input_tokens"],
            spent["output_tokens"],
            text(&spent["usd"]),
            spent["ms"],
        ));
        for step in turn["steps"].as_array().into_iter().flatten() {
            let what = step["tool"].as_str().unwrap_or("model");
            let status = match &step["status"] {
                Value::Object(failed) => format!("failed {}", text(&failed["failed"])),
                Value::String(status) => status.clone(),
                _ if step["is_in_doubt"] == json!(true) => "in doubt".to_owned(),
                _ => String::new(),
            };
            output.line(&format!(
                "  {:<44} {what:<14} {status}",
                text(&step["step"])
            ));
        }
        if let Some(answer) = turn["text"].as_str() {
            output.line(&format!("  {answer}"));
        }
        if let Ok(error) = serde_json::from_value::<ErrorReport>(turn["error"].clone()) {
            output.failure(&error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn events(
    output: Output,
    client: &Client,
    id: &SessionId,
    after: Seq,
    follow: bool,
) -> Result<ExitCode, CliError> {
    let print = |event: &Event| {
        if output.is_json {
            output.json(event);
        } else {
            output.line(&format!(
                "{:>6} {:<20} {}",
                event.seq.0, event.kind, event.data
            ));
        }
    };
    let path = events_path(id.as_str(), after);
    if follow {
        client
            .events(&path, |event| {
                print(&event);
                Follow::Next
            })
            .await?;
    } else {
        let events: Vec<Event> = client.get(&path).await?;
        events.iter().for_each(print);
    }
    Ok(ExitCode::SUCCESS)
}

async fn resolve(output: Output, client: &Client, args: Resolve) -> Result<ExitCode, CliError> {
    let step = StepId::new(args.step)?;
    let body = match (args.result, args.fail) {
        (Some(text), _) => json!({ "result": text }),
        (None, Some(text)) => json!({ "fail": text }),
        (None, None) => json!({ "retry": true }),
    };
    told(output, client, &format!("/api/steps/{step}/resolve"), &body).await
}

async fn told(
    output: Output,
    client: &Client,
    path: &str,
    body: &Value,
) -> Result<ExitCode, CliError> {
    let answer: Value = client.json(Method::POST, path, Some(body)).await?;
    if output.is_json {
        output.json(&answer);
    }
    Ok(ExitCode::SUCCESS)
}

async fn diff(output: Output, client: &Client, id: &SessionId) -> Result<ExitCode, CliError> {
    let path = format!("/api/sessions/{id}/diff");
    if output.is_json {
        output.json(&client.get::<Value>(&path).await?);
    } else {
        let response = client.send(Method::GET, &path, "text/x-diff", None).await?;
        let text = response.text().await;
        output.text(&text.map_err(|error| CliError::Runtime(error.to_string()))?);
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(
    output: Output,
    client: &Client,
    id: &SessionId,
    to: Option<PathBuf>,
) -> Result<ExitCode, CliError> {
    let to = to.map(std::path::absolute).transpose();
    let to = to.map_err(|error| CliError::File {
        path: "--to".into(),
        error,
    })?;
    let path = format!("/api/sessions/{id}/apply");
    let applied: Value = client
        .json(Method::POST, &path, Some(&json!({ "to": to })))
        .await?;
    if output.is_json {
        output.json(&applied);
    } else {
        for path in applied["changed"].as_array().into_iter().flatten() {
            output.line(path.as_str().unwrap_or_default());
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(output: Output, client: &Client, id: &SessionId) -> Result<ExitCode, CliError> {
    let path = format!("/api/sessions/{id}/export");
    let response = client
        .send(Method::GET, &path, "application/jsonl", None)
        .await?;
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| CliError::Runtime(error.to_string()))?;
        output.text(&String::from_utf8_lossy(&chunk));
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(output: Output, client: &Client, turn: &TurnId) -> Result<ExitCode, CliError> {
    let path = format!("/api/turns/{turn}/replay");
    let report: Value = client.json(Method::POST, &path, Some(&json!({}))).await?;
    if output.is_json {
        output.json(&report);
    } else {
        output.line(&format!(
            "turn {turn}: {} records, no divergence",
            report["records"]
        ));
    }
    Ok(ExitCode::SUCCESS)
}
