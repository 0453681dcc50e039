//! `http`: a request of the agent, performed by the node outside the sandbox. It reaches only what a
//! rule allows, only at addresses that were checked, and carries secrets that the agent never sees.

mod address;
mod target;

use super::{Context, Ran, ToolResult, arguments, object};
use address::resolve;
use mainstay_contract::{Code, ErrorReport, Secret, ToolCall};
use mainstay_manifest::{Http, Method};
use mainstay_providers::ToolSpec;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use target::Target;
use tokio::sync::watch;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The header that tells the target of repetitions.
const KEY_HEADER: &str = "idempotency-key";
/// Headers that are the node's to set.
const RESERVED: &[&str] = &[
    "host",
    "authorization",
    "proxy-authorization",
    "cookie",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    KEY_HEADER,
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

pub(super) fn spec(options: &Http) -> ToolSpec {
    let rules: Vec<String> = options.allow.iter().map(ToString::to_string).collect();
    let properties = json!({
        "method": { "type": "string", "enum": Method::ALL.map(Method::as_str) },
        "url": { "type": "string" },
        "headers": { "type": "object", "additionalProperties": { "type": "string" } },
        "body": { "type": "string" },
    });
    ToolSpec {
        name: "http".to_owned(),
        description: format!(
            "Send an HTTP request. Allowed: {}. Redirects are not followed.",
            rules.join(", ")
        ),
        parameters: object(properties, &["method", "url"]),
    }
}

/// How far a request got.
enum Fate {
    Answered {
        status: u16,
        text: String,
    },
    /// Nothing left the node.
    Kept(String),
    /// It may have arrived.
    Lost(String),
}

pub(super) async fn run(
    context: &Context<'_>,
    options: &Http,
    call: &ToolCall,
    mut aborted: watch::Receiver<bool>,
) -> Ran {
    let wanted: Arguments = match arguments(call) {
        Ok(wanted) => wanted,
        Err(result) => return Ran::Ended(result),
    };
    let prepared = prepare(options, &wanted);
    let (method, target, headers) = match prepared {
        Ok(prepared) => prepared,
        Err((code, text)) => return Ran::Ended(ToolResult::failed(code, text)),
    };
    let addresses = match resolve(&target, &options.private).await {
        Ok(addresses) => addresses,
        Err(refused) => return Ran::Ended(ToolResult::failed(refused.code(), refused.to_string())),
    };
    let request = Request {
        method,
        target,
        headers,
        body: wanted.body,
        addresses,
    };
    let sent = tokio::select! {
        sent = send(context, options, request) => sent,
        _ = aborted.wait_for(|is_aborted| *is_aborted) => return Ran::Aborted,
    };
    match sent {
        Fate::Answered { status, text } => {
            let text = format!("HTTP {status}\n{text}");
            Ran::Ended(ToolResult {
                code: None,
                text,
                blobs: Vec::new(),
                has_touched_view: false,
            })
        }
        Fate::Kept(why) => Ran::Ended(ToolResult::failed(Code::ToolFailed, redact(context, &why))),
        Fate::Lost(why) => {
            let message = format!(
                "the request was sent and no answer came: {}",
                redact(context, &why)
            );
            Ran::Unknown(Box::new(ErrorReport::new(Code::ToolFailed, message)))
        }
    }
}

/// Asks the probe's target whether the call arrived.
pub(super) async fn probe(
    context: &Context<'_>,
    options: &Http,
) -> Result<Option<String>, Box<ErrorReport>> {
    let unknown = |why: String| {
        let message = format!("the probe cannot tell: {}", redact(context, &why));
        Box::new(ErrorReport::new(Code::EffectInDoubt, message))
    };
    let probe = options
        .probe
        .as_ref()
        .ok_or_else(|| unknown("there is none".to_owned()))?;
    let url = probe.url.replace("{key}", context.key);
    let target = Target::parse(&url).map_err(unknown)?;
    let addresses = resolve(&target, &options.private).await;
    let addresses = addresses.map_err(|refused| unknown(refused.to_string()))?;
    let headers = HeaderMap::new();
    let request = Request {
        method: probe.method,
        target,
        headers,
        body: None,
        addresses,
    };
    match send(context, options, request).await {
        Fate::Answered { status, text } => match probe.verdict(status) {
            Some(true) => Ok(Some(format!(
                "It took effect. The probe answered HTTP {status}\n{text}"
            ))),
            Some(false) => Ok(None),
            None => Err(unknown(format!("it answered HTTP {status}"))),
        },
        Fate::Kept(why) | Fate::Lost(why) => Err(unknown(why)),
    }
}

struct Request {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Option<String>,
    addresses: Vec<std::net::SocketAddr>,
}

type Refusal = (Code, String);

fn prepare(options: &Http, wanted: &Arguments) -> Result<(Method, Target, HeaderMap), Refusal> {
    let invalid = |text: String| (Code::ToolInvalidArguments, text);
    let method = Method::parse(&wanted.method.to_ascii_uppercase())
        .ok_or_else(|| invalid(format!("There is no method {}.", wanted.method)))?;
    let target = Target::parse(&wanted.url).map_err(invalid)?;
    let is_allowed = options
        .allow
        .iter()
        .any(|rule| target.is_allowed(rule, method));
    if !is_allowed {
        let rules: Vec<String> = options.allow.iter().map(ToString::to_string).collect();
        let text = format!(
            "{method} {} is not allowed. Allowed: {}.",
            wanted.url,
            rules.join(", ")
        );
        return Err((Code::ToolNotPermitted, text));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &wanted.headers {
        let lower = name.to_ascii_lowercase();
        let is_secret = options
            .secret
            .iter()
            .any(|secret| secret.header.eq_ignore_ascii_case(name));
        if RESERVED.contains(&lower.as_str()) || is_secret {
            return Err((
                Code::ToolNotPermitted,
                format!("The header {name} is the node's to set."),
            ));
        }
        let name = HeaderName::from_bytes(lower.as_bytes());
        let value = HeaderValue::from_str(value);
        match (name, value) {
            (Ok(name), Ok(value)) => headers.append(name, value),
            _ => {
                return Err(invalid(
                    "A header holds characters that cannot be sent.".to_owned(),
                ));
            }
        };
    }
    Ok((method, target, headers))
}

async fn send(context: &Context<'_>, options: &Http, request: Request) -> Fate {
    let Request {
        method,
        target,
        headers,
        body,
        addresses,
    } = request;
    let tls = context.inner.tls.clone();
    let client = match client_for(tls, &target, &addresses, options.timeout) {
        Ok(client) => client,
        Err(error) => return Fate::Kept(error),
    };
    let method = match reqwest::Method::from_bytes(method.as_str().as_bytes()) {
        Ok(method) => method,
        Err(error) => return Fate::Kept(error.to_string()),
    };
    let mut sending = client.request(method, target.url()).headers(headers);
    sending = sending.header(KEY_HEADER, context.key);
    for secret in options
        .secret
        .iter()
        .filter(|secret| target.is_host(&secret.host))
    {
        let found = context
            .secrets
            .iter()
            .find(|(name, _)| *name == secret.secret);
        let Some(value) = found.and_then(|(_, value)| sensitive(value)) else {
            return Fate::Kept(format!("the secret {} cannot be sent", secret.secret));
        };
        sending = sending.header(secret.header.as_str(), value);
    }
    if let Some(body) = body {
        sending = sending.body(body);
    }
    match sending.send().await {
        Ok(response) => read(context, response, options.response_bytes_max).await,
        Err(error) if error.is_connect() || error.is_builder() => Fate::Kept(explain(&error)),
        Err(error) => Fate::Lost(explain(&error)),
    }
}

fn sensitive(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A client that can connect only to the addresses that were checked.
fn client_for(
    tls: rustls::ClientConfig,
    target: &Target,
    addresses: &[std::net::SocketAddr],
    timeout: Duration,
) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT.min(timeout))
        .timeout(timeout)
        .resolve_to_addrs(target.host(), addresses)
        .build()
        .map_err(|error| error.to_string())
}

/// Reads an answer up to its limit, without the secrets it may repeat; what is beyond is left and said.
async fn read(context: &Context<'_>, mut response: reqwest::Response, bytes_max: u64) -> Fate {
    let status = response.status().as_u16();
    let location = response.headers().get("location");
    let mut text = match location.and_then(|value| value.to_str().ok()) {
        Some(to) => redact(context, &format!("location: {to}\n")),
        None => String::new(),
    };
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    // A secret that stands across the cut is read whole, so that it is known for what it is.
    let longest = context
        .secrets
        .iter()
        .map(|(_, it)| it.expose().len())
        .max();
    let enough = most.saturating_add(longest.unwrap_or(0));
    let mut bytes = Vec::new();
    while bytes.len() <= enough {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Fate::Lost(format!("HTTP {status}, then {}", explain(&error))),
        }
    }
    let is_cut = bytes.len() > most;
    bytes.truncate(enough);
    let body = redact(context, &String::from_utf8_lossy(&bytes));
    if is_cut {
        text.push_str(cut(context, &body, most));
        text.push_str(&format!("\n[… cut after {most} bytes]"));
    } else {
        text.push_str(&body);
    }
    Fate::Answered { status, text }
}

/// The beginning of a text that goes on, without what may be the beginning of a secret.
fn cut<'a>(context: &Context<'_>, text: &'a str, most: usize) -> &'a str {
    let text = &text[..text.floor_char_boundary(most)];
    let begun = context.secrets.iter();
    let begun = begun.map(|(_, secret)| secret.begun_at_end_of(text)).max();
    &text[..text.len() - begun.unwrap_or(0)]
}

fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn redact(context: &Context<'_>, text: &str) -> String {
    context
        .secrets
        .iter()
        .fold(text.to_owned(), |text, (_, secret)| secret.redact(&text))
}
