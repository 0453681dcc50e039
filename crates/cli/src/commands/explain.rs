//! `explain`: the page of one error code.

use crate::context::Context;
use crate::error::CliError;
use crate::pages;
use mainstay_contract::Code;
use serde_json::json;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, text: &str) -> Result<ExitCode, CliError> {
    let code = Code::parse(text);
    let Some(page) = pages::page(text) else {
        let names = Code::ALL.iter().map(Code::as_str);
        let near = mainstay_manifest::near(text, names);
        return Err(CliError::UnknownCode {
            code: text.to_owned(),
            near,
        });
    };
    let info = code.info();
    if context.output.is_json {
        let mut value = json!(info);
        value["code"] = json!(code);
        value["page"] = json!(page);
        context.output.json(&value);
        return Ok(ExitCode::SUCCESS);
    }
    context.output.text(&format!("{}\n\n", page.trim_end()));
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    context.output.line(&format!(
        "layer {} · HTTP {} · exit {} · retry {} · responsible {} · {} against the agent",
        word(json!(info.layer)),
        info.http,
        info.exit,
        word(json!(info.retry)),
        word(json!(info.responsible)),
        if info.scored { "scored" } else { "not scored" },
    ));
    Ok(ExitCode::SUCCESS)
}
