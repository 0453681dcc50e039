//! Secrets are read when they are used, and never stored.

use mainstay_contract::{Code, ErrorReport, Secret};
use mainstay_manifest::SecretSource;
use std::path::Path;

/// No secret is longer; a larger file is something else.
const BYTES_MAX: u64 = 64 << 10;

/// Reads a secret; relative files are below `folder`. The end of a file's last line is not part of it.
pub(crate) fn read(
    name: &str,
    source: &SecretSource,
    folder: &Path,
) -> Result<Secret, Box<ErrorReport>> {
    let missing = |why: String| {
        Box::new(
            ErrorReport::new(
                Code::SecretUnavailable,
                format!("the secret `{name}` {why}"),
            )
            .about("secret", name),
        )
    };
    match source {
        SecretSource::Env(variable) => match std::env::var(variable) {
            Ok(value) if !value.is_empty() => Ok(Secret::new(value)),
            _ => Err(
                missing(format!("is not in the environment variable {variable}"))
                    .map_hint(format!("set {variable} for the node's process")),
            ),
        },
        SecretSource::File(file) => {
            let path = folder.join(file);
            let unreadable = |why: &dyn std::fmt::Display| {
                missing(format!("cannot be read from {}: {why}", path.display()))
            };
            let found = std::fs::metadata(&path).map_err(|error| unreadable(&error))?;
            if found.len() > BYTES_MAX {
                return Err(unreadable(&"it is too large"));
            }
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&error))?;
            let value = text.trim_end_matches(['\r', '\n']);
            if value.is_empty() {
                return Err(unreadable(&"it is empty"));
            }
            Ok(Secret::new(value))
        }
    }
}

trait MapHint {
    fn map_hint(self, hint: String) -> Self;
}

impl MapHint for Box<ErrorReport> {
    fn map_hint(self, hint: String) -> Self {
        Box::new((*self).hint(hint))
    }
}
