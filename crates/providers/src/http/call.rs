//! One call, from the request to the beginning of the answer.

use super::clock::{CallClock, Expired};
use super::connect::ConnectError;
use super::endpoint::Aim;
use super::key::{KeyError, Keyed};
use super::pool::{ExchangeError, ResponseBody};
use super::response::{Body, HttpAnswering};
use super::{HttpProvider, Timeouts, relay};
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use mainstay_contract::Timestamp;
use mainstay_inference::{
    Answering, Dialect, EncodedRequest, HOPS, InferenceError, NetworkPhase, ProviderCall, Relay,
    ResponseProblem, TimeoutPhase, WriteOptions, fault,
};
use mainstay_resilience::retry_after;
use std::borrow::Cow;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Questions from this size on are written on a thread of their own, in bytes.
const LARGE: usize = 256 << 10;
/// The most bytes of an error that are read.
const FAULT_BYTES_MAX: usize = 64 << 10;

pub(super) async fn call(
    provider: Arc<HttpProvider>,
    call: ProviderCall,
) -> Result<Box<dyn Answering>, InferenceError> {
    let caller = call.relay.as_ref().map(|relay| relay.dialect);
    let dialect = provider.settings.service.dialect(caller);
    let stream = call.request.stream;
    let written = written(&provider, &call, dialect).await?;
    let aim = Aim::Answer { dialect, stream };
    let headers = call.relay.as_ref().filter(|relay| relay.dialect == dialect);
    let headers = headers.map_or(&[][..], |relay| &relay.headers);
    let mut headers = headers.to_vec();
    headers.push((HOPS, call.hops.saturating_add(1).to_string()));
    let sent = send(&provider, aim, written.body, &headers, stream).await?;
    let answering = HttpAnswering::new(provider, sent, dialect, &call);
    Ok(Box::new(answering.without(written.dropped)))
}

/// Writing a large body takes a while, in which others want to be served.
async fn written(
    provider: &Arc<HttpProvider>,
    call: &ProviderCall,
    dialect: Dialect,
) -> Result<EncodedRequest, InferenceError> {
    let length = call.relay.as_ref().map_or(0, |relay| relay.body.len());
    if length < LARGE {
        return body(provider, call, dialect);
    }
    let (own, call) = (Arc::clone(provider), call.clone());
    let writing = tokio::task::spawn_blocking(move || body(&own, &call, dialect));
    writing.await.unwrap_or_else(|error| {
        Err(InferenceError::Internal {
            origin: provider.origin(false),
            message: error.to_string(),
        })
    })
}

fn body(
    provider: &HttpProvider,
    call: &ProviderCall,
    dialect: Dialect,
) -> Result<EncodedRequest, InferenceError> {
    let model = &provider.settings.model;
    let is_compatible = provider.settings.service == super::Service::OpenAiCompatible;
    let is_own =
        |own: &&Relay| own.dialect == dialect && !dialect.may_be_marked(&own.body, is_compatible);
    if let Some(own) = call.relay.as_ref().filter(is_own) {
        let body = relay::body(dialect, &own.body, model, &call.request);
        let body = body.map_err(|error| InferenceError::Internal {
            origin: provider.origin(false),
            message: error.to_string(),
        })?;
        return Ok(EncodedRequest {
            body,
            dropped: Vec::new(),
        });
    }
    let options = WriteOptions {
        model,
        is_compatible,
    };
    let encoded = dialect.write_request(&call.request, &options);
    encoded.map_err(|error| InferenceError::Unsupported {
        origin: provider.origin(false),
        param: error.param,
        message: error.message,
    })
}

/// A response that has begun, and what is needed to read it.
pub(super) struct Sent {
    pub(super) body: Body,
    pub(super) content_type: String,
    pub(super) clock: CallClock,
    pub(super) keyed: Arc<Keyed>,
}

/// Sends a request; a refused key is read again, and the request tried once more with the new one.
pub(super) async fn send(
    provider: &HttpProvider,
    aim: Aim,
    body: Vec<u8>,
    headers: &[(&'static str, String)],
    stream: bool,
) -> Result<Sent, InferenceError> {
    let body = Bytes::from(body);
    let mut keyed = provider
        .keys
        .current()
        .map_err(|error| key_error(provider, error))?;
    let timeouts = match stream {
        true => provider.settings.timeouts,
        false => Timeouts {
            first_token: provider.settings.timeouts.first_token_whole,
            ..provider.settings.timeouts
        },
    };
    let clock = CallClock::start(timeouts);
    let mut has_new_key = false;
    loop {
        let response = exchange(provider, aim, body.clone(), headers, &keyed, &clock).await?;
        let (head, incoming) = response.into_parts();
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let mut body = Body::new(incoming, provider.settings.limits);
        let encoded = encoding(&head.headers, &keyed);
        if head.status.is_success() {
            if let Some(told) = encoded {
                let problem = ResponseProblem::NotAnAnswer;
                return Err(bad_response(provider, true, problem, told));
            }
            let content_type = text("content-type").unwrap_or_default();
            let kind = content_type.split(';').next().unwrap_or_default();
            return Ok(Sent {
                body,
                content_type: kind.trim().to_ascii_lowercase(),
                clock,
                keyed,
            });
        }
        let (bytes, is_cut) = match encoded {
            Some(told) => (told.into_bytes(), false),
            None => body.read_some(&clock, FAULT_BYTES_MAX).await,
        };
        let origin = provider.origin(false);
        let error = refused(origin, head.status, &head.headers, &bytes, is_cut, &keyed);
        let is_refused_key = matches!(error, InferenceError::Unauthorized { .. });
        if !is_refused_key || has_new_key {
            return Err(error);
        }
        let again = provider.keys.after_refusal(&keyed);
        match again.map_err(|error| key_error(provider, error))? {
            Some(new) => (keyed, has_new_key) = (new, true),
            None => return Err(error),
        }
    }
}

/// What is to be said of a body that cannot be read, because it is in an encoding that nobody asked for.
fn encoding(headers: &HeaderMap, keyed: &Keyed) -> Option<String> {
    let named = headers.get("content-encoding")?;
    let named = String::from_utf8_lossy(named.as_bytes()).trim().to_owned();
    if named.is_empty() || named.eq_ignore_ascii_case("identity") {
        return None;
    }
    let named = keyed.cleaner.clean(&named);
    Some(format!(
        "its body is encoded as `{named}`, which was not asked for"
    ))
}

async fn exchange(
    provider: &HttpProvider,
    aim: Aim,
    body: Bytes,
    headers: &[(&'static str, String)],
    keyed: &Arc<Keyed>,
    clock: &CallClock,
) -> Result<Response<ResponseBody>, InferenceError> {
    let internal = |message: String| InferenceError::Internal {
        origin: provider.origin(false),
        message,
    };
    let mut request = Box::new(HttpRequest::new(Full::new(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = provider.endpoints.uri(aim);
    *request.headers_mut() = keyed.headers.clone();
    for (name, value) in headers {
        let Some(value) = beside_the_operators(provider, name, value) else {
            continue;
        };
        let value =
            http::HeaderValue::from_str(&value).map_err(|error| internal(error.to_string()))?;
        request.headers_mut().insert(*name, value);
    }
    match clock.limit(provider.pool.exchange(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(unreachable(provider, &error, keyed)),
        Err(expired) => Err(timed_out(provider, &expired, clock.elapsed(), false)),
    }
}

/// What a header of the caller says beside the operator's own: what is a list is joined, anything else stays as the
/// operator has it.
fn beside_the_operators<'a>(
    provider: &HttpProvider,
    name: &str,
    value: &'a str,
) -> Option<Cow<'a, str>> {
    let mut own = provider.settings.headers.iter();
    let own = own.find(|(other, _)| other.eq_ignore_ascii_case(name));
    match own {
        None => Some(Cow::Borrowed(value)),
        Some((_, own)) if name.ends_with("-beta") => {
            Some(Cow::Owned(format!("{},{value}", own.expose())))
        }
        Some(_) => None,
    }
}

fn refused(
    origin: mainstay_inference::Origin,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    is_cut: bool,
    keyed: &Keyed,
) -> InferenceError {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(Timestamp(0), |since| Timestamp(0).after(since));
    let texts = |name: &'static str| {
        let values = headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    };
    let wait = retry_after(texts, now);
    fault(origin, status.as_u16(), wait, body, is_cut, &keyed.cleaner)
}

pub(super) fn timed_out(
    provider: &HttpProvider,
    expired: &Expired,
    elapsed: Duration,
    answering: bool,
) -> InferenceError {
    InferenceError::Timeout {
        origin: provider.origin(answering),
        phase: expired.phase,
        after: expired.after,
        elapsed,
    }
}

pub(super) fn bad_response(
    provider: &HttpProvider,
    answering: bool,
    problem: ResponseProblem,
    message: String,
) -> InferenceError {
    InferenceError::BadResponse {
        origin: provider.origin(answering),
        problem,
        message,
    }
}

fn key_error(provider: &HttpProvider, error: KeyError) -> InferenceError {
    InferenceError::KeyUnavailable {
        origin: provider.origin(false),
        message: error.message(),
    }
}

fn unreachable(provider: &HttpProvider, error: &ExchangeError, keyed: &Keyed) -> InferenceError {
    let phase = match error {
        ExchangeError::Connect(ConnectError::TimedOut) => {
            let expired = Expired {
                phase: TimeoutPhase::Connect,
                after: provider.settings.timeouts.connect,
            };
            return timed_out(provider, &expired, expired.after, false);
        }
        ExchangeError::Connect(ConnectError::Failed { phase, .. }) => *phase,
        ExchangeError::Cut(_) => NetworkPhase::Send,
        ExchangeError::Http(_) => NetworkPhase::Response,
    };
    InferenceError::NetworkError {
        origin: provider.origin(false),
        phase,
        message: keyed.cleaner.clean(&chain(error)),
    }
}

/// An error with all that caused it.
pub(super) fn chain(error: &ExchangeError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

/// How long the end of a finished stream is waited for, so that its connection can be used again.
pub(super) const DRAIN: Duration = Duration::from_millis(5);
