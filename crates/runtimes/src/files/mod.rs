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
/// As many links in a row as the kernel follows.
const LINKS_MAX: usize = 40;
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

/// Performs one request: `{"tool", "workspace", "arguments"}`. The answer is `{"ok": true, "text"}` or
/// `{"ok": false, "code", "text"}`. Makes the workspace the current folder of the process.
#[must_use]
pub fn answer(request: Value) -> Value {
    match perform(request) {
        Ok(text) => json!({ "ok": true, "text": cut(text) }),
        Err(Refusal::Arguments(text)) => {
            json!({ "ok": false, "code": "tool.invalid_arguments", "text": cut(text) })
        }
        Err(Refusal::Failed(text)) => {
            json!({ "ok": false, "code": "tool.failed", "text": cut(text) })
        }
    }
}

/// Performs one request as [`answer`] does, and prints the answer; the exit code is always 0.
#[must_use]
pub fn run(request: Value) -> i32 {
    let answer = answer(request);
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
    let arguments = if arguments.is_null() {
        json!({})
    } else {
        arguments
    };
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
        let text = format!(
            "{} has more than {FILE_BYTES_MAX} bytes, and cannot be changed as a whole.",
            path.display()
        );
        return Err(Refusal::Failed(text));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, Refusal> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
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

/// Replaces a regular file's content at once, keeping its permissions, or makes a new one.
fn replace(path: &Path, content: &[u8]) -> Result<(), Refusal> {
    let refuse = |error: io::Error| failed(path, &error);
    // Through links, so that they stay links.
    let target = resolved(path).map_err(refuse)?;
    let mode = match std::fs::metadata(&target) {
        Ok(found) if found.is_file() => Some(found.permissions()),
        Ok(found) => {
            let what = if found.is_dir() {
                "a folder"
            } else {
                "no regular file"
            };
            return Err(Refusal::Failed(format!("{} is {what}.", path.display())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(refuse(error)),
    };
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder).map_err(refuse)?;
    }
    let temporary = target.with_file_name(format!(".mainstay-{}.new", std::process::id()));
    let written = (|| {
        let mut file = File::create_new(&temporary)?;
        file.write_all(content)?;
        if let Some(mode) = mode {
            file.set_permissions(mode)?;
        }
        std::fs::rename(&temporary, &target)
    })();
    written.map_err(|error| {
        let _nothing_left = std::fs::remove_file(&temporary);
        refuse(error)
    })
}

/// Where a path leads; its last links may lead to what is not there yet.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    if path.file_name().is_none() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match std::fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// A path on one line, whatever is in its names.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !text.contains(char::is_control) {
        return text.into_owned();
    }
    let escape = |character: char| {
        if character.is_control() {
            character.escape_default().to_string()
        } else {
            character.to_string()
        }
    };
    text.chars().map(escape).collect()
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
