//! `codes`: every error code.

use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, CodeInfo};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct Row {
    code: &'static Code,
    #[serde(flatten)]
    info: CodeInfo,
    docs: String,
}

pub(crate) fn run(context: &Context) -> Result<ExitCode, CliError> {
    let output = context.output;
    if output.is_json {
        let rows: Vec<Row> = Code::ALL
            .iter()
            .map(|code| Row {
                code,
                info: code.info(),
                docs: format!("errors/{code}"),
            })
            .collect();
        output.json(&rows);
    } else {
        for code in Code::ALL {
            output.line(&format!("{:<46} {}", code.as_str(), code.info().title));
        }
    }
    Ok(ExitCode::SUCCESS)
}
