//! Writes a script of what another provider answers, one step a line.
//!
//! A line is on disk before its answer is given out, so that the recording never lacks what a caller
//! saw. Record one session at a time: the order of the lines is the order of the calls.

use crate::{InferenceError, ModelAnswer, ModelProvider, ModelRequest, Origin, script};
use mainstay_sessions::BoxFuture;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A provider that records another.
pub struct Recorder {
    inner: Arc<dyn ModelProvider>,
    file: Arc<Mutex<File>>,
    form: Form,
}

/// How the steps of a script stand in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON value a line.
    JsonLines,
    /// A YAML list, of which each line is an item.
    YamlList,
}

impl Form {
    /// The form in which a script of this name is read.
    #[must_use]
    pub fn of(name: &Path) -> Self {
        let extension = name.extension().and_then(OsStr::to_str);
        match extension {
            Some("jsonl" | "ndjson") => Self::JsonLines,
            _ => Self::YamlList,
        }
    }
}

impl Recorder {
    /// Records `inner` at the end of `file`, which then is a script.
    #[must_use]
    pub fn new(inner: Arc<dyn ModelProvider>, file: File, form: Form) -> Self {
        Self {
            inner,
            form,
            file: Arc::new(Mutex::new(file)),
        }
    }

    async fn append(&self, line: String) -> Result<(), InferenceError> {
        let file = Arc::clone(&self.file);
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        let failed = match written.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(error) => std::io::Error::other(error),
        };
        Err(InferenceError::RecordingFailed {
            origin: Origin {
                provider: "recorder".to_owned(),
                ..Origin::default()
            },
            is_disk_full: matches!(
                failed.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ),
            message: failed.to_string(),
        })
    }
}

impl ModelProvider for Recorder {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        on_text: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<ModelAnswer, InferenceError>> {
        Box::pin(async move {
            let outcome = self.inner.call(request, on_text).await;
            if let Some(line) = script::recorded_line(outcome.as_ref()) {
                let line = match self.form {
                    Form::JsonLines => line,
                    Form::YamlList => format!("- {line}"),
                };
                self.append(line).await?;
            }
            outcome
        })
    }
}
