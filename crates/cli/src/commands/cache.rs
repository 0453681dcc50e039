//! `cache`: the results of tasks on this machine.

use crate::args::{CacheCommand, CacheGc};
use crate::commands::task::store;
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, ErrorReport};
use mainstay_runner::Budget;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn run(context: &Context, command: CacheCommand) -> Result<ExitCode, CliError> {
    let store = store(context)?;
    let output = context.output;
    let failed = |error: std::io::Error| {
        let message = format!("the cache at {} failed: {error}", store.folder().display());
        CliError::from(ErrorReport::new(Code::StoreIoFailed, message))
    };
    match command {
        CacheCommand::Info => {
            let usage = store.usage().map_err(failed)?;
            if output.is_json {
                output.json(&json!({"folder": store.folder(), "usage": usage}));
            } else {
                let size = size(usage.bytes);
                output.line(&format!("{}", store.folder().display()));
                output.line(&format!(
                    "{} results, {} removed ones remembered, {} blobs, {size}",
                    usage.results, usage.evicted, usage.blobs
                ));
            }
        }
        CacheCommand::Gc(CacheGc { max_size, max_age }) => {
            let usual = Budget::default();
            let collected = store
                .collect(Budget {
                    bytes: max_size.unwrap_or(usual.bytes),
                    age: max_age.map_or(usual.age, Duration::from_secs),
                })
                .map_err(failed)?;
            if output.is_json {
                output.json(&collected);
            } else {
                output.line(&format!(
                    "removed {} results and {} blobs, {}; {} are left",
                    collected.results,
                    collected.blobs,
                    size(collected.bytes),
                    size(collected.bytes_left)
                ));
            }
        }
        CacheCommand::Purge => {
            store.purge().map_err(failed)?;
            output.note("the cache is empty");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = bytes;
    while rest >= 10_240 && unit + 1 < UNITS.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", UNITS[unit])
}

/// Reads a size such as `512MiB`, in bytes.
pub(crate) fn read_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let unit: u64 = match &text[digits..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        _ => return Err("write it like 512MiB or 10GiB".to_owned()),
    };
    let count: u64 = text[..digits]
        .parse()
        .map_err(|_| "that is no number".to_owned())?;
    count
        .checked_mul(unit)
        .ok_or_else(|| "that is too much".to_owned())
}

/// Reads an age such as `7d`, in seconds.
pub(crate) fn read_age(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let unit: u64 = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write it like 12h or 30d".to_owned()),
    };
    let count: u64 = text[..digits]
        .parse()
        .map_err(|_| "that is no number".to_owned())?;
    count
        .checked_mul(unit)
        .ok_or_else(|| "that is too much".to_owned())
}
