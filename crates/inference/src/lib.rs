//! Model access, without IO: what is asked of models and what they answer, in nobody's dialect and in the
//! dialects of the providers; what it costs; which deployment answers when, and what becomes of failures.

mod chat;
mod dialects;
mod embeddings;
mod error;
mod estimate;
mod fault;
mod gate;
mod port;
mod price;
mod sse;
#[cfg(test)]
mod strategies;
mod usage;

pub use chat::{
    Answer, Assembly, AssemblyError, Effort, Event, Extra, FileSource, FinishReason, Message,
    Opaque, OutputFormat, Part, PartKind, Reasoning, Request, Role, Sampling, Tool, ToolCall,
    ToolChoice,
};
pub use dialects::{
    AnswerContext, DecodeError, Dialect, EncodedRequest, Failure, InvalidRequest, StreamDecoder,
    StreamEncoder, Unsupported, WriteOptions, answer_abroad, caller_field, kept_conversation,
    read_count_request, read_embedding_request, read_embeddings, whole_escapes, write_count,
    write_embedding_request, write_embeddings,
};

pub use embeddings::{EmbeddingEncoding, EmbeddingInput, EmbeddingRequest, Embeddings};
pub use error::{
    CircuitClass, InferenceError, NetworkPhase, Origin, ResponseProblem, TimeoutPhase,
};
pub use estimate::{estimate_relayed, estimate_text, estimate_tokens};
pub use fault::{Cleaner, fault, stream_fault};
pub use gate::{
    Ask, AttemptId, BudgetAction, BudgetConfig, BudgetKey, BudgetView, DeploymentConfig,
    DeploymentView, Effect, Ending, FailureClass, Fallback, FlightId, Gate, GateConfig, GateError,
    Hedge, Input, KeyConfig, LedgerEntry, Limits, Member, ModelConfig, Outcome, Pricing, Spender,
    Success,
};
pub use port::{Answering, BoxFuture, HOPS, Piece, Provider, ProviderCall, Relay};
pub use price::{
    Cost, ModelKind, ModelPrice, PriceTable, PriceTableError, Rates, Tier, provider_of_host,
};
pub use sse::{Frame, Sse, SseError, SseReader};
pub use usage::Tokens;
