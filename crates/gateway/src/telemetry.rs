//! Traces of requests, by OpenTelemetry's conventions for generative AI: a span for each request, and below it
//! one for each call of a provider. They tell names, counts, times and codes; prompts, answers and secrets are
//! never part of them.
//!
//! Traces are sent where the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`), as protobuf over HTTP, and nowhere without them.

use crate::trace::{AttemptTrace, FlowTrace, Question};
use mainstay_inference::{EmbeddingEncoding, EmbeddingRequest, FinishReason, Request, Tokens};
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, Key, KeyValue, StringValue, Value};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::sync::Arc;

const SCOPE: &str = "mainstay";
const ENDPOINTS: &[&str] = &[
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Where traces go.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Why no traces are sent although the environment asks for them.
#[derive(Debug, thiserror::Error)]
enum TelemetryError {
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    #[error("the exporter cannot be set up: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

impl Telemetry {
    /// What the environment asks for; nothing where it asks for nothing.
    pub(crate) fn from_environment() -> Option<Self> {
        let is_asked = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !ENDPOINTS.iter().any(is_asked) {
            return None;
        }
        // The client blocks, and may neither be made nor dropped where tasks run.
        let made = std::thread::spawn(Self::open).join();
        match made {
            Ok(Ok(telemetry)) => Some(telemetry),
            Ok(Err(error)) => {
                tracing::error!(%error, "no traces are sent");
                None
            }
            Err(_) => {
                tracing::error!("no traces are sent: setting them up panicked");
                None
            }
        }
    }

    fn open() -> Result<Self, TelemetryError> {
        let client = |error: &dyn std::fmt::Display| TelemetryError::Client(error.to_string());
        let roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| client(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build()
            .map_err(|error| client(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(http)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(service_name())
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer(SCOPE);
        Ok(Self { provider, tracer })
    }

    /// Sends what is left; the node ends.
    pub(crate) fn shutdown(&self) {
        let provider = self.provider.clone();
        let ended = std::thread::spawn(move || provider.shutdown()).join();
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }

    /// Tells of a request that is over.
    pub(crate) fn request(&self, trace: &FlowTrace, question: Question<'_>) {
        let parent = trace.parent.as_deref().and_then(remote);
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        let mut attributes = asked(question);
        attributes.extend(answered(trace));
        attributes.extend(usage(question, trace.tokens));
        if let Some(key) = &trace.key {
            attributes.push(text("mainstay.key", key));
        }
        attributes.push(text("mainstay.request_id", &trace.request_id));
        let name = format!("{} {}", question.operation(), question.model());
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(trace.started)
            .with_attributes(attributes);
        let span = self.tracer.build_with_context(span, &parent);
        let context = parent.with_span(span);
        for attempt in &trace.attempts {
            self.attempt(trace, attempt, question, &context);
        }
        let span = context.span();
        if let Some(code) = &trace.code {
            span.set_status(Status::error(code.clone()));
        }
        span.end_with_timestamp(trace.ended);
    }

    fn attempt(
        &self,
        trace: &FlowTrace,
        attempt: &AttemptTrace,
        question: Question<'_>,
        context: &Context,
    ) {
        let operation = question.operation();
        let mut attributes = vec![
            text("gen_ai.operation.name", operation),
            text("gen_ai.request.model", &attempt.model),
            text("mainstay.model", &attempt.deployment),
            KeyValue::new("mainstay.attempt", i64::from(attempt.number)),
        ];
        attributes.extend(provided(attempt.provider.as_deref()));
        if let Some(tokens) = attempt.tokens {
            attributes.extend(usage(question, tokens));
        }
        match &attempt.code {
            Some(code) => attributes.push(text("error.type", code)),
            None => attributes.extend(response(trace)),
        }
        let span = SpanBuilder::from_name(format!("{operation} {}", attempt.model))
            .with_kind(SpanKind::Client)
            .with_start_time(attempt.started)
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(span, context);
        if let Some(code) = &attempt.code {
            opentelemetry::trace::Span::set_status(&mut span, Status::error(code.clone()));
        }
        opentelemetry::trace::Span::end_with_timestamp(
            &mut span,
            attempt.ended.unwrap_or(trace.ended),
        );
    }
}

/// What the environment calls the service: `OTEL_SERVICE_NAME`, or else `service.name` among
/// `OTEL_RESOURCE_ATTRIBUTES`.
fn service_name() -> Value {
    let own = std::env::var("OTEL_SERVICE_NAME").ok();
    let own = own.filter(|name| !name.is_empty()).map(Value::from);
    let among_others = || {
        let others = EnvResourceDetector::new().detect();
        others.get(&Key::from_static_str("service.name"))
    };
    own.or_else(among_others).unwrap_or_else(|| SCOPE.into())
}

/// What is asked for, as far as it says nothing of its content.
fn asked(question: Question<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("gen_ai.operation.name", question.operation()),
        text("gen_ai.request.model", question.model()),
    ];
    attributes.extend(match question {
        Question::Chat(request) => sampling(request),
        Question::Embeddings(request) => vectors(request),
    });
    attributes
}

fn vectors(request: &EmbeddingRequest) -> Vec<KeyValue> {
    let encoding = match request.encoding {
        EmbeddingEncoding::Float => "float",
        EmbeddingEncoding::Base64 => "base64",
    };
    let mut attributes = vec![list("gen_ai.request.encoding_formats", encoding)];
    let dimensions = request.dimensions.map(integer);
    attributes
        .extend(dimensions.map(|count| KeyValue::new("gen_ai.embeddings.dimension.count", count)));
    attributes
}

fn sampling(request: &Request) -> Vec<KeyValue> {
    let sampling = &request.sampling;
    let mut attributes = Vec::new();
    let mut number = |name: &'static str, value: Option<f64>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    number("gen_ai.request.temperature", sampling.temperature);
    number("gen_ai.request.top_p", sampling.top_p);
    number(
        "gen_ai.request.frequency_penalty",
        sampling.frequency_penalty,
    );
    number("gen_ai.request.presence_penalty", sampling.presence_penalty);
    let mut count = |name: &'static str, value: Option<u64>| {
        attributes.extend(value.map(|value| KeyValue::new(name, integer(value))));
    };
    count("gen_ai.request.max_tokens", request.output_tokens_max);
    count("gen_ai.request.top_k", sampling.top_k);
    count("gen_ai.request.choice.count", request.choices);
    attributes.extend(
        sampling
            .seed
            .map(|seed| KeyValue::new("gen_ai.request.seed", seed)),
    );
    attributes
}

/// What came of it.
fn answered(trace: &FlowTrace) -> Vec<KeyValue> {
    let mut attributes = vec![text("mainstay.cost_usd", &trace.usd.to_string())];
    attributes.extend(provided(trace.provider.as_deref()));
    if let Some(deployment) = &trace.deployment {
        attributes.push(text("mainstay.model", deployment));
    }
    if trace.is_kept {
        attributes.push(KeyValue::new("mainstay.cache_hit", true));
    }
    attributes.extend(response(trace));
    if let Some(code) = &trace.code {
        attributes.push(text("error.type", code));
    }
    attributes
}

/// What was counted. Vectors are no tokens.
fn usage(question: Question<'_>, tokens: Tokens) -> Vec<KeyValue> {
    let Tokens { input, output, .. } = tokens;
    let mut attributes = vec![KeyValue::new("gen_ai.usage.input_tokens", integer(input))];
    if let Question::Chat(_) = question {
        let output = integer(output);
        attributes.push(KeyValue::new("gen_ai.usage.output_tokens", output));
    }
    attributes
}

/// What the provider tells of its answer.
fn response(trace: &FlowTrace) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if let Some((id, model)) = &trace.response {
        let told = [("gen_ai.response.id", id), ("gen_ai.response.model", model)];
        let told = told.into_iter().filter(|(_, value)| !value.is_empty());
        attributes.extend(told.map(|(name, value)| text(name, value)));
    }
    if let Some(reason) = trace.reason {
        let reason = reason_name(reason);
        attributes.push(list("gen_ai.response.finish_reasons", reason));
    }
    attributes
}

fn provided(provider: Option<&str>) -> Option<KeyValue> {
    provider.map(|provider| text("gen_ai.provider.name", provider_name(provider)))
}

/// The name of a provider by the conventions.
fn provider_name(provider: &str) -> &str {
    match provider {
        "azure_openai" => "azure.ai.openai",
        "gemini" => "gcp.gemini",
        other => other,
    }
}

const fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Pause => "pause",
    }
}

/// The caller's span, from a `traceparent` header (W3C Trace Context, section 3.2).
fn remote(header: &str) -> Option<SpanContext> {
    let mut fields = header.trim().split('-');
    let (version, trace, span, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    if version == "ff" || version.len() != 2 || flags.len() < 2 {
        return None;
    }
    let trace = TraceId::from_hex(trace)
        .ok()
        .filter(|id| *id != TraceId::INVALID)?;
    let span = SpanId::from_hex(span)
        .ok()
        .filter(|id| *id != SpanId::INVALID)?;
    let flags = u8::from_str_radix(flags.get(..2)?, 16).ok()?;
    let flags = TraceFlags::new(flags & 1);
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

fn text(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, value.to_owned())
}

/// A list of one.
fn list(name: &'static str, value: &'static str) -> KeyValue {
    let values = vec![StringValue::from(value)];
    KeyValue::new(name, Value::Array(values.into()))
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::remote;

    #[test]
    fn callers_spans_are_read_and_nonsense_is_not() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = remote(header).unwrap();
        assert!(context.is_remote() && context.is_sampled());
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        for header in [
            "",
            "00-0-0-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert!(remote(header).is_none(), "{header}");
        }
    }
}
