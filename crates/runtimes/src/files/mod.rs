//! The files tool: reading and changing files, by our own code, run inside the sandbox.
//!
//! The sandbox confines it, so paths and links need no checks of their own here. Results are one line
//! of JSON on standard output.

mod edit;
mod list;
mod read;
mod search;
mod write;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most text that one answer holds.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Larger files are not read as a whole.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How many near names are offered.
const NEAR_MAX: usize = 5;

/// A tool as it is described to the model.
#[derive(Debug, Clone)]
pub struct FilesTool {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

/// Why a tool has no result.
enum Refusal {
    /// The arguments cannot be used.
    Arguments(String),
    /// It could not be done.
    Failed(String),
}

type Outcome = Result<String, Refusal>;

#[derive(Deserialize)]
struct Request {
    tool: String,
    workspace: Option<PathBuf>,
    arguments: Value,
}

/// Every tool.
#[must_use]
pub fn tools() -> Vec<FilesTool> {
    vec![
        read::tool(),
        write::tool(),
        edit::tool(),
        list::tool(),
        search::tool(),
    ]
}

/// Performs one request and prints its answer; the exit code is always 0.
#[must_use]
pub fn run(request: Value) -> i32 {
    let answer = match perform(request) {
        Ok(text) => json!({ "ok": true, "text": cut(text) }),
        Err(Refusal::Arguments(text)) => {
            json!({ "ok": false, "code": "tool.invalid_arguments", "text": text })
        }
        Err(Refusal::Failed(text)) => json!({ "ok": false, "code": "tool.failed", "text": text }),
    };
    let mut stdout = io::stdout().lock();
    let _nobody_listens = writeln!(stdout, "{answer}").and_then(|()| stdout.flush());
    0
}

fn perform(request: Value) -> Outcome {
    let request: Request = serde_json::from_value(request)
        .map_err(|error| Refusal::Arguments(format!("The request cannot be used: {error}.")))?;
    if let Some(workspace) = &request.workspace {
        std::env::set_current_dir(workspace).map_err(|error| failed(workspace, &error))?;
    }
    match request.tool.as_str() {
        "files_read" => read::run(&arguments(request.arguments)?),
        "files_write" => write::run(&arguments(request.arguments)?),
        "files_edit" => edit::run(&arguments(request.arguments)?),
        "files_list" => list::run(&arguments(request.arguments)?),
        "files_search" => search::run(&arguments(request.arguments)?),
        other => Err(Refusal::Arguments(format!("There is no tool {other}."))),
    }
}

fn arguments<T: DeserializeOwned>(arguments: Value) -> Result<T, Refusal> {
    serde_json::from_value(arguments)
        .map_err(|error| Refusal::Arguments(format!("The arguments cannot be used: {error}.")))
}

/// An object schema with these properties and no others.
fn schema(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn failed(path: &Path, error: &io::Error) -> Refusal {
    let near = if error.kind() == io::ErrorKind::NotFound {
        near_names(path)
    } else {
        Vec::new()
    };
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!(" Near: {}.", near.join(", "))
    };
    Refusal::Failed(format!("{}: {error}.{hint}", path.display()))
}

/// Names in the same folder that share a good part of the missing one.
fn near_names(path: &Path) -> Vec<String> {
    let Some(wanted) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return Vec::new();
    };
    let mut near: Vec<(usize, String)> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| (difference(wanted, &name), name))
        .filter(|(difference, name)| *difference <= 2.max(name.len() / 3))
        .collect();
    near.sort();
    near.into_iter()
        .take(NEAR_MAX)
        .map(|(_, name)| name)
        .collect()
}

/// The Levenshtein distance, without regard to case.
fn difference(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().take(64).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Reads a regular file; anything that could block is refused.
fn bytes(path: &Path) -> Result<Vec<u8>, Refusal> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let text = format!("{} has more than {FILE_BYTES_MAX} bytes.", path.display());
        return Err(Refusal::Failed(text));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, Refusal> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(|error| failed(path, &error))?;
    let found = file.metadata().map_err(|error| failed(path, &error))?;
    if found.is_file() {
        return Ok(file);
    }
    let what = if found.is_dir() {
        "a folder; use files_list"
    } else {
        "no regular file"
    };
    Err(Refusal::Failed(format!("{} is {what}.", path.display())))
}

/// Replaces a file's content at once, keeping its permissions.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // Through a link, so that the link stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mode = std::fs::metadata(&target).map(|found| found.permissions());
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let temporary = target.with_file_name(format!(".{}.new", name.to_string_lossy()));
    std::fs::write(&temporary, content)?;
    if let Ok(mode) = mode {
        std::fs::set_permissions(&temporary, mode)?;
    }
    std::fs::rename(&temporary, &target).inspect_err(|_| {
        let _left_behind = std::fs::remove_file(&temporary);
    })
}

fn cut(mut text: String) -> String {
    if text.len() > ANSWER_BYTES_MAX {
        let end = text.floor_char_boundary(ANSWER_BYTES_MAX);
        let missing = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n[… {missing} more bytes; ask for less at once]"));
    }
    text
}
