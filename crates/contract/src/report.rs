//! The one shape of a failure: HTTP bodies, `--json`, the journal, events and plugins.

use crate::{Code, Layer, Responsible, RetryAdvice, Usd};
use serde::{Deserialize, Serialize};

/// A failure that knows its code and can tell its story.
pub trait Coded: std::error::Error {
    /// The stable code.
    fn code(&self) -> Code;

    /// The whole report. The default takes everything from the code and the message from `Display`.
    fn report(&self) -> ErrorReport {
        ErrorReport::new(self.code(), self.to_string())
    }
}

/// Whether the failed work took effect outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// Nothing happened.
    #[default]
    None,
    /// It happened.
    Applied,
    /// Nobody knows yet; it is stored, shown and resolved by a verb.
    Unknown,
}

/// What the failure is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `session`, `turn`, `step`, `model`, `manifest`, …
    pub kind: String,
    /// Its id or name.
    pub id: String,
}

/// Whether and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The advice.
    pub advice: RetryAdvice,
    /// For [`RetryAdvice::After`]: how long to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

/// What the failed work had cost when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens sent to models.
    pub input_tokens: u64,
    /// Tokens received from models.
    pub output_tokens: u64,
    /// Money.
    pub usd: Usd,
    /// Wall-clock time in milliseconds.
    pub ms: u64,
}

/// One link of the chain that led to a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Its code, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What it says.
    pub message: String,
}

/// A failure as outsiders see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The stable code.
    pub code: Code,
    /// One sentence for people.
    pub message: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Whether and when to try again.
    pub retry: Retry,
    /// The layer where it began.
    pub layer: Layer,
    /// Whether it took effect.
    pub effect: EffectState,
    /// Who must act.
    pub responsible: Responsible,
    /// Whether it counts against the agent's own work.
    pub scored: bool,
    /// What it cost.
    pub spent: Spent,
    /// What to do.
    pub hints: Vec<String>,
    /// What led to it, nearest first.
    pub causes: Vec<Cause>,
    /// The face's own typed form.
    pub data: serde_json::Value,
    /// Where the code is explained.
    pub docs: String,
    /// For internal failures: the id under which the log tells more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}

impl ErrorReport {
    /// A report that follows its code in everything.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let info = code.info();
        Self {
            message: message.into(),
            subject: None,
            retry: Retry {
                advice: info.retry,
                after_ms: None,
            },
            layer: info.layer,
            effect: EffectState::None,
            responsible: info.responsible,
            scored: info.scored,
            spent: Spent::default(),
            hints: Vec::new(),
            causes: Vec::new(),
            data: serde_json::Value::Null,
            docs: format!("errors/{code}"),
            incident: None,
            code,
        }
    }

    /// Says what it is about.
    #[must_use]
    pub fn about(mut self, kind: &str, id: impl Into<String>) -> Self {
        self.subject = Some(Subject {
            kind: kind.to_owned(),
            id: id.into(),
        });
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn cause(mut self, code: Option<Code>, message: impl Into<String>) -> Self {
        self.causes.push(Cause {
            code,
            message: message.into(),
        });
        self
    }

    /// Says whether it took effect.
    #[must_use]
    pub fn effect(mut self, effect: EffectState) -> Self {
        self.effect = effect;
        self
    }

    /// Advises to try again after a while.
    #[must_use]
    pub fn retry_after_ms(mut self, after_ms: u64) -> Self {
        self.retry = Retry {
            advice: RetryAdvice::After,
            after_ms: Some(after_ms),
        };
        self
    }

    /// Advises otherwise than the code does.
    #[must_use]
    pub fn advise(mut self, advice: RetryAdvice) -> Self {
        self.retry = Retry {
            advice,
            after_ms: None,
        };
        self
    }

    /// Attaches the face's own typed form.
    #[must_use]
    pub fn data(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}
