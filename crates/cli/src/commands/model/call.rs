//! `model call`: one question, answered at once or in pieces.

use crate::args::ModelCall;
use crate::client::{Client, Follow};
use crate::commands::run as run_command;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;
use mainstay_contract::ErrorReport;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn run(context: &Context, args: ModelCall) -> Result<ExitCode, CliError> {
    let input = match args.input.as_str() {
        "-" => run_command::standard_input()?,
        text => text.to_owned(),
    };
    let mut config = context.node_config()?;
    config.works_on_turns = false;
    if let Some(path) = &args.record {
        run_command::can_record(path)?;
    }
    let records = args.record.is_some();
    config.record = args.record;
    let connection = context.connect_with(config).await?;
    if records {
        run_command::records(&connection)?;
    }
    let path = format!("/api/models/{}/call", segment(&args.model));
    let body = json!({ "input": input, "system": args.system, "max_tokens": args.max_tokens });
    let client = &connection.client;
    let asked = async {
        match args.stream {
            true => streamed(context.output, client, &path, &body).await,
            false => whole(context.output, client, &path, &body).await,
        }
    };
    let told = tokio::select! {
        told = asked => told,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(128 + 2)),
    };
    connection.close().await;
    told
}

/// A name as one segment of a path, or a value in a query.
pub(super) fn segment(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(escaped).collect()
}

async fn whole(
    output: Output,
    client: &Client,
    path: &str,
    body: &Value,
) -> Result<ExitCode, CliError> {
    let reply: Value = client.json(Method::POST, path, Some(body)).await?;
    if output.is_json {
        output.json(&reply);
    } else {
        output.text(&format!("{}\n", reply["text"].as_str().unwrap_or_default()));
    }
    note(output, &reply);
    Ok(ExitCode::SUCCESS)
}

async fn streamed(
    output: Output,
    client: &Client,
    path: &str,
    body: &Value,
) -> Result<ExitCode, CliError> {
    let (mut reply, mut failed, mut is_open) = (None, None, false);
    let on_frame = |_, data: &[u8]| {
        let said: Value = serde_json::from_slice(data)?;
        if said["kind"] == "error" {
            failed = serde_json::from_value::<ErrorReport>(said["error"].clone()).ok();
            return Ok(Follow::Stop);
        }
        if output.is_json {
            output.json(&said);
        } else if let Some(text) = said["text"].as_str() {
            is_open = !text.ends_with('\n');
            output.text(text);
        }
        if said["kind"] == "done" {
            reply = Some(said["reply"].clone());
            return Ok(Follow::Stop);
        }
        Ok(Follow::Next)
    };
    let followed = client.post_frames(path, body, on_frame).await;
    if is_open {
        output.text("\n");
    }
    followed?;
    match (reply, failed) {
        (Some(reply), _) => {
            note(output, &reply);
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(report)) => Err(report.into()),
        (None, None) => Err(client.cut()),
    }
}

/// Tells what it took, and what else has to be known.
fn note(output: Output, reply: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let usage = &reply["usage"];
    let told = format!(
        "{} · {} tokens in, {} out · {} USD",
        text(&reply["model"]),
        usage["input_tokens"],
        usage["output_tokens"],
        text(&reply["usd"]),
    );
    output.styled(&output.paint("2", &told));
    if reply["finish"] == "length" {
        output.note("the answer was cut at the most tokens allowed");
    }
    for warning in reply["warnings"].as_array().into_iter().flatten() {
        output.note(&format!("warning: {}", text(warning)));
    }
}
