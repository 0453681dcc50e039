//! Who answers for a model.

use crate::manifest::SecretRef;
use serde::{Deserialize, Serialize};

/// Who answers for a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "snake_case")]
pub enum Provider {
    /// A file of steps.
    Script {
        /// The file, relative to the manifest.
        file: String,
    },
    /// A server that speaks OpenAI's chat completions. Turns of old stand with it for OpenAI too.
    OpenAiCompatible {
        /// Where its API begins, without a slash at the end.
        base_url: String,
        /// What the server calls the model.
        model: String,
        /// The key to send, where the server wants one.
        api_key: Option<SecretRef>,
    },
    /// OpenAI.
    OpenAi {
        /// Where its API begins, without a slash at the end.
        base_url: String,
        /// What it calls the model.
        model: String,
        /// The key to send.
        api_key: Option<SecretRef>,
    },
    /// Anthropic.
    Anthropic {
        /// Where its API begins, without `/v1` and a slash at the end.
        base_url: String,
        /// What it calls the model.
        model: String,
        /// The key to send.
        api_key: Option<SecretRef>,
    },
    /// Google Gemini.
    Gemini {
        /// Where its API begins, with `/v1beta` and without a slash at the end.
        base_url: String,
        /// What it calls the model.
        model: String,
        /// The key to send.
        api_key: Option<SecretRef>,
    },
    /// Azure OpenAI.
    AzureOpenAi {
        /// The resource's address, without `/openai` and a slash at the end.
        base_url: String,
        /// The deployment.
        model: String,
        /// The key to send.
        api_key: Option<SecretRef>,
        /// The version of the API.
        api_version: String,
    },
    /// A worker on this machine.
    Local {
        /// The GGUF file, relative to the manifest.
        path: String,
        /// The tokens that memory is kept for; as many as the file says where absent.
        context_length: Option<u64>,
        /// The threads that compute; as many as there are cores where absent.
        threads: Option<u32>,
        /// What computes; a GPU where there is one, where absent.
        device: Option<Device>,
    },
    /// Other models, that share the requests.
    Pool {
        /// They, at least one, each once, none of them a pool.
        members: Vec<PoolMember>,
    },
}

impl Provider {
    /// The word that stands for it in the manifest.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Script { .. } => "script",
            Self::OpenAiCompatible { .. } => "openai_compatible",
            Self::OpenAi { .. } => "openai",
            Self::Anthropic { .. } => "anthropic",
            Self::Gemini { .. } => "gemini",
            Self::AzureOpenAi { .. } => "azure_openai",
            Self::Local { .. } => "local",
            Self::Pool { .. } => "pool",
        }
    }

    /// Where the server's API begins, where a server answers.
    #[must_use]
    pub fn base_url(&self) -> Option<&str> {
        match self {
            Self::OpenAiCompatible { base_url, .. }
            | Self::OpenAi { base_url, .. }
            | Self::Anthropic { base_url, .. }
            | Self::Gemini { base_url, .. }
            | Self::AzureOpenAi { base_url, .. } => Some(base_url),
            Self::Script { .. } | Self::Local { .. } | Self::Pool { .. } => None,
        }
    }

    /// What the server calls the model, where a server answers.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::OpenAiCompatible { model, .. }
            | Self::OpenAi { model, .. }
            | Self::Anthropic { model, .. }
            | Self::Gemini { model, .. }
            | Self::AzureOpenAi { model, .. } => Some(model),
            Self::Script { .. } | Self::Local { .. } | Self::Pool { .. } => None,
        }
    }

    /// The key to send, where there is one.
    #[must_use]
    pub fn api_key(&self) -> Option<&SecretRef> {
        match self {
            Self::OpenAiCompatible { api_key, .. }
            | Self::OpenAi { api_key, .. }
            | Self::Anthropic { api_key, .. }
            | Self::Gemini { api_key, .. }
            | Self::AzureOpenAi { api_key, .. } => api_key.as_ref(),
            Self::Script { .. } | Self::Local { .. } | Self::Pool { .. } => None,
        }
    }
}

/// What computes for a local model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// One of the models of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMember {
    /// The model.
    pub to: String,
    /// Its share, against the others'. Zero: only where no other can.
    pub weight: u32,
}
