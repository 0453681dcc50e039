//! One call from the request to the whole answer.

use super::answer::{AnswerError, Chunk, PartialAnswer};
use super::clock::{CallClock, Expired};
use super::fault::Fault;
use super::sse::{SseError, SseParser};
use super::{OpenAiProvider, request, retry_after};
use crate::{
    InferenceError, ModelAnswer, ModelRequest, NetworkPhase, ResponseProblem, TimeoutPhase,
};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use std::error::Error as _;
use std::time::{Duration, SystemTime};

/// The most bytes of an error that are read.
const FAULT_BYTES_MAX: usize = 64 << 10;

/// How long the end of a finished stream is waited for, so that its connection can be used again.
const DRAIN: Duration = Duration::from_millis(5);

pub(super) struct Call<'a> {
    provider: &'a OpenAiProvider,
    clock: CallClock,
    answers_before: u64,
}

impl<'a> Call<'a> {
    pub(super) fn new(provider: &'a OpenAiProvider, answers_before: u64) -> Self {
        Self {
            provider,
            clock: CallClock::start(provider.timeouts),
            answers_before,
        }
    }

    pub(super) async fn run(
        mut self,
        request: &ModelRequest,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ModelAnswer, InferenceError> {
        self.clock = CallClock::start(self.provider.timeouts);
        let body = request::encode(&self.provider.model, request).map_err(|error| {
            InferenceError::Internal {
                origin: self.provider.origin(false),
                message: error.to_string(),
            }
        })?;
        let sent = self
            .provider
            .client
            .post(self.provider.url.clone())
            .body(body)
            .send();
        let response = match self.clock.limit(sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.unreachable(error)),
            Err(expired) => return Err(self.timeout(&expired)),
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind == "text/event-stream" {
            self.read_stream(response, on_text).await
        } else if kind == "application/json" || kind.ends_with("+json") {
            self.read_whole(response, on_text).await
        } else {
            self.clock.note_token();
            let (body, is_cut) = self.read_fault(response).await;
            let said = self.provider.cleaner.clean_cut(&body, is_cut);
            let kind = self.provider.cleaner.clean(kind);
            Err(self.bad(
                ResponseProblem::NotAnAnswer,
                format!("its content type is {kind:?}: {said}"),
            ))
        }
    }

    async fn read_stream(
        &mut self,
        mut response: Response,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ModelAnswer, InferenceError> {
        let limits = self.provider.limits;
        let mut parser = SseParser::new(limits.event_bytes_max);
        let mut answer = PartialAnswer::default();
        let mut events = Vec::new();
        let mut size = 0usize;
        while let Some(piece) = self.next_piece(&mut response).await? {
            size = size.saturating_add(piece.len());
            if size > limits.body_bytes_max {
                return Err(self.too_large());
            }
            let parsed = parser.push(&piece, &mut events);
            for event in events.drain(..) {
                if event == "[DONE]" {
                    let answer = self.finish(answer)?;
                    let _ = tokio::time::timeout(DRAIN, response.chunk()).await;
                    return Ok(answer);
                }
                self.add_event(&mut answer, &event, on_text)?;
            }
            parsed.map_err(|error| match error {
                SseError::TooLarge => self.too_large(),
                SseError::NotUtf8 => self.bad(
                    ResponseProblem::Malformed,
                    "an event is not UTF-8".to_owned(),
                ),
            })?;
        }
        if parser.unfinished().as_deref() == Some("[DONE]") {
            return self.finish(answer);
        }
        Err(self.bad(
            ResponseProblem::CutStream,
            "the stream ended before [DONE]".to_owned(),
        ))
    }

    fn add_event(
        &mut self,
        answer: &mut PartialAnswer,
        event: &str,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), InferenceError> {
        let chunk = self.parse(event.as_bytes())?;
        let has_token = answer
            .add(chunk, on_text)
            .map_err(|error| self.unusable(error))?;
        if has_token {
            self.clock.note_token();
        }
        Ok(())
    }

    async fn read_whole(
        &mut self,
        mut response: Response,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ModelAnswer, InferenceError> {
        let mut body = Vec::new();
        while let Some(piece) = self.next_piece(&mut response).await? {
            self.clock.note_token();
            if body.len().saturating_add(piece.len()) > self.provider.limits.body_bytes_max {
                return Err(self.too_large());
            }
            body.extend_from_slice(&piece);
        }
        let chunk = self.parse(&body)?;
        let mut answer = PartialAnswer::default();
        answer
            .add(chunk, on_text)
            .map_err(|error| self.unusable(error))?;
        self.finish(answer)
    }

    fn parse(&self, json: &[u8]) -> Result<Chunk, InferenceError> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| {
            self.bad(
                ResponseProblem::Malformed,
                format!("it is not JSON: {error}"),
            )
        })?;
        let is_error = value.get("error").is_some_and(|error| !error.is_null())
            || (value.get("choices").is_none() && value.get("message").is_some());
        if is_error {
            let fault = Fault::of_event(&value, &self.provider.cleaner);
            return Err(fault.classify(self.provider.origin(self.clock.has_token())));
        }
        if value.get("choices").is_none() && value.get("usage").is_none() {
            return Err(self.bad(
                ResponseProblem::NotAnAnswer,
                "it holds no choices".to_owned(),
            ));
        }
        // Read again from the text: a tree would have hidden a key that stands there twice.
        serde_json::from_slice(json).map_err(|error| {
            let said = self.provider.cleaner.clean(&error.to_string());
            self.bad(
                ResponseProblem::Malformed,
                format!("it has another shape: {said}"),
            )
        })
    }

    fn finish(&self, answer: PartialAnswer) -> Result<ModelAnswer, InferenceError> {
        answer
            .finish(self.answers_before)
            .map_err(|error| self.unusable(error))
    }

    async fn next_piece(
        &self,
        response: &mut Response,
    ) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>, InferenceError>
    {
        match self.clock.limit(response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(self.broken(NetworkPhase::Stream, error)),
            Err(expired) => Err(self.timeout(&expired)),
        }
    }

    /// As much of an error as comes in time; its status counts even without a body.
    async fn read_fault(&self, mut response: Response) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        while let Ok(Ok(Some(piece))) = self.clock.limit(response.chunk()).await {
            body.extend_from_slice(&piece);
            if body.len() > FAULT_BYTES_MAX {
                body.truncate(FAULT_BYTES_MAX);
                return (body, true);
            }
        }
        (body, false)
    }

    async fn refused(&mut self, response: Response) -> InferenceError {
        let status = response.status().as_u16();
        let wait = retry_after::retry_after(response.headers(), SystemTime::now());
        self.clock.note_token();
        let (body, is_cut) = self.read_fault(response).await;
        Fault::of_body(status, &body, is_cut, wait, &self.provider.cleaner)
            .classify(self.provider.origin(false))
    }

    fn unreachable(&self, error: reqwest::Error) -> InferenceError {
        if error.is_timeout() && error.is_connect() {
            let after = self.provider.timeouts.connect;
            return self.timeout(&Expired {
                phase: TimeoutPhase::Connect,
                after,
            });
        }
        let phase = if error.is_dns() {
            NetworkPhase::Resolve
        } else if is_tls(&error) {
            NetworkPhase::Tls
        } else if error.is_connect() {
            NetworkPhase::Connect
        } else {
            NetworkPhase::Response
        };
        self.broken(phase, error)
    }

    fn broken(&self, phase: NetworkPhase, error: reqwest::Error) -> InferenceError {
        let error = error.without_url();
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        let message = self.provider.cleaner.clean(&message);
        let origin = self.provider.origin(self.clock.has_token());
        InferenceError::NetworkError {
            origin,
            phase,
            message,
        }
    }

    fn timeout(&self, expired: &Expired) -> InferenceError {
        let origin = self.provider.origin(self.clock.has_token());
        InferenceError::Timeout {
            origin,
            phase: expired.phase,
            after: expired.after,
        }
    }

    fn bad(&self, problem: ResponseProblem, message: String) -> InferenceError {
        let origin = self.provider.origin(self.clock.has_token());
        InferenceError::BadResponse {
            origin,
            problem,
            message,
        }
    }

    fn too_large(&self) -> InferenceError {
        self.bad(
            ResponseProblem::TooLarge,
            "it is larger than accepted".to_owned(),
        )
    }

    fn unusable(&self, error: AnswerError) -> InferenceError {
        let origin = self.provider.origin(true);
        match error {
            AnswerError::Bad(problem, what) => self.bad(problem, what.to_owned()),
            AnswerError::Filtered(refusal) => {
                let message = self.provider.cleaner.clean(&refusal);
                InferenceError::ContentFiltered { origin, message }
            }
            AnswerError::TooLong(tokens) => InferenceError::ContextLengthExceeded {
                origin,
                tokens,
                limit: None,
                message: "the answer stopped at a length limit before its end".to_owned(),
            },
            AnswerError::Failed => InferenceError::ServerError {
                origin,
                status: 500,
                retry_after: None,
                message: "the answer finished with an error".to_owned(),
            },
        }
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref().is_some_and(wraps_tls) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// An error of input and output hides what it wraps from `source`.
fn wraps_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| {
        inner.is::<rustls::Error>() || inner.downcast_ref().is_some_and(wraps_tls)
    })
}
