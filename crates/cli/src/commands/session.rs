//! `session …`: look at sessions and act on them.

use crate::args::{Resolve, Session};
use crate::client::{Client, Follow, events_path};
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;
use futures_util::StreamExt;
use mainstay_contract::{Code, Coded, ErrorReport, Event, Seq, SessionId, StepId, TurnId};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) async fn run(context: &Context, command: Session) -> Result<ExitCode, CliError> {
    if let Session::Events {
        id,
        after,
        follow: true,
    } = command
    {
        return follow(context, &SessionId::new(id)?, Seq(after)).await;
    }
    let connection = context.connect().await?;
    let ended = act(context.output, &connection.client, command).await;
    connection.close().await;
    ended
}

async fn act(output: Output, client: &Client, command: Session) -> Result<ExitCode, CliError> {
    match command {
        Session::Ls => list(output, client).await,
        Session::Show { id } => show(output, client, &SessionId::new(id)?).await,
        Session::Events { id, after, .. } => {
            let path = events_path(SessionId::new(id)?.as_str(), Seq(after));
            let events: Vec<Event> = client.get(&path).await?;
            events.iter().for_each(|event| print(output, event));
            Ok(ExitCode::SUCCESS)
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
        output.text(&format!(
            "{} {} · {} tokens in, {} out, {} USD, {} ms\n",
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
            output.text(&format!("  {answer}\n"));
        }
        if let Ok(error) = serde_json::from_value::<ErrorReport>(turn["error"].clone()) {
            output.failure(&error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(output: Output, event: &Event) {
    if output.is_json {
        output.json(event);
    } else {
        let Event {
            seq, kind, data, ..
        } = event;
        output.line(&format!("{:>6} {kind:<20} {data}", seq.0));
    }
}

/// Prints what happened and what happens, from one node to the next: while none works on the
/// session nothing can happen, and the data directory is left to the one to come.
async fn follow(context: &Context, id: &SessionId, after: Seq) -> Result<ExitCode, CliError> {
    let mut cursor = after;
    loop {
        let connection = context.connect().await?;
        let path = events_path(id.as_str(), cursor);
        let mut see = |event: Event| {
            cursor = cursor.max(event.seq);
            print(context.output, &event);
            Follow::Next
        };
        let read = if connection.is_own() {
            let events = connection.client.get::<Vec<Event>>(&path).await;
            events.map(|events| {
                for event in events {
                    see(event);
                }
            })
        } else {
            connection.client.events(&path, see).await.map(drop)
        };
        let is_own = connection.is_own();
        connection.close().await;
        match read {
            Err(error) if error.code() != Code::NodeUnreachable || context.is_remote() => {
                return Err(error);
            }
            _ if is_own => context.node_comes().await?,
            _ => {}
        }
    }
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
