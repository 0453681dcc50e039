//! What can answer for a model: the port that providers implement.

use crate::{Dialect, EmbeddingRequest, Embeddings, Event, InferenceError, Request};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future that may be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The header that counts the gateways on a request's way, so that it cannot go round for ever.
pub const HOPS: &str = "x-mainstay-hops";

/// One call of a provider.
#[derive(Debug, Clone)]
pub struct ProviderCall {
    /// What is asked. Whether the answer is to come in pieces stands in it.
    pub request: Arc<Request>,
    /// What the caller wrote, where its dialect may be the provider's own: handed on as it is, but for the
    /// model's name, nothing is lost on the way.
    pub relay: Option<Relay>,
    /// How many calls for the same answer failed before.
    pub attempt: u32,
    /// Through how many gateways the request came.
    pub hops: u8,
}

/// A caller's own words.
#[derive(Debug, Clone)]
pub struct Relay {
    /// In which dialect.
    pub dialect: Dialect,
    /// The body: a JSON object.
    pub body: Bytes,
    /// Headers of the dialect that are the caller's to choose, such as `anthropic-beta`.
    pub headers: Vec<(&'static str, String)>,
}

/// Something that answers for a model. It makes one call and says how that ended: limits, breakers,
/// budgets and repetition are decided above it. Dropping the future, or the answering, cancels the call.
pub trait Provider: Send + Sync {
    /// The dialect that it speaks to a caller of this dialect; absent for one that speaks none.
    fn dialect(&self, caller: Option<Dialect>) -> Option<Dialect>;

    /// Makes a call; ends when the provider begins to answer.
    fn call(
        self: Arc<Self>,
        call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>>;

    /// Makes vectors out of texts.
    fn embed(
        self: Arc<Self>,
        request: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>>;
}

/// An answer that is on its way.
pub trait Answering: Send {
    /// The next piece; nothing after an end in good order, which is an answer that is whole.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>>;

    /// The fields of the question that the provider was not told, because its dialect has none such.
    fn left_out(&self) -> &[String] {
        &[]
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Piece {
    /// What happened.
    pub events: Vec<Event>,
    /// The same in the provider's dialect, as it came.
    pub raw: Bytes,
}
