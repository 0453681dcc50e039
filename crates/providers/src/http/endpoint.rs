//! Where requests of each dialect go.

use super::{HttpSettings, ProviderOpenError, Service};
use http::Uri;
use mainstay_inference::Dialect;
use std::str::FromStr;

/// The addresses of one model, worked out once.
pub(super) struct Endpoints {
    answers: Vec<(Aim, Uri)>,
    embeddings: Uri,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Answer { dialect: Dialect, stream: bool },
    Embeddings,
}

/// What addresses are made of.
struct Parts {
    base: String,
    query: Option<String>,
    service: Service,
    model: String,
}

/// Whether two addresses are at the same server.
pub(super) fn is_same_server(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| match uri.scheme_str() {
        Some("https") => uri.port_u16().unwrap_or(443),
        _ => uri.port_u16().unwrap_or(80),
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
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
        let parts = Parts {
            base: base.trim_end_matches('/').to_owned(),
            query: query.filter(|query| !query.is_empty()),
            service: settings.service.clone(),
            model: percent(&settings.model),
        };
        let mut answers = Vec::new();
        for caller in [None, Some(Dialect::OpenAiResponses)] {
            for stream in [false, true] {
                let dialect = settings.service.dialect(caller);
                let aim = Aim::Answer { dialect, stream };
                let uri = parts.uri(aim).map_err(|error| refuse(error.to_string()))?;
                answers.push((aim, uri));
            }
        }
        let embeddings = parts.uri(Aim::Embeddings);
        Ok(Self {
            answers,
            embeddings: embeddings.map_err(|error| refuse(error.to_string()))?,
        })
    }

    /// An address at the server that all of them are at.
    pub(super) const fn server(&self) -> &Uri {
        &self.embeddings
    }

    /// The address for a request.
    pub(super) fn uri(&self, aim: Aim) -> Uri {
        let known = self.answers.iter().find(|(known, _)| *known == aim);
        known.map_or_else(|| self.embeddings.clone(), |(_, uri)| uri.clone())
    }
}

impl Parts {
    fn uri(&self, aim: Aim) -> Result<Uri, http::uri::InvalidUri> {
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
