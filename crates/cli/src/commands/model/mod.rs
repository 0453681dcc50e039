//! `model …`: look at models, ask them, and see what they cost.

mod call;
mod usage;

use crate::args::ModelCommand;
use crate::client::Client;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) async fn run(context: &Context, command: ModelCommand) -> Result<ExitCode, CliError> {
    let command = match command {
        ModelCommand::Call(args) => return call::run(context, args).await,
        other => other,
    };
    let connection = context.connect().await?;
    let told = match command {
        ModelCommand::Usage(args) => usage::run(context.output, &connection.client, args).await,
        _ => list(context.output, &connection.client).await,
    };
    connection.close().await;
    told
}

async fn list(output: Output, client: &Client) -> Result<ExitCode, CliError> {
    let models: Value = client.get("/api/models").await?;
    if output.is_json {
        output.json(&models);
        return Ok(ExitCode::SUCCESS);
    }
    let heads = [
        "NAME", "PROVIDER", "MODEL", "WINDOW", "PRICE", "BREAKER", "READY", "ACTIVE", "QUEUED",
        "BUDGET", "HEALTH",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(models.as_array().into_iter().flatten().map(row));
    table(output, &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(model: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let pool: Vec<String> = model["pool"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let budget = &model["budget"];
    vec![
        text(&model["name"]),
        text(&model["provider"]),
        match pool.is_empty() {
            true => text(&model["model"]),
            false => pool.join("+"),
        },
        text(&model["context_window"]),
        text(&model["price"]["kind"]),
        text(&model["breaker"]),
        match model["ready"].as_bool() {
            Some(true) => "yes".to_owned(),
            _ => "no".to_owned(),
        },
        text(&model["active"]),
        text(&model["queued"]),
        match budget.is_null() {
            true => "-".to_owned(),
            false => format!(
                "{}/{} {}",
                text(&budget["spent"]),
                text(&budget["limit"]),
                text(&budget["per"])
            ),
        },
        health(model),
    ]
}

/// How a model's server or worker is doing, for how long, and what failed last.
fn health(model: &Value) -> String {
    if let Some(unready) = model["worker"]["unready"].as_str() {
        return unready.to_owned();
    }
    if let Some(unusable) = model["unusable"].as_str() {
        return unusable.to_owned();
    }
    let health = &model["health"];
    let (Some(state), Some(since)) = (health["state"].as_str(), health["since"].as_u64()) else {
        return "-".to_owned();
    };
    let told = format!("{state} for {}", elapsed(since));
    let failures = health["failures"].as_u64().unwrap_or_default();
    match health["last_failure"]["message"].as_str() {
        Some(message) if failures > 0 => format!("{told}: {message} ({failures} in a row)"),
        _ => told,
    }
}

/// The time since a moment in milliseconds since 1970, roughly.
fn elapsed(since: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now
        .unwrap_or_default()
        .as_secs()
        .saturating_sub(since / 1000);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

/// Prints rows in columns; nothing follows the last one.
fn table(output: Output, rows: &[Vec<String>]) {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let padded = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"));
        let line: Vec<String> = padded.collect();
        output.line(line.join("  ").trim_end());
    }
}
