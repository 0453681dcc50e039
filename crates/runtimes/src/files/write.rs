//! `files_write`.

use super::{FilesTool, Outcome, replace, schema};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    path: PathBuf,
    content: String,
}

pub(super) fn tool() -> FilesTool {
    let properties = json!({
        "path": { "type": "string", "description": "From the workspace's root." },
        "content": { "type": "string", "description": "The whole new content." },
    });
    FilesTool {
        name: "files_write",
        description: "Write a whole file. Folders on the way are made.",
        parameters: schema(properties, &["path", "content"]),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let path = &arguments.path;
    replace(path, arguments.content.as_bytes())?;
    Ok(format!(
        "Wrote {} bytes to {}.",
        arguments.content.len(),
        path.display()
    ))
}
