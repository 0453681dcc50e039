//! The port, and how a provider is opened.

use crate::http::HttpProvider;
use crate::script::ScriptProvider;
use crate::{HttpSettings, Script};
use mainstay_contract::{Code, Coded, ErrorReport, Message, Role, ToolCall, Usage};
use mainstay_inference::{BoxFuture, InferenceError, Provider};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One call of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelRequest {
    /// The whole conversation, system message first.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// How many calls of this step failed before.
    pub attempt: u32,
}

impl ModelRequest {
    /// How many answers the conversation holds already: the index of the one asked for.
    #[must_use]
    pub fn answers_before(&self) -> u64 {
        let is_answer = |message: &&Message| message.role == Role::Assistant;
        self.messages.iter().filter(is_answer).count() as u64
    }
}

/// A tool as the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: serde_json::Value,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelAnswer {
    /// The text; empty where the model only calls tools.
    pub text: String,
    /// The tools it asks for, in emission order. Their ids are unique and not empty.
    pub tool_calls: Vec<ToolCall>,
    /// The tokens the provider counted; zero where it counted none.
    pub usage: Usage,
}

/// What can answer for a model.
pub trait ModelProvider: Send + Sync {
    /// Makes one call. `on_text` sees the text as it arrives; after an error the caller discards what
    /// it saw. Dropping the future cancels the call.
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        on_text: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<ModelAnswer, InferenceError>>;
}

/// Which provider, and how it is reached.
#[derive(Clone)]
pub enum ProviderSettings {
    /// Steps from a file.
    Script {
        /// The parsed file.
        steps: Script,
    },
    /// An endpoint on the network.
    Http(Box<HttpSettings>),
}

/// Opens a provider. Nothing is sent yet.
///
/// # Errors
/// [`ProviderOpenError`] where the settings cannot work.
pub fn open(settings: ProviderSettings) -> Result<Arc<dyn Provider>, ProviderOpenError> {
    Ok(match settings {
        ProviderSettings::Script { steps } => Arc::new(ScriptProvider::new(steps)),
        ProviderSettings::Http(settings) => Arc::new(HttpProvider::open(*settings)?),
    })
}

/// Why a provider cannot be opened. No secret is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderOpenError {
    /// The base URL cannot be used.
    #[error("the base_url of model {model} cannot be used: {reason}")]
    BaseUrl {
        /// The provider's name of the model.
        model: String,
        /// Why not.
        reason: String,
    },
    /// A header cannot be sent.
    #[error("the header {name:?} of model {model} cannot be sent")]
    Header {
        /// The provider's name of the model.
        model: String,
        /// The header's name.
        name: String,
    },
    /// The way to its server cannot be taken.
    #[error("the way to the server of model {model} cannot be used: {reason}")]
    Route {
        /// The provider's name of the model.
        model: String,
        /// Why not.
        reason: String,
    },
    /// The address of the health check cannot be used.
    #[error("the health check of model {model} cannot be used: {reason}")]
    Health {
        /// The provider's name of the model.
        model: String,
        /// Why not.
        reason: String,
    },
    /// The HTTP client refuses to start.
    #[error("the HTTP client of model {model} cannot be set up: {reason}")]
    Client {
        /// The provider's name of the model.
        model: String,
        /// What it says.
        reason: String,
    },
}

impl Coded for ProviderOpenError {
    fn code(&self) -> Code {
        match self {
            Self::BaseUrl { .. }
            | Self::Header { .. }
            | Self::Health { .. }
            | Self::Route { .. } => Code::ManifestInvalid,
            Self::Client { .. } => Code::Internal,
        }
    }

    fn report(&self) -> ErrorReport {
        let (Self::BaseUrl { model, .. }
        | Self::Header { model, .. }
        | Self::Route { model, .. }
        | Self::Health { model, .. }
        | Self::Client { model, .. }) = self;
        let report = ErrorReport::new(self.code(), self.to_string()).about("model", model);
        match self {
            Self::BaseUrl { .. } => {
                report.hint("write it like https://api.example.com/v1, and the key in `api_key`")
            }
            Self::Header { .. }
            | Self::Health { .. }
            | Self::Route { .. }
            | Self::Client { .. } => report,
        }
    }
}
