//! A model from a GGUF file: conversations in, answers out.

use super::forward::{Cache, Machine, Want};
use super::gguf::Gguf;
use super::grammar::{self, Constraint, Grammars};
use super::llama::{Llama, ModelError};
use super::sampler::Sampler;
use super::template::Template;
use super::text::{Piece, Text};
use super::tokenizer::Tokenizer;
use super::watch::Watch;
use super::{Engine, EngineError, Finish, Interrupt, Surroundings};
use crate::error::LocalError;
use crate::protocol::LoadOrder;
use crate::request::{Embeddings, FinishReason, GenerateRequest, Usage};

/// How many tokens of a conversation go through the model at once.
const CHUNK: usize = 64;

pub(super) struct GgufModel {
    name: String,
    model: Llama,
    machine: Machine,
    cache: Cache,
    /// The tokens whose keys and values the cache holds.
    known: Vec<u32>,
    tokenizer: Tokenizer,
    template: Template,
    grammars: Grammars,
    context_length: u32,
}

impl GgufModel {
    pub(super) fn load(order: &LoadOrder) -> Result<Self, ModelError> {
        let mut file = Gguf::open(&order.model)?;
        let model = Llama::load(&mut file)?;
        let tokenizer = Tokenizer::load(&file)?;
        let unusable = |error: &str| ModelError::Vocabulary(error.to_owned());
        if tokenizer.len() != model.shape.vocabulary {
            return Err(unusable("it has another size than the embedding"));
        }
        let limit = u32::try_from(model.shape.context).unwrap_or(u32::MAX);
        let context_length = order.context_length.unwrap_or(limit);
        if context_length > limit || context_length == 0 {
            let asked = context_length;
            return Err(ModelError::ContextLength { asked, limit });
        }
        let source = file.text("tokenizer.chat_template");
        let source = source.ok_or_else(|| ModelError::Template("the file has none".to_owned()))?;
        let text = |token: Option<u32>| token.map_or("", |token| tokenizer.text(token));
        let end = file.number("tokenizer.ggml.eos_token_id");
        let end = end.and_then(|end| u32::try_from(end).ok());
        let template = Template::new(source, text(tokenizer.begin()), text(end));
        let threads = order
            .threads
            .and_then(|threads| usize::try_from(threads).ok());
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = threads.unwrap_or_else(cores).max(1);
        let name = file.text("general.name").or(file.text("general.basename"));
        tracing::info!(bytes = model.size(), threads, "a model is loaded");
        Ok(Self {
            name: name.unwrap_or("model").to_owned(),
            machine: Machine::new(&model, threads),
            cache: Cache::new(&model),
            known: Vec::new(),
            grammars: Grammars::new(&tokenizer, model.shape.vocabulary)?,
            template: template.map_err(ModelError::Template)?,
            tokenizer,
            context_length,
            model,
        })
    }

    fn limit(&self) -> usize {
        usize::try_from(self.context_length).unwrap_or(usize::MAX)
    }

    /// Checks that a text may have room in the context, before work is spent on it.
    fn may_fit(&self, text: &str) -> Result<(), LocalError> {
        self.fits(text.len() / self.tokenizer.longest())
    }

    /// Checks that tokens, and one more, have room in the context.
    fn fits(&self, tokens: usize) -> Result<(), LocalError> {
        if tokens < self.limit() {
            return Ok(());
        }
        Err(LocalError::ContextLengthExceeded {
            tokens: tokens as u64,
            limit: u64::from(self.context_length),
        })
    }

    /// Brings the conversation into the cache, up to its last token's logits. Returns how many of its tokens
    /// were there already.
    fn read(&mut self, tokens: &[u32], around: &mut dyn Surroundings) -> Result<usize, Interrupt> {
        let both = self.known.iter().zip(tokens);
        let common = both.take_while(|(known, token)| known == token).count();
        // The last token is always computed, for its logits.
        let cached = common.min(tokens.len().saturating_sub(1));
        self.cache.truncate(cached);
        self.known.truncate(cached);
        let mut rest = &tokens[cached..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
            let want = if after.is_empty() {
                Want::Logits
            } else {
                Want::Nothing
            };
            self.compute(chunk, want, around)?;
            rest = after;
        }
        Ok(cached)
    }

    fn compute(
        &mut self,
        tokens: &[u32],
        want: Want,
        around: &mut dyn Surroundings,
    ) -> Result<(), Interrupt> {
        let mut breathe = || around.breathe();
        self.machine
            .run(&self.model, &mut self.cache, tokens, want, &mut breathe);
        self.known.extend_from_slice(tokens);
        around.after_call()
    }

    /// Answers, token by token, until there is a reason to end.
    fn answer(
        &mut self,
        request: &GenerateRequest,
        mut constraint: Option<Constraint>,
        usage: &mut Usage,
        around: &mut dyn Surroundings,
    ) -> Result<FinishReason, EngineError> {
        let mut sampler = Sampler::new(&request.sampling);
        let mut text = Text::new(&request.stop);
        let tokens_max = request.max_tokens.map_or(u64::MAX, u64::from);
        let reason = loop {
            let logits = &mut self.machine.result;
            let Some(token) = sampler.choose(logits, constraint.as_mut())? else {
                return Err(LocalError::internal("no token is allowed").into());
            };
            if self.tokenizer.ends().contains(&token) {
                break FinishReason::Stop;
            }
            usage.output += 1;
            match text.push(self.tokenizer.bytes(token)) {
                Piece::More(piece) => around.text(&piece),
                Piece::Stopped(piece) => {
                    around.text(&piece);
                    return Ok(FinishReason::Stop);
                }
            }
            if let Some(constraint) = &mut constraint {
                constraint.take(token)?;
                if constraint.is_complete() {
                    break FinishReason::Stop;
                }
            }
            if usage.output >= tokens_max || self.cache.len() + 1 >= self.limit() {
                break FinishReason::Length;
            }
            self.compute(&[token], Want::Logits, around)?;
        };
        around.text(&text.finish());
        Ok(reason)
    }

    /// The mean of the last states of a text's tokens, made one long.
    fn meaning(
        &mut self,
        tokens: &[u32],
        around: &mut dyn Surroundings,
    ) -> Result<Vec<f32>, Interrupt> {
        let width = self.model.shape.width;
        let mut sums = vec![0.0_f32; width];
        let mut cache = Cache::new(&self.model);
        for chunk in tokens.chunks(CHUNK) {
            let mut breathe = || around.breathe();
            let want = Want::States;
            self.machine
                .run(&self.model, &mut cache, chunk, want, &mut breathe);
            around.after_call()?;
            for state in self.machine.result.chunks_exact(width) {
                for (sum, number) in sums.iter_mut().zip(state) {
                    *sum += number;
                }
            }
        }
        // The length of the mean is the length of the sum: both point the same way.
        let length = sums
            .iter()
            .map(|number| number * number)
            .sum::<f32>()
            .sqrt();
        if length > 0.0 {
            sums.iter_mut().for_each(|number| *number /= length);
        }
        Ok(sums)
    }
}

impl Engine for GgufModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn context_length(&self) -> u32 {
        self.context_length
    }

    fn generate(
        &mut self,
        request: &GenerateRequest,
        around: &mut dyn Surroundings,
    ) -> Result<Finish, EngineError> {
        let tools = request.tools.as_ref();
        let text = self
            .template
            .render(&request.messages, tools, &self.tokenizer)?;
        self.may_fit(&text)?;
        let tokens = self.tokenizer.encode_conversation(&text);
        if tokens.is_empty() {
            return Err(LocalError::bad_request("messages", "there is nothing to continue").into());
        }
        self.fits(tokens.len())?;
        // A schema that cannot be enforced is told before the conversation is read.
        let constraint = match &request.json_schema {
            Some(schema) => {
                let watch = Watch::start(around.give_up(grammar::too_much_work()))?;
                Some(self.grammars.constrain(schema, watch)?)
            }
            None => None,
        };
        let cached = self.read(&tokens, around)?;
        let mut usage = Usage {
            input: tokens.len() as u64,
            cached_input: cached as u64,
            output: 0,
        };
        let reason = self.answer(request, constraint, &mut usage, around)?;
        Ok(Finish { reason, usage })
    }

    fn embed(
        &mut self,
        inputs: &[String],
        around: &mut dyn Surroundings,
    ) -> Result<Embeddings, EngineError> {
        let mut usage = Usage::default();
        let mut vectors = Vec::with_capacity(inputs.len());
        for input in inputs {
            self.may_fit(input)?;
            let tokens = self.tokenizer.encode(input);
            if tokens.is_empty() {
                return Err(LocalError::bad_request("input", "a text is empty").into());
            }
            self.fits(tokens.len())?;
            usage.input += tokens.len() as u64;
            vectors.push(self.meaning(&tokens, around)?);
        }
        Ok(Embeddings { vectors, usage })
    }

    fn forget(&mut self) {
        self.cache = Cache::new(&self.model);
        self.known.clear();
    }
}
