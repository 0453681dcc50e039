//! `check` and `schema`.

use crate::commands::task::store;
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, Coded};
use mainstay_runner::workspace::{self, LoadError};
use serde_json::json;
use std::process::ExitCode;

pub(crate) fn check(context: &Context) -> Result<ExitCode, CliError> {
    let path = context.workspace_manifest()?;
    let mut warnings = Vec::new();
    let findings = match workspace::load(&path, &store(context)?) {
        Ok(_) => {
            let files = mainstay_node::check_files(&path).map_err(|error| error.report())?;
            warnings = files.warnings;
            files.errors
        }
        Err(LoadError::Invalid(invalid)) => invalid.findings,
        Err(error) => return Err(error.report().into()),
    };
    let output = context.output;
    let is_valid = findings.is_empty();
    if output.is_json {
        output.json(&json!({
            "file": path, "valid": is_valid, "code": (!is_valid).then_some(Code::ManifestInvalid),
            "findings": findings, "warnings": warnings,
        }));
    } else {
        for finding in &findings {
            output.line(&finding.to_string());
        }
        for warning in &warnings {
            output.line(&format!("{warning} (a warning)"));
        }
        match findings.len() + warnings.len() {
            0 => output.note(&format!("{}: no findings", path.display())),
            count => output.note(&format!("{}: {count} finding(s)", path.display())),
        }
    }
    let exit = if is_valid {
        0
    } else {
        Code::ManifestInvalid.info().exit
    };
    Ok(ExitCode::from(exit))
}

pub(crate) fn schema(context: &Context) -> Result<ExitCode, CliError> {
    match serde_json::to_string_pretty(&mainstay_manifest::schema()) {
        Ok(text) => context.output.text(&format!("{text}\n")),
        Err(error) => return Err(CliError::Runtime(error.to_string())),
    }
    Ok(ExitCode::SUCCESS)
}
