//! Providers over HTTP: OpenAI and whoever follows it, Azure, Anthropic, Gemini.
//!
//! One call is one request, but for a refused key, which is read again and tried once. Redirects are not
//! followed, because the key would follow them. An answer counts only when it is whole in its dialect.

mod call;
mod clock;
mod connect;
mod embed;
mod endpoint;
mod health;
mod key;
mod pool;
mod proxy;
mod relay;
mod response;
mod tls;

use crate::ProviderOpenError;
use connect::Connector;
use endpoint::Endpoints;
pub use health::{HealthProbe, ProbeError};
use key::KeyRing;
pub use key::{KeyHeader, SecretReader};
use mainstay_contract::Secret;
use mainstay_inference::{
    Answering, BoxFuture, Dialect, EmbeddingRequest, Embeddings, InferenceError, Origin, Provider,
    ProviderCall,
};
use pool::Pool;
use proxy::Proxy;
use std::sync::Arc;
use std::time::Duration;

/// Whose wire it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// OpenAI itself: Chat Completions and Responses.
    OpenAi,
    /// A server that follows OpenAI's Chat Completions.
    OpenAiCompatible,
    /// OpenAI's models at Azure; the model's name is that of the deployment there.
    AzureOpenAi {
        /// The version of the API, such as `2024-10-21`.
        api_version: String,
    },
    /// Anthropic.
    Anthropic,
    /// Google's Gemini.
    Gemini,
}

impl Service {
    /// What is spoken to a caller of a dialect.
    const fn dialect(&self, caller: Option<Dialect>) -> Dialect {
        match (self, caller) {
            (Self::OpenAi, Some(Dialect::OpenAiResponses)) => Dialect::OpenAiResponses,
            (Self::OpenAi | Self::OpenAiCompatible | Self::AzureOpenAi { .. }, _) => {
                Dialect::OpenAiChat
            }
            (Self::Anthropic, _) => Dialect::Anthropic,
            (Self::Gemini, _) => Dialect::Gemini,
        }
    }

    /// What every request says beside its key.
    const fn plain_headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Anthropic => &[("anthropic-version", "2023-06-01")],
            _ => &[],
        }
    }

    const fn key_header(&self) -> KeyHeader {
        match self {
            Self::OpenAi | Self::OpenAiCompatible => KeyHeader::Bearer,
            Self::AzureOpenAi { .. } => KeyHeader::Named("api-key"),
            Self::Anthropic => KeyHeader::Named("x-api-key"),
            Self::Gemini => KeyHeader::Named("x-goog-api-key"),
        }
    }
}

/// How a model is reached.
#[derive(Clone)]
pub struct HttpSettings {
    /// What the provider is called in errors.
    pub provider: String,
    /// Whose wire it is.
    pub service: Service,
    /// Where the API begins; a query is kept.
    pub base_url: String,
    /// The provider's name of the model.
    pub model: String,
    /// The key, where one is wanted.
    pub api_key: Option<Arc<dyn SecretReader>>,
    /// Further headers; their values are treated as secrets.
    pub headers: Vec<(String, Secret)>,
    /// What TLS trusts, and the way to the server.
    pub route: Route,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much to accept.
    pub limits: ResponseLimits,
}

/// How a server is reached that is not simply out there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Certificates in PEM whose holders may vouch for the server, beside the public authorities.
    pub authorities: Option<Vec<u8>>,
    /// The proxy that tunnels to it, such as `http://proxy.internal:3128`; only with https.
    pub proxy: Option<String>,
}

/// How long a call waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, name lookup and encryption included.
    pub connect: Duration,
    /// From the start of the call to the first piece of text, thought or tool call.
    pub first_token: Duration,
    /// The same for an answer that comes whole: it begins when it is complete.
    pub first_token_whole: Duration,
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
            first_token_whole: Duration::from_secs(600),
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

/// One model at one provider.
pub(crate) struct HttpProvider {
    pool: Arc<Pool>,
    endpoints: Endpoints,
    keys: KeyRing,
    settings: HttpSettings,
}

impl HttpProvider {
    pub(crate) fn open(settings: HttpSettings) -> Result<Self, ProviderOpenError> {
        let endpoints = Endpoints::new(&settings)?;
        let plain = settings.service.plain_headers();
        let keys = KeyRing::new(
            settings.api_key.clone(),
            settings.service.key_header(),
            &settings.headers,
            plain,
            &settings.model,
        )?;
        let refused = |reason: String| ProviderOpenError::Client {
            model: settings.model.clone(),
            reason,
        };
        let connector = connector(&settings, settings.timeouts.connect)?;
        let pool = Pool::new(connector, endpoints.server());
        let pool = pool.map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            pool: Arc::new(pool),
            endpoints,
            keys,
            settings,
        })
    }

    fn origin(&self, answering: bool) -> Origin {
        Origin {
            provider: self.settings.provider.clone(),
            model: self.settings.model.clone(),
            answering,
        }
    }
}

/// What opens connections on the way that the settings name.
fn connector(settings: &HttpSettings, within: Duration) -> Result<Connector, ProviderOpenError> {
    let refused = |reason: String| ProviderOpenError::Route {
        model: settings.model.clone(),
        reason,
    };
    let tls = tls::config(settings.route.authorities.as_deref());
    let tls = tls.map_err(|error| refused(error.to_string()))?;
    let proxy = settings.route.proxy.as_deref().map(Proxy::new);
    Ok(Connector::new(
        tls,
        proxy.transpose().map_err(refused)?,
        within,
    ))
}

impl Provider for HttpProvider {
    fn dialect(&self, caller: Option<Dialect>) -> Option<Dialect> {
        Some(self.settings.service.dialect(caller))
    }

    fn call(
        self: Arc<Self>,
        call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        Box::pin(call::call(self, call))
    }

    fn embed(
        self: Arc<Self>,
        request: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        Box::pin(embed::embed(self, request))
    }
}
