//! Chat Completions over HTTP, as OpenAI and the many who follow it speak them.
//!
//! One call is one request: redirects are not followed, because the key would follow them; nothing is
//! repeated here. Proxy variables of the environment are not read. An answer counts only when the
//! stream said both why it finished and `[DONE]`.

mod answer;
mod call;
mod clock;
mod fault;
mod request;
mod retry_after;
mod sse;
mod words;

use crate::{InferenceError, ModelAnswer, ModelProvider, ModelRequest, Origin, ProviderOpenError};
use mainstay_contract::Secret;
use mainstay_sessions::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use std::sync::Arc;
use std::time::Duration;
use words::Cleaner;

/// How an endpoint is reached.
#[derive(Debug, Clone)]
pub struct OpenAiSettings {
    /// What the provider is called in errors.
    pub provider: String,
    /// The URL to which `chat/completions` is appended; a query is kept.
    pub base_url: String,
    /// The provider's name of the model.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// Further headers; their values are treated as secrets.
    pub headers: Vec<(String, Secret)>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much to accept.
    pub limits: ResponseLimits,
}

impl OpenAiSettings {
    /// Settings with no key, no further headers and the usual limits.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            provider: "openai_compatible".to_owned(),
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            headers: Vec::new(),
            timeouts: Timeouts::default(),
            limits: ResponseLimits::default(),
        }
    }
}

/// How long a call waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, name lookup and encryption included.
    pub connect: Duration,
    /// From the start of the call to the first piece of text, reasoning or tool call. An endpoint that
    /// does not stream sends nothing before its answer is complete.
    pub first_token: Duration,
    /// Between two pieces of the answer; comments that keep the connection alive count.
    pub idle: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}

/// How much of a response is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the whole body.
    pub body_bytes_max: usize,
    /// Bytes of one event of a stream.
    pub event_bytes_max: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            event_bytes_max: 4 << 20,
        }
    }
}

/// Response headers over HTTP/2 may take this many bytes; HTTP/1 has the client's own bounds.
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// One endpoint with one model.
pub(crate) struct OpenAiProvider {
    client: Client,
    url: Url,
    model: String,
    provider: String,
    timeouts: Timeouts,
    limits: ResponseLimits,
    cleaner: Cleaner,
}

impl OpenAiProvider {
    pub(crate) fn open(settings: OpenAiSettings) -> Result<Self, ProviderOpenError> {
        let url = endpoint_url(&settings)?;
        let headers = headers(&settings)?;
        let client = client(headers, settings.timeouts.connect).map_err(|reason| {
            ProviderOpenError::Client {
                model: settings.model.clone(),
                reason,
            }
        })?;
        let keys = settings.headers.into_iter().map(|(_, value)| value);
        Ok(Self {
            client,
            url,
            cleaner: Cleaner::new(settings.api_key.into_iter().chain(keys).collect()),
            model: settings.model,
            provider: settings.provider,
            timeouts: settings.timeouts,
            limits: settings.limits,
        })
    }

    fn origin(&self, answering: bool) -> Origin {
        Origin {
            provider: self.provider.clone(),
            model: self.model.clone(),
            answering,
        }
    }
}

impl ModelProvider for OpenAiProvider {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        on_text: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<ModelAnswer, InferenceError>> {
        Box::pin(call::Call::new(self, request.answers_before()).run(request, on_text))
    }
}

fn endpoint_url(settings: &OpenAiSettings) -> Result<Url, ProviderOpenError> {
    let refuse = |reason: &str| ProviderOpenError::BaseUrl {
        model: settings.model.clone(),
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(&settings.base_url).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("only http and https are spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds a user name or password"));
    }
    if url.fragment().is_some() {
        return Err(refuse("it holds a fragment"));
    }
    url.path_segments_mut()
        .map_err(|()| refuse("it has no path"))?
        .pop_if_empty()
        .extend(["chat", "completions"]);
    Ok(url)
}

fn headers(settings: &OpenAiSettings) -> Result<HeaderMap, ProviderOpenError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &settings.api_key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .ok()
            .filter(|_| key.expose().trim() == key.expose())
            .ok_or_else(|| ProviderOpenError::ApiKey {
                model: settings.model.clone(),
            })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in &settings.headers {
        let refused = || ProviderOpenError::Header {
            model: settings.model.clone(),
            name: name.clone(),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn client(headers: HeaderMap, connect: Duration) -> Result<Client, String> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| error.to_string())?
    .with_root_certificates(roots)
    .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(connect)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .build()
        .map_err(|error| error.without_url().to_string())
}
