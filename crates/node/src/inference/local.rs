//! Models that run on this machine, as providers. Each has a worker process of its own; this side knows
//! only its supervisor.

use mainstay_contract::{Code, ErrorReport};
use mainstay_inference::{
    Answering, BoxFuture, Dialect, EmbeddingInput, EmbeddingRequest, Embeddings, Event,
    FinishReason, InferenceError, Origin, OutputFormat, PartKind, Piece, Provider, ProviderCall,
    Request, Tokens, WriteOptions, caller_field,
};
use mainstay_local::{
    DeviceChoice, GenerateRequest, Generation, Limits, LocalConfig, LocalError, LocalEvent,
    LocalModel, Loss, MODEL_WORKER, Sampling, Status, Usage, WorkerCommand,
};
use mainstay_manifest::{Device, Provider as Source};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A model on this machine.
pub(crate) struct LocalProvider {
    name: String,
    model: LocalModel,
}

/// Where a model is stored, if it can be read there.
pub(super) fn model_file(
    name: &str,
    path: &str,
    folder: &Path,
) -> Result<PathBuf, Box<ErrorReport>> {
    // The engine's own model for tests is no file.
    if path == mainstay_local::engine::ECHO {
        return Ok(path.into());
    }
    let file = folder.join(path);
    let found = File::open(&file).and_then(|file| file.metadata());
    let flaw = match found {
        Ok(found) if found.is_file() => return Ok(file),
        Ok(_) => "it is no file".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("the model file {} cannot be read: {flaw}", file.display());
    let report = ErrorReport::new(Code::ManifestInvalid, message);
    Err(Box::new(report.about("model", name)))
}

impl LocalProvider {
    /// Starts the model's worker; requests wait until it is loaded.
    pub(crate) fn start(
        name: &str,
        source: &Source,
        folder: &Path,
        exe: &Path,
    ) -> Result<Self, Box<ErrorReport>> {
        let Source::Local {
            path,
            context_length,
            threads,
            device,
        } = source
        else {
            let message = format!("the model {name} is not local");
            return Err(Box::new(ErrorReport::new(Code::Internal, message)));
        };
        let config = LocalConfig {
            model: model_file(name, path, folder)?,
            context_length: context_length.and_then(|tokens| u32::try_from(tokens).ok()),
            threads: *threads,
            device: match device {
                Some(Device::Cuda) => DeviceChoice::Cuda(0),
                Some(Device::Cpu) | None => DeviceChoice::Cpu,
            },
            worker: WorkerCommand {
                exe: exe.to_owned(),
                args: vec![MODEL_WORKER.into()],
                env: Vec::new(),
            },
            limits: Limits::default(),
        };
        Ok(Self {
            name: name.to_owned(),
            model: LocalModel::start(config),
        })
    }

    /// Every change of how the model is doing.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.model.watch()
    }

    fn origin(&self, answering: bool) -> Origin {
        Origin {
            provider: "local".to_owned(),
            model: self.name.clone(),
            answering,
        }
    }

    fn generate(&self, request: &Request) -> Result<Playing, InferenceError> {
        let asked = self.request(request)?;
        let format_field = caller_field("response_format", request);
        let generation = self.model.generate(asked);
        let generation = generation
            .map_err(|error| failure(self.origin(false), in_callers_words(error, &format_field)))?;
        Ok(Playing {
            origin: self.origin(false),
            format_field,
            generation,
            has_begun: false,
            is_over: false,
        })
    }

    /// The request in the worker's words. Its messages and tools have the shape of Chat Completions, which
    /// the templates of models are written for.
    fn request(&self, request: &Request) -> Result<GenerateRequest, InferenceError> {
        let unsupported = |param: &str, message: &str| InferenceError::Unsupported {
            origin: self.origin(false),
            param: param.to_owned(),
            message: message.to_owned(),
        };
        if request.choices.is_some_and(|choices| choices > 1) {
            return Err(unsupported("n", "a local model gives one answer"));
        }
        if request.logprobs.is_some() {
            return Err(unsupported("logprobs", "a local model does not tell them"));
        }
        let options = WriteOptions {
            model: &self.name,
            is_compatible: true,
        };
        let written = Dialect::OpenAiChat.write_request(request, &options);
        let written = written.map_err(|error| unsupported(&error.param, &error.message))?;
        let body: Value = serde_json::from_slice(&written.body).unwrap_or_default();
        let json_schema = match &request.format {
            None | Some(OutputFormat::Text) => None,
            Some(OutputFormat::JsonObject) => Some(serde_json::json!({ "type": "object" })),
            Some(OutputFormat::JsonSchema { schema, .. }) => Some(schema.clone()),
        };
        let max_tokens = request.output_tokens_max;
        Ok(GenerateRequest {
            messages: body["messages"].clone(),
            tools: body.get("tools").cloned(),
            sampling: sampling(request),
            stop: request.sampling.stop.clone(),
            max_tokens: max_tokens.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX)),
            json_schema,
        })
    }
}

fn sampling(request: &Request) -> Sampling {
    let asked = &request.sampling;
    let usual = Sampling::default();
    let bias = asked.logit_bias.iter();
    Sampling {
        temperature: asked.temperature.map_or(usual.temperature, narrow),
        top_p: asked.top_p.map_or(usual.top_p, narrow),
        top_k: asked
            .top_k
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        seed: asked.seed.map(i64::cast_unsigned),
        frequency_penalty: asked.frequency_penalty.map_or(0.0, narrow),
        presence_penalty: asked.presence_penalty.map_or(0.0, narrow),
        logit_bias: bias
            .filter_map(|(token, bias)| Some((token.parse().ok()?, narrow(*bias))))
            .collect(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a scale that a model draws by needs no more"
)]
const fn narrow(value: f64) -> f32 {
    value as f32
}

impl Provider for LocalProvider {
    fn dialect(&self, _caller: Option<Dialect>) -> Option<Dialect> {
        None
    }

    fn call(
        self: Arc<Self>,
        call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        Box::pin(async move {
            let playing = self.generate(&call.request)?;
            Ok(Box::new(playing) as Box<dyn Answering>)
        })
    }

    fn embed(
        self: Arc<Self>,
        request: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        Box::pin(async move {
            let text = |input: &EmbeddingInput| match input {
                EmbeddingInput::Text(text) => Ok(text.clone()),
                EmbeddingInput::Tokens(_) => Err(InferenceError::Unsupported {
                    origin: self.origin(false),
                    param: "input".to_owned(),
                    message: "a local model takes texts, not tokens".to_owned(),
                }),
            };
            if request.dimensions.is_some() {
                return Err(InferenceError::Unsupported {
                    origin: self.origin(false),
                    param: "dimensions".to_owned(),
                    message: "a local model's vectors have its own dimensions".to_owned(),
                });
            }
            let inputs: Result<Vec<String>, _> = request.inputs.iter().map(text).collect();
            let made = self.model.embed(inputs?).await;
            let made = made.map_err(|error| failure(self.origin(false), error))?;
            Ok(Embeddings {
                model: self.name.clone(),
                vectors: made.vectors,
                tokens: Some(tokens(made.usage)),
            })
        })
    }
}

/// An answer on its way from the worker.
struct Playing {
    origin: Origin,
    /// What the caller calls the form of its answer.
    format_field: String,
    generation: Generation,
    has_begun: bool,
    is_over: bool,
}

impl Playing {
    async fn advance(&mut self) -> Result<Option<Piece>, InferenceError> {
        if self.is_over {
            return Ok(None);
        }
        let mut events = Vec::new();
        match self.generation.next().await {
            Some(Ok(LocalEvent::Text(text))) => {
                self.begin(&mut events);
                events.push(Event::Delta { part: 0, text });
            }
            Some(Ok(LocalEvent::Finished { reason, usage })) => {
                self.begin(&mut events);
                self.is_over = true;
                events.push(Event::PartEnded { part: 0 });
                events.push(Event::Counted(tokens(usage)));
                let reason = match reason {
                    mainstay_local::FinishReason::Length => FinishReason::Length,
                    _ => FinishReason::Stop,
                };
                events.push(Event::Finished { reason, stop: None });
            }
            Some(Err(error)) => {
                self.is_over = true;
                let origin = Origin {
                    answering: self.has_begun,
                    ..self.origin.clone()
                };
                let error = in_callers_words(error, &self.format_field);
                return Err(failure(origin, error));
            }
            None => {
                self.is_over = true;
                let origin = self.origin.clone();
                return Err(failure(origin, LocalError::ShuttingDown));
            }
        }
        Ok(Some(Piece {
            events,
            ..Piece::default()
        }))
    }

    fn begin(&mut self, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        events.push(Event::Started {
            id: format!("local-{}", uuid::Uuid::now_v7().simple()),
            model: self.origin.model.clone(),
        });
        let kind = PartKind::Text;
        events.push(Event::PartStarted { part: 0, kind });
    }
}

impl Answering for Playing {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>> {
        Box::pin(self.advance())
    }
}

fn tokens(usage: Usage) -> Tokens {
    Tokens {
        input: usage.input,
        cache_read: usage.cached_input,
        output: usage.output,
        ..Tokens::default()
    }
}

/// A refusal of the worker, with the caller's field in the place of the worker's.
fn in_callers_words(error: LocalError, format_field: &str) -> LocalError {
    match error {
        LocalError::BadRequest { field, message } if field == "json_schema" => {
            LocalError::bad_request(format_field, message)
        }
        error => error,
    }
}

/// A failure of the worker in the words of the face. However a worker was lost, its device is no longer to
/// be trusted with what it held; what led to it is in the message.
fn failure(origin: Origin, error: LocalError) -> InferenceError {
    let message = error.to_string();
    let lost =
        |origin: Origin, device: String, code: Option<u32>, content_sent: bool, why: String| {
            let origin = Origin {
                answering: content_sent,
                ..origin
            };
            InferenceError::CudaContextPoisoned {
                origin,
                device,
                code,
                message: why,
            }
        };
    let busy = |origin: Origin, retry_after: Option<Duration>| InferenceError::Backpressure {
        origin,
        retry_after,
        message: message.clone(),
    };
    match error {
        LocalError::CudaContextPoisoned {
            device,
            code,
            content_sent,
            ..
        } => lost(origin, device, Some(code), content_sent, message),
        LocalError::WorkerLost {
            device,
            loss,
            content_sent,
        } => {
            let code = match loss {
                Loss::Poisoned { code, .. } => Some(code),
                _ => None,
            };
            let why = loss.to_string();
            lost(origin, device, code, content_sent, why)
        }
        LocalError::DeviceFailed { .. } => InferenceError::ServerError {
            origin,
            status: 500,
            retry_after: None,
            message,
        },
        LocalError::ContextLengthExceeded { tokens, limit } => {
            InferenceError::ContextLengthExceeded {
                origin,
                tokens: Some(tokens),
                max_tokens: Some(limit),
                message: String::new(),
            }
        }
        LocalError::BadRequest { field, message } => InferenceError::Unsupported {
            origin,
            param: field,
            message,
        },
        LocalError::QueueFull { .. } => busy(origin, Some(Duration::from_secs(1))),
        // What cannot be loaded is the operator's to mend; waiting does not help.
        LocalError::Quarantined {
            loss: Loss::NotLoaded { .. } | Loss::NotStarted { .. },
            ..
        } => InferenceError::ModelNotFound { origin, message },
        LocalError::Quarantined { .. } => {
            lost(origin, "the device".to_owned(), None, false, message)
        }
        LocalError::ShuttingDown => busy(origin, Some(Duration::from_secs(1))),
        LocalError::Internal { .. } => InferenceError::Internal { origin, message },
    }
}
