//! An answer as it comes in: the whole at once, or a stream.

use super::call::{DRAIN, Sent, bad_response, timed_out};
use super::clock::CallClock;
use super::pool::ResponseBody;
use super::{HttpProvider, ResponseLimits};
use bytes::Bytes;
use mainstay_inference::{
    Answering, BoxFuture, DecodeError, Dialect, Event, InferenceError, NetworkPhase, Piece,
    ProviderCall, Request, ResponseProblem, Sse, SseError, SseReader, StreamDecoder, answer_abroad,
    stream_fault, whole_escapes,
};
use serde_json::Value;
use std::mem;
use std::sync::Arc;

/// A body with a bound.
pub(super) struct Body {
    incoming: ResponseBody,
    limits: ResponseLimits,
    size: usize,
}

/// Why a body cannot be read on.
pub(super) enum BodyError {
    Broken(hyper::Error),
    TooLarge,
}

impl Body {
    pub(super) fn new(incoming: ResponseBody, limits: ResponseLimits) -> Self {
        Self {
            incoming,
            limits,
            size: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(bytes) = self.incoming.next().await else {
            return Ok(None);
        };
        let bytes = bytes.map_err(BodyError::Broken)?;
        self.size = self.size.saturating_add(bytes.len());
        if self.size > self.limits.body_bytes_max {
            return Err(BodyError::TooLarge);
        }
        Ok(Some(bytes))
    }

    /// Reads the beginning of a body, as far as it comes; says whether there was more.
    pub(super) async fn read_some(
        &mut self,
        clock: &CallClock,
        bytes_max: usize,
    ) -> (Vec<u8>, bool) {
        let mut read = Vec::new();
        loop {
            match clock.limit(self.next()).await {
                Ok(Ok(Some(bytes))) => read.extend_from_slice(&bytes),
                Ok(Ok(None)) => return (read, false),
                _ => return (read, true),
            }
            if read.len() > bytes_max {
                read.truncate(bytes_max);
                return (read, true);
            }
        }
    }
}

impl Sent {
    /// The next bytes of the body, within the limits of time and size.
    pub(super) async fn next_bytes(
        &mut self,
        provider: &HttpProvider,
    ) -> Result<Option<Bytes>, InferenceError> {
        let answering = self.clock.has_token();
        match self.clock.limit(self.body.next()).await {
            Err(expired) => Err(timed_out(
                provider,
                &expired,
                self.clock.elapsed(),
                answering,
            )),
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(BodyError::TooLarge)) => Err(bad_response(
                provider,
                answering,
                ResponseProblem::TooLarge,
                "it is larger than accepted".to_owned(),
            )),
            Ok(Err(BodyError::Broken(error))) => Err(InferenceError::NetworkError {
                origin: provider.origin(answering),
                phase: NetworkPhase::Stream,
                message: self.keyed.cleaner.clean(&error.to_string()),
            }),
        }
    }
}

/// An answer on its way.
pub(super) struct HttpAnswering {
    provider: Arc<HttpProvider>,
    sent: Sent,
    dialect: Dialect,
    form: Form,
    hides_count: bool,
    /// Whether the caller speaks another dialect, or none.
    is_abroad: bool,
    request: Arc<Request>,
    left_out: Vec<String>,
}

enum Form {
    Whole,
    Stream {
        reader: SseReader,
        decoder: Box<dyn StreamDecoder>,
        is_ended: bool,
    },
    Unusable,
    Over,
}

impl HttpAnswering {
    pub(super) fn new(
        provider: Arc<HttpProvider>,
        sent: Sent,
        dialect: Dialect,
        call: &ProviderCall,
    ) -> Self {
        let request = &call.request;
        let kind = sent.content_type.as_str();
        let form = if kind == "text/event-stream" {
            Form::Stream {
                reader: SseReader::new(provider.settings.limits.event_bytes_max),
                decoder: dialect.stream_reader(request),
                is_ended: false,
            }
        } else if kind == "application/json" || kind.ends_with("+json") {
            Form::Whole
        } else {
            Form::Unusable
        };
        let hides_count = dialect == Dialect::OpenAiChat && request.stream && !request.stream_usage;
        Self {
            provider,
            sent,
            dialect,
            form,
            hides_count,
            is_abroad: call.relay.as_ref().map(|relay| relay.dialect) != Some(dialect),
            request: Arc::clone(request),
            left_out: Vec::new(),
        }
    }

    /// The same, with the fields of the question that the provider was not told.
    pub(super) fn without(self, left_out: Vec<String>) -> Self {
        Self { left_out, ..self }
    }

    async fn advance(&mut self) -> Result<Option<Piece>, InferenceError> {
        match mem::replace(&mut self.form, Form::Over) {
            Form::Over => Ok(None),
            Form::Whole => self.whole().await.map(Some),
            Form::Unusable => Err(self.unusable().await),
            Form::Stream {
                mut reader,
                mut decoder,
                mut is_ended,
            } => {
                if is_ended {
                    return Ok(None);
                }
                let piece = self
                    .stream(&mut reader, decoder.as_mut(), &mut is_ended)
                    .await?;
                if is_ended && piece.events.is_empty() && piece.raw.is_empty() {
                    return Ok(None);
                }
                self.form = Form::Stream {
                    reader,
                    decoder,
                    is_ended,
                };
                Ok(Some(piece))
            }
        }
    }

    async fn unusable(&mut self) -> InferenceError {
        let (bytes, is_cut) = self.sent.body.read_some(&self.sent.clock, 4 << 10).await;
        let said = self.sent.keyed.cleaner.clean_cut(&bytes, is_cut);
        let kind = self.sent.keyed.cleaner.clean(&self.sent.content_type);
        let message = format!("its content type is {kind:?}: {said}");
        bad_response(self.provider(), true, ResponseProblem::NotAnAnswer, message)
    }

    async fn whole(&mut self) -> Result<Piece, InferenceError> {
        let mut raw: Option<Bytes> = None;
        let mut joined = Vec::new();
        while let Some(bytes) = self.next_bytes().await? {
            self.sent.clock.note_token();
            match raw.take() {
                None if joined.is_empty() => raw = Some(bytes),
                first => {
                    joined.extend_from_slice(&first.unwrap_or_default());
                    joined.extend_from_slice(&bytes);
                }
            }
        }
        let raw = raw.unwrap_or_else(|| Bytes::from(joined));
        let answer = self
            .dialect
            .read_answer(&raw, &self.request)
            .map_err(|error| self.unreadable(error, &raw))?;
        // Bytes of another form than was asked for are nothing to hand on.
        let raw = if self.request.stream {
            Bytes::new()
        } else {
            raw
        };
        let events = self.told(answer.events())?;
        Ok(Piece { events, raw })
    }

    /// The next frame that says something; comments count as signs of life.
    async fn stream(
        &mut self,
        reader: &mut SseReader,
        decoder: &mut dyn StreamDecoder,
        is_ended: &mut bool,
    ) -> Result<Piece, InferenceError> {
        let mut events = Vec::new();
        let mut raw = Vec::new();
        loop {
            // What arrived together is handed on together.
            while let Some(frame) = reader
                .next_frame()
                .map_err(|error| self.not_a_stream(error))?
            {
                let Some(sse) = frame.sse else { continue };
                let before = events.len();
                let data = whole_escapes(sse.data);
                let sse = Sse { data: &data, ..sse };
                let decoded = decoder.decode(&sse, &mut events);
                decoded.map_err(|error| self.undecodable(error))?;
                if events[before..].iter().any(Event::is_content) {
                    self.sent.clock.note_token();
                }
                if self.hides_count && is_count(&events[before..]) {
                    continue;
                }
                raw.extend_from_slice(frame.raw);
            }
            if decoder.is_complete() {
                *is_ended = true;
                let _ = tokio::time::timeout(DRAIN, self.sent.body.next()).await;
                break;
            }
            if !raw.is_empty() || !events.is_empty() {
                break;
            }
            match self.next_bytes().await? {
                Some(bytes) => reader.push(&bytes),
                None => {
                    *is_ended = true;
                    let rest = mem::replace(reader, SseReader::new(0)).unfinished();
                    if let Some(data) = rest.filter(|data| data == "[DONE]") {
                        let sse = Sse {
                            name: "",
                            data: &data,
                        };
                        let decoded = decoder.decode(&sse, &mut events);
                        decoded.map_err(|error| self.undecodable(error))?;
                        raw.extend_from_slice(b"data: [DONE]\n\n");
                    }
                    decoder
                        .end(&mut events)
                        .map_err(|error| self.undecodable(error))?;
                    break;
                }
            }
        }
        if !self.request.stream {
            raw.clear();
        }
        Ok(Piece {
            events: self.told(events)?,
            raw: Bytes::from(raw),
        })
    }

    /// What the caller can be told of what was read.
    fn told(&self, events: Vec<Event>) -> Result<Vec<Event>, InferenceError> {
        if !self.is_abroad {
            return Ok(events);
        }
        answer_abroad(events).map_err(|error| InferenceError::Unsupported {
            origin: self.provider().origin(true),
            param: error.param,
            message: error.message,
        })
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, InferenceError> {
        self.sent.next_bytes(&self.provider).await
    }

    fn provider(&self) -> &HttpProvider {
        &self.provider
    }

    fn not_a_stream(&self, error: SseError) -> InferenceError {
        let problem = match error {
            SseError::TooLarge => ResponseProblem::TooLarge,
            SseError::NotUtf8 => ResponseProblem::Malformed,
        };
        let answering = self.sent.clock.has_token();
        bad_response(self.provider(), answering, problem, error.to_string())
    }

    /// Why a whole body is no answer. An error in place of one is told as a refusal is.
    fn unreadable(&self, error: DecodeError, body: &[u8]) -> InferenceError {
        match error {
            DecodeError::Fault(value) if !has_content(body) => {
                let origin = self.provider().origin(false);
                stream_fault(origin, &value, &self.sent.keyed.cleaner)
            }
            other => self.undecodable(other),
        }
    }

    fn undecodable(&self, error: DecodeError) -> InferenceError {
        let answering = self.sent.clock.has_token();
        let cleaner = &self.sent.keyed.cleaner;
        let problem = match &error {
            DecodeError::Fault(value) => {
                return stream_fault(self.provider().origin(answering), value, cleaner);
            }
            DecodeError::Malformed(_) => ResponseProblem::Malformed,
            DecodeError::BrokenOff(_) => ResponseProblem::BrokenOff,
            DecodeError::Cut => ResponseProblem::CutStream,
            DecodeError::DuplicateToolId(_) => ResponseProblem::DuplicateToolId,
            DecodeError::IncompleteToolCall => ResponseProblem::IncompleteToolCall,
        };
        let said = cleaner.clean(&error.to_string());
        bad_response(self.provider(), answering, problem, said)
    }
}

/// Whether a body that tells of an error has something of an answer too, in any dialect.
fn has_content(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let lists = ["choices", "output", "content", "candidates"];
    let mut lists = lists.iter().filter_map(|name| body[name].as_array());
    lists.any(|list| !list.is_empty())
}

/// Whether a frame brought the count alone, which only we asked for.
fn is_count(events: &[Event]) -> bool {
    matches!(events, [Event::Counted(_)])
}

impl Answering for HttpAnswering {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>> {
        Box::pin(self.advance())
    }

    fn left_out(&self) -> &[String] {
        &self.left_out
    }
}
