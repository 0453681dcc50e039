//! Where requests of each dialect go.

use super::{HttpSettings, ProviderOpenError, Service};
use http::Uri;
use mainstay_inference::Dialect;
use std::str::FromStr;

/// The addresses of one model.
pub(super) struct Endpoints {
    base: String,
    query: Option<String>,
    service: Service,
    model: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Answer { dialect: Dialect, stream: bool },
    Embeddings,
}

impl Endpoints {
    pub(super) fn new(settings: &HttpSettings) -> Result<Self, ProviderOpenError> {
        let refuse = |reason: String| ProviderOpenError::BaseUrl {
            model: settings.model.clone(),
            reason,
        };
        let text = settings.base_url.as_str();
        if text.contains('#') {
            return Err(refuse("it holds a fragment".to_owned()));
        }
        let uri = Uri::from_str(text).map_err(|error| refuse(error.to_string()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(refuse("only http and https are spoken".to_owned()));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(refuse("it holds a user name or password".to_owned()));
        }
        if uri.host().unwrap_or_default().is_empty() {
            return Err(refuse("it names no host".to_owned()));
        }
        let (base, query) = match text.split_once('?') {
            Some((base, query)) => (base, Some(query.to_owned())),
            None => (text, None),
        };
        let endpoints = Self {
            base: base.trim_end_matches('/').to_owned(),
            query: query.filter(|query| !query.is_empty()),
            service: settings.service.clone(),
            model: percent(&settings.model),
        };
        let aim = Aim::Answer {
            dialect: settings.service.dialect(None),
            stream: true,
        };
        endpoints
            .uri(aim)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(endpoints)
    }

    /// The address for a request.
    pub(super) fn uri(&self, aim: Aim) -> Result<Uri, http::uri::InvalidUri> {
        let (path, mut query) = self.path(aim);
        if let Some(own) = &self.query {
            query = if query.is_empty() {
                own.clone()
            } else {
                format!("{own}&{query}")
            };
        }
        let mark = if query.is_empty() { "" } else { "?" };
        Uri::from_str(&format!("{}{path}{mark}{query}", self.base))
    }

    fn path(&self, aim: Aim) -> (String, String) {
        let base = &self.base;
        let plain = |path: &str| (path.to_owned(), String::new());
        if let Service::AzureOpenAi { api_version } = &self.service {
            let query = format!("api-version={api_version}");
            let end = match aim {
                Aim::Answer { .. } => "chat/completions",
                Aim::Embeddings => "embeddings",
            };
            return (format!("/openai/deployments/{}/{end}", self.model), query);
        }
        match aim {
            Aim::Embeddings if self.service == Service::Gemini => (
                format!("/models/{}:batchEmbedContents", self.model),
                String::new(),
            ),
            Aim::Embeddings => plain("/embeddings"),
            Aim::Answer { dialect, stream } => match dialect {
                Dialect::OpenAiChat => plain("/chat/completions"),
                Dialect::OpenAiResponses => plain("/responses"),
                Dialect::Anthropic if base.ends_with("/v1") => plain("/messages"),
                Dialect::Anthropic => plain("/v1/messages"),
                Dialect::Gemini if stream => {
                    let path = format!("/models/{}:streamGenerateContent", self.model);
                    (path, "alt=sse".to_owned())
                }
                Dialect::Gemini => (
                    format!("/models/{}:generateContent", self.model),
                    String::new(),
                ),
            },
        }
    }
}

fn percent(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    text.bytes()
        .map(|byte| match is_plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
