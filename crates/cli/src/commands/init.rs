//! `init`: a first manifest.

use crate::args::Init;
use crate::context::Context;
use crate::error::CliError;
use mainstay_manifest::{Starter, starter};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const SCRIPT: &str = "# What the scripted model answers, call by call.\n\
    - text: Let me look around.\n  tool_calls: [{name: files_list, arguments: {path: .}}]\n\
    - text: That is all there is.\n";

pub(crate) fn run(context: &Context, args: &Init) -> Result<ExitCode, CliError> {
    if let Some(from) = args.from {
        return super::import::run(context, &args.dir, from);
    }
    let file = |path: &Path, error| CliError::File {
        path: path.to_owned(),
        error,
    };
    std::fs::create_dir_all(&args.dir).map_err(|error| file(&args.dir, error))?;
    let manifest = args.dir.join("mainstay.yaml");
    let mut written = vec![manifest.clone()];
    if args.script {
        create(&manifest, starter(Starter::Script))?;
        let script = args.dir.join("script.yaml");
        create(&script, SCRIPT)?;
        written.push(script);
    } else {
        create(&manifest, starter(Starter::OpenAiCompatible))?;
    }
    if context.output.is_json {
        context
            .output
            .json(&serde_json::json!({ "written": written }));
    } else {
        for path in &written {
            context.output.line(&format!("wrote {}", path.display()));
        }
        context
            .output
            .note("next: mainstay check, then mainstay run AGENT \"what to do\"");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn create(path: &PathBuf, text: &str) -> Result<(), CliError> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::Exists { path: path.clone() },
        _ => CliError::File {
            path: path.clone(),
            error,
        },
    })
}
