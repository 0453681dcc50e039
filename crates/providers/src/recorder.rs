//! Writes a script of what another provider answers, one step a line.
//!
//! A line is on disk before its answer is given out, so that the recording never lacks what a caller
//! saw. Record one session at a time: the order of the lines is the order of the calls.

use crate::turn::turn_answer;
use crate::{InferenceError, Origin, script};
use mainstay_inference::{
    Answering, Assembly, BoxFuture, Dialect, EmbeddingRequest, Embeddings, Piece, Provider,
    ProviderCall,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A provider that records another.
pub struct Recorder {
    inner: Arc<dyn Provider>,
    tape: Tape,
}

#[derive(Clone)]
struct Tape {
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
    pub fn new(inner: Arc<dyn Provider>, file: File, form: Form) -> Self {
        Self {
            inner,
            tape: Tape {
                form,
                file: Arc::new(Mutex::new(file)),
            },
        }
    }
}

impl Tape {
    /// Writes how a call ended.
    async fn record(
        &self,
        outcome: Result<&crate::ModelAnswer, &InferenceError>,
    ) -> Result<(), InferenceError> {
        let Some(line) = script::recorded_line(outcome) else {
            return Ok(());
        };
        let line = match self.form {
            Form::JsonLines => line,
            Form::YamlList => format!("- {line}"),
        };
        self.append(line).await
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

impl Provider for Recorder {
    fn dialect(&self, caller: Option<Dialect>) -> Option<Dialect> {
        self.inner.dialect(caller)
    }

    fn call(
        self: Arc<Self>,
        call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        Box::pin(async move {
            let answers_before = call.request.answers_before() as u64;
            match Arc::clone(&self.inner).call(call).await {
                Ok(answering) => Ok(Box::new(Recording {
                    answering,
                    tape: self.tape.clone(),
                    assembly: Some(Assembly::default()),
                    answers_before,
                }) as Box<dyn Answering>),
                Err(error) => {
                    self.tape.record(Err(&error)).await?;
                    Err(error)
                }
            }
        })
    }

    fn embed(
        self: Arc<Self>,
        request: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        Arc::clone(&self.inner).embed(request)
    }
}

/// An answer that is recorded on its way.
struct Recording {
    answering: Box<dyn Answering>,
    tape: Tape,
    /// Absent once it is recorded.
    assembly: Option<Assembly>,
    answers_before: u64,
}

impl Recording {
    /// The end of the answer is handed on when it is written: whoever saw a whole answer finds it there.
    async fn advance(&mut self) -> Result<Option<Piece>, InferenceError> {
        let read = self.answering.next().await;
        let Some(assembly) = &mut self.assembly else {
            return read;
        };
        match read {
            Ok(Some(piece)) => {
                for event in &piece.events {
                    // What cannot be put together is told by whoever reads the answer.
                    let _sound = assembly.add(event.clone());
                }
                Ok(Some(piece))
            }
            Ok(None) => {
                let whole = self.assembly.take().map(Assembly::finish);
                if let Some(Ok(answer)) = whole {
                    let origin = Origin::default();
                    let outcome = turn_answer(answer, self.answers_before, &origin);
                    self.tape.record(outcome.as_ref()).await?;
                }
                Ok(None)
            }
            Err(error) => {
                self.assembly = None;
                self.tape.record(Err(&error)).await?;
                Err(error)
            }
        }
    }
}

impl Answering for Recording {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>> {
        Box::pin(self.advance())
    }

    fn left_out(&self) -> &[String] {
        self.answering.left_out()
    }
}
