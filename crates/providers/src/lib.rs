//! Model providers: the one port behind which every model stands, and the adapters that implement it.
//!
//! - `script` answers from a file of steps; which step answers is a pure function of the request.
//! - `openai_compatible` speaks Chat Completions over HTTP, streaming.
//! - [`Recorder`] wraps any of them and writes a script of what they answered.
//!
//! A provider makes one call and reports how it ended. It never repeats a call, keeps no budget and
//! no breaker: those decide above it. Dropping a call's future cancels it and closes its connection.
//! A failed call is an [`InferenceError`]; a short answer is never passed off as a whole one.

mod error;
mod openai;
mod provider;
mod recorder;
mod script;

pub use error::{InferenceError, NetworkPhase, Origin, ResponseProblem, TimeoutPhase};
pub use openai::{OpenAiSettings, ResponseLimits, Timeouts};
pub use provider::{
    ModelAnswer, ModelProvider, ModelRequest, ProviderOpenError, ProviderSettings, ToolSpec, open,
};
pub use recorder::{Form, Recorder};
pub use script::{Script, ScriptError, ScriptPosition};
