//! `doctor`: what this host can and cannot do, and whether the stored data is sound.

use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::Coded;
use serde_json::Value;
use std::process::ExitCode;

/// The exit code where storage failed.
const STORAGE: u8 = 9;

pub(crate) async fn run(context: &Context) -> Result<ExitCode, CliError> {
    let report = match context.connect().await {
        Ok(connection) => {
            let report: Value = connection.client.get("/api/doctor").await?;
            connection.close().await;
            report
        }
        Err(error) if context.is_remote() || error.code().info().exit != STORAGE => {
            return Err(error);
        }
        // What keeps a node from being opened is a part of the answer.
        Err(_) => {
            let report = mainstay_node::examine_apart(context.node_config()?).await;
            serde_json::to_value(report).map_err(|error| CliError::Runtime(error.to_string()))?
        }
    };
    let output = context.output;
    if output.is_json {
        output.json(&report);
    } else {
        for finding in report["checks"].as_array().into_iter().flatten() {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            let status = text("status");
            let color = match status.as_str() {
                "ok" => "32",
                "weaker" => "33",
                _ => "31",
            };
            let status = output.paint(color, &format!("{status:<8}"));
            output.text(&format!(
                "{status} {:<26} {}\n",
                text("name"),
                text("detail")
            ));
        }
    }
    let is_sound = report["sound"].as_bool().unwrap_or(false);
    Ok(ExitCode::from(if is_sound { 0 } else { STORAGE }))
}
