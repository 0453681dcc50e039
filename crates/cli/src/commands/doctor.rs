//! `doctor`: what this host can and cannot do, and whether the stored data is sound.

use crate::context::Context;
use crate::error::CliError;
use serde_json::Value;
use std::process::ExitCode;

pub(crate) async fn run(context: &Context) -> Result<ExitCode, CliError> {
    let connection = context.connect().await?;
    let report: Value = connection.client.get("/api/doctor").await?;
    connection.close().await;
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
    Ok(ExitCode::from(if is_sound { 0 } else { 9 }))
}
