//! `files_read`.

use super::{ANSWER_BYTES_MAX, FilesTool, Outcome, failed, open, schema};
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

const LINES_MAX: usize = 2000;
/// Leaves room for what is said beside it.
const SHOWN_BYTES_MAX: usize = ANSWER_BYTES_MAX - 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    path: PathBuf,
    offset: Option<usize>,
    limit: Option<usize>,
}

pub(super) fn tool() -> FilesTool {
    let properties = json!({
        "path": { "type": "string", "description": "From the workspace's root." },
        "offset": { "type": "integer", "minimum": 1, "description": "The first line to read." },
        "limit": { "type": "integer", "minimum": 1, "description": "How many lines; 2000 by default." },
    });
    FilesTool {
        name: "files_read",
        description: "Read a text file, or some lines of it.",
        parameters: schema(properties, &["path"]),
    }
}

/// Some lines of a file, without holding more of it than the answer can have.
struct Lines {
    shown: Vec<u8>,
    /// The last line that is shown, from 1.
    last: usize,
    is_cut: bool,
    has_more: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let file = open(&arguments.path)?;
    let first = arguments.offset.unwrap_or(1).max(1);
    let limit = arguments.limit.unwrap_or(LINES_MAX);
    let lines = read(file, first, limit).map_err(|error| failed(&arguments.path, &error))?;
    let is_text = std::str::from_utf8(&lines.shown).is_ok() || lines.is_cut;
    let mut text = String::from_utf8_lossy(&lines.shown).into_owned();
    if lines.last < first && first > 1 {
        return Ok(format!("[the file has {} lines]", lines.last));
    }
    if lines.is_cut {
        text.push_str("\n[… cut here; ask for fewer lines, or those after]");
    }
    if lines.is_cut || lines.has_more {
        text.push_str(&format!(
            "\n[lines {first} to {}; there are more]",
            lines.last
        ));
    }
    if !is_text {
        text.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}]");
    }
    Ok(text)
}

fn read(file: File, first: usize, limit: usize) -> io::Result<Lines> {
    let mut file = BufReader::new(file);
    let mut lines = Lines {
        shown: Vec::new(),
        last: 0,
        is_cut: false,
        has_more: false,
    };
    while lines.last < first - 1 {
        if file.skip_until(b'\n')? == 0 {
            return Ok(lines);
        }
        lines.last += 1;
    }
    let end = (first - 1).saturating_add(limit);
    while lines.last < end {
        let room = SHOWN_BYTES_MAX - lines.shown.len();
        let mut part = file.by_ref().take(room as u64);
        let count = part.read_until(b'\n', &mut lines.shown)?;
        if count == 0 && room > 0 {
            return Ok(lines);
        }
        if count == room && lines.shown.last() != Some(&b'\n') {
            lines.is_cut = !file.fill_buf()?.is_empty();
        }
        if count > 0 {
            lines.last += 1;
        }
        if lines.is_cut || room == 0 {
            break;
        }
    }
    lines.has_more = !file.fill_buf()?.is_empty();
    Ok(lines)
}
