//! A request as it comes in: who sends it, its id, its body, its deadline.

use super::refusal::{Refusal, refuse};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body_util::BodyExt;
use mainstay_contract::{Code, ErrorReport};
use mainstay_inference::{Dialect, HOPS, Spender};
use mainstay_resilience::Priority;
use std::sync::Arc;
use std::time::Duration;

/// The largest body, in bytes: pictures and documents travel in it.
const BYTES_MAX: usize = 64 << 20;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(120);
/// How much of a refused body is read and thrown away, so that its sender can read the answer.
const DRAIN_BYTES_MAX: usize = 256 << 20;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Who calls.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The name of the key; absent for the owner.
    pub key: Option<Arc<str>>,
    /// How urgent its requests are.
    pub priority: Priority,
}

/// A request that came in.
pub(super) struct Arrival {
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: String,
    /// Any number, different for each request.
    pub(super) random: u64,
    pub(super) dialect: Dialect,
    /// Through how many gateways it came.
    pub(super) hops: u8,
}

/// A request that came through more gateways goes round in a circle.
const HOPS_MAX: u8 = 8;

impl Arrival {
    pub(super) async fn read(dialect: Dialect, request: Request) -> Result<Self, Box<Response>> {
        let (parts, body) = request.into_parts();
        let (request_id, random) = request_id_and_random();
        let caller = parts.extensions.get::<Caller>().cloned();
        let hops = parts.headers.get(HOPS);
        let hops = hops.and_then(|hops| hops.to_str().ok()?.parse::<u8>().ok());
        let hops = hops.unwrap_or(0);
        if hops >= HOPS_MAX {
            let message = format!(
                "the request came through {hops} gateways: the `base_url` of a model leads back to one of them"
            );
            let refusal = Refusal::invalid(message, None);
            return Err(Box::new(refuse(dialect, &refusal, &request_id)));
        }
        match read_body(&parts.headers, body).await {
            Ok(body) => Ok(Self {
                caller: caller.unwrap_or_default(),
                headers: parts.headers,
                body,
                request_id,
                random,
                dialect,
                hops,
            }),
            Err(report) => {
                let refusal = Refusal::of(&report);
                let mut response = refuse(dialect, &refusal, &request_id);
                let close = header::HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
                Err(Box::new(response))
            }
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whom usage is counted for. A caller may say which agent and session it speaks for.
    pub(super) fn spender(&self) -> Spender {
        let named = |name: &str| {
            let text = self.text(name)?.trim();
            (!text.is_empty() && text.len() <= 128).then(|| Arc::from(text))
        };
        Spender {
            key: self.caller.key.clone(),
            agent: named("x-mainstay-agent"),
            sessions: named("x-mainstay-session").into_iter().collect(),
        }
    }

    /// How long the caller waits: what it says itself, or what the official clients say of their timeout.
    pub(super) fn patience(&self) -> Option<Duration> {
        let own = self
            .text("x-mainstay-timeout-ms")
            .and_then(|text| text.parse().ok());
        let own = own.map(Duration::from_millis);
        own.or_else(|| {
            let seconds: f64 = self.text("x-stainless-timeout")?.parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        })
    }

    /// Headers that the caller may choose for the provider of its dialect.
    pub(super) fn relayed(&self) -> Vec<(&'static str, String)> {
        let names: &[&'static str] = match self.dialect {
            Dialect::Anthropic => &["anthropic-beta", "anthropic-version"],
            Dialect::OpenAiChat | Dialect::OpenAiResponses => &["openai-beta"],
            Dialect::Gemini => &[],
        };
        let pair = |name: &&'static str| Some((*name, self.text(name)?.to_owned()));
        names.iter().filter_map(pair).collect()
    }
}

/// A fresh id, which the log, the headers and the body of a failure share.
pub(super) fn request_id() -> String {
    request_id_and_random().0
}

/// The same, and its random half: each asking of the system for random bytes costs more than the rest of it.
fn request_id_and_random() -> (String, u64) {
    let id = uuid::Uuid::now_v7();
    (format!("req_{}", id.simple()), id.as_u64_pair().1)
}

async fn read_body(headers: &HeaderMap, mut body: Body) -> Result<Bytes, ErrorReport> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BYTES_MAX as u64) {
        tokio::spawn(drain(body));
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut joined = Vec::new();
    let broken = || ErrorReport::new(Code::BadRequest, "the body broke off");
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else {
                continue;
            };
            if joined.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > BYTES_MAX {
                return Err(too_large());
            }
            match first.take() {
                None if joined.is_empty() => first = Some(data),
                before => {
                    joined.extend_from_slice(&before.unwrap_or_default());
                    joined.extend_from_slice(&data);
                }
            }
        }
        Ok(())
    };
    match tokio::time::timeout(ARRIVAL, reading).await {
        Ok(Ok(())) => Ok(first.unwrap_or_else(|| Bytes::from(joined))),
        Ok(Err(report)) => {
            tokio::spawn(drain(body));
            Err(report)
        }
        Err(_) => Err(ErrorReport::new(
            Code::BadRequest,
            "the body did not arrive in time",
        )),
    }
}

fn too_large() -> ErrorReport {
    let message = format!("the body is larger than {BYTES_MAX} bytes");
    ErrorReport::new(Code::RequestTooLarge, message)
}

/// Reads on without keeping anything: a connection that is cut while its sender still sends loses the
/// answer on the way.
async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = rest;
        }
    };
    let _cut = tokio::time::timeout(DRAIN_TIME, reading).await;
}
