//! Model providers: the adapters behind the port of `mainstay-inference`.
//!
//! - `http` speaks to OpenAI and whoever follows it, Azure, Anthropic and Gemini, streaming.
//! - `script` answers from a file of steps; which step answers is a pure function of the request.
//! - [`Recorder`] wraps any of them and writes a script of what they answered.
//!
//! A provider makes one call and reports how it ended. It never repeats a call, keeps no budget and
//! no breaker: those decide above it. Dropping a call's future cancels it and closes its connection.
//! A failed call is an [`InferenceError`]; a short answer is never passed off as a whole one.

mod http;
mod provider;
mod recorder;
mod script;
mod turn;

pub use http::{
    HealthProbe, HttpSettings, KeyHeader, ProbeError, ResponseLimits, Route, SecretReader, Service,
    Timeouts,
};
pub use mainstay_inference::{InferenceError, NetworkPhase, Origin, ResponseProblem, TimeoutPhase};
pub use provider::{
    ModelAnswer, ModelProvider, ModelRequest, ProviderOpenError, ProviderSettings, ToolSpec, open,
};
pub use recorder::{Form, Recorder};
pub use script::{Script, ScriptError, ScriptPosition};
pub use turn::{Direct, turn_answer, turn_request};
