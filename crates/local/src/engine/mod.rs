//! What computes the answers.

mod echo;
#[cfg(feature = "cpu")]
mod forward;
#[cfg(feature = "cpu")]
mod gguf;
#[cfg(feature = "cpu")]
mod grammar;
#[cfg(feature = "cpu")]
mod kernel;
#[cfg(feature = "cpu")]
mod llama;
#[cfg(feature = "cpu")]
mod matrix;
#[cfg(feature = "cpu")]
mod model;
#[cfg(feature = "cpu")]
mod quant;
#[cfg(feature = "cpu")]
mod sampler;
#[cfg(feature = "cpu")]
mod schema;
#[cfg(feature = "cpu")]
mod team;
#[cfg(feature = "cpu")]
mod template;
#[cfg(feature = "cpu")]
mod text;
#[cfg(feature = "cpu")]
mod tokenizer;
mod watch;

#[cfg(feature = "cpu")]
pub use gguf::GgufError;
#[cfg(feature = "cpu")]
pub use llama::ModelError;

use crate::device::{DeviceChoice, DeviceFault};
use crate::error::LocalError;
use crate::protocol::LoadOrder;
use crate::request::{Embeddings, FinishReason, GenerateRequest, Usage};
use std::path::Path;

/// The model that repeats what it hears; for tests of everything around a model.
pub const ECHO: &str = "echo:";

/// What ends work on a request before its answer is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupt {
    /// Nobody wants the answer any more.
    Cancelled,
    /// The device failed.
    Device(DeviceFault),
}

/// Why a request has no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// Work was ended from outside.
    Interrupted(Interrupt),
    /// The request cannot be carried out.
    Refused(LocalError),
}

impl From<Interrupt> for EngineError {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}

impl From<LocalError> for EngineError {
    fn from(error: LocalError) -> Self {
        Self::Refused(error)
    }
}

/// The world around a request that is being worked on.
pub trait Surroundings {
    /// Takes the next piece of the answer.
    fn text(&mut self, text: &str);

    /// Asks the device after a call, answers what the node wants to know meanwhile, and says whether to go on.
    ///
    /// # Errors
    /// What ends the work.
    fn after_call(&mut self) -> Result<(), Interrupt>;

    /// Answers what the node wants to know in the middle of a long call.
    fn breathe(&mut self);

    /// What ends the request with an error, and this worker with it, where the work cannot be stopped otherwise.
    /// It is meant for another thread.
    fn give_up(&self, error: LocalError) -> Box<dyn FnOnce() + Send>;
}

/// How an answer came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// What it took.
    pub usage: Usage,
}

/// A loaded model.
pub trait Engine {
    /// The model's own name.
    fn name(&self) -> String;

    /// The longest conversation in tokens, the answer included.
    fn context_length(&self) -> u32;

    /// Continues a conversation.
    ///
    /// # Errors
    /// Where work is ended from outside, or the request cannot be carried out.
    fn generate(
        &mut self,
        request: &GenerateRequest,
        around: &mut dyn Surroundings,
    ) -> Result<Finish, EngineError>;

    /// Says what texts mean.
    ///
    /// # Errors
    /// Where work is ended from outside, or the request cannot be carried out.
    fn embed(
        &mut self,
        inputs: &[String],
        around: &mut dyn Surroundings,
    ) -> Result<Embeddings, EngineError>;

    /// Forgets everything that was computed, after the device's context was built anew.
    fn forget(&mut self);
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This build has no engine for models.
    #[cfg(not(feature = "cpu"))]
    #[error("models need a build with the feature `cpu`")]
    NotBuilt,
    /// The file is no model that the engine computes.
    #[cfg(feature = "cpu")]
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine does not compute on this device.
    #[error("the engine computes on the processor, and {0} was asked for")]
    Device(DeviceChoice),
}

/// Loads a model.
///
/// # Errors
/// Where this build has no engine for it, or the file is no model that the engine knows.
pub fn load(order: &LoadOrder) -> Result<Box<dyn Engine>, LoadError> {
    if order.model == Path::new(ECHO) {
        return Ok(Box::new(echo::Echo::new(order.context_length)));
    }
    if matches!(order.device, DeviceChoice::Cuda(_)) {
        return Err(LoadError::Device(order.device.clone()));
    }
    #[cfg(feature = "cpu")]
    return Ok(Box::new(model::GgufModel::load(order)?));
    #[cfg(not(feature = "cpu"))]
    Err(LoadError::NotBuilt)
}
