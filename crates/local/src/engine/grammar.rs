//! Answers that satisfy a JSON Schema: at every step, only tokens are allowed after which it still can be
//! satisfied.

use super::llama::ModelError;
use super::schema;
use super::tokenizer::Tokenizer;
use super::watch::Watch;
use crate::error::LocalError;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Room for [`schema::PARTS_MAX`] schemas in each other, in bytes; what is not used is not taken.
const COMPILER_STACK: usize = schema::PARTS_MAX * (32 << 10);

/// How long a schema may be worked on ahead of the answer's tokens.
const WORK: Duration = Duration::from_secs(1);

/// How much longer with each token, up to [`WORK`] again.
const WORK_FOR_A_TOKEN: Duration = Duration::from_millis(20);

/// How much longer a single step may take that does not look at its limits, until the worker is given up for it.
const PATIENCE: Duration = Duration::from_millis(250);

/// What schemas are compiled with.
pub(super) struct Grammars {
    factory: ParserFactory,
}

/// The rest of an answer, as a schema allows it.
pub(super) struct Constraint {
    matcher: Matcher,
    work: Work,
}

/// The time that a schema may take.
struct Work {
    left: Duration,
    watch: Watch,
}

impl Work {
    fn new(watch: Watch) -> Self {
        let left = WORK;
        Self { left, watch }
    }

    /// Does some of it.
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, LocalError> {
        let begun = Instant::now();
        let done = self.watch.within(self.left + PATIENCE, step);
        self.left = self.left.saturating_sub(begun.elapsed());
        if self.left.is_zero() {
            return Err(too_much_work());
        }
        Ok(done)
    }

    fn earn(&mut self) {
        self.left = WORK.min(self.left + WORK_FOR_A_TOKEN);
    }
}

/// What a schema is refused with that takes too long.
pub(super) fn too_much_work() -> LocalError {
    refused("the schema is too much work; fewer or simpler patterns are less")
}

impl Grammars {
    pub(super) fn new(tokenizer: &Tokenizer, vocabulary: usize) -> Result<Self, ModelError> {
        let unusable = |error: &dyn std::fmt::Display| ModelError::Vocabulary(error.to_string());
        let size = u32::try_from(vocabulary).map_err(|error| unusable(&error))?;
        let Some(end) = tokenizer.ends().first() else {
            return Err(ModelError::Vocabulary("no token ends an answer".to_owned()));
        };
        // A token that stands for no bytes is told apart by a byte that no text has.
        let word = |token: u32| match tokenizer.bytes(token) {
            [] => [&[0xff], tokenizer.text(token).as_bytes()].concat(),
            bytes => bytes.to_vec(),
        };
        let words: Vec<Vec<u8>> = (0..size).map(word).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, *end), &words);
        let trie = trie.with_eos_tokens(tokenizer.ends());
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        Self::of(&tokens)
    }

    fn of(tokens: &TokEnv) -> Result<Self, ModelError> {
        let mut factory = ParserFactory::new_simple(tokens)
            .map_err(|error| ModelError::Vocabulary(error.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// Compiles a schema.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] where it is no schema, asks for what cannot be enforced, or is too much work.
    pub(super) fn constrain(&self, schema: &Value, watch: Watch) -> Result<Constraint, LocalError> {
        schema::check(schema).map_err(refused)?;
        let mut schema = schema.clone();
        if schema == json!(true) {
            schema = json!({});
        }
        let Value::Object(fields) = &mut schema else {
            return Err(refused("nothing satisfies it"));
        };
        // Every keyword has its newest meaning.
        fields.remove("$schema");
        // Small models lose themselves in white space where they may.
        let options = json!({ "whitespace_flexible": false, "lenient": false });
        fields.insert("x-guidance".to_owned(), options);
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let mut work = Work::new(watch);
        let mut matcher = work.step(|| self.compile(grammar))??;
        if let Some(error) = matcher.get_error() {
            return Err(failure(&error));
        }
        if let Some(warning) = matcher.grammar_warnings().first() {
            return Err(refused(warning));
        }
        Ok(Constraint { matcher, work })
    }

    /// The compiler calls itself for every schema in a schema: on a thread of its own it has room for that.
    fn compile(&self, grammar: TopLevelGrammar) -> Result<Matcher, LocalError> {
        std::thread::scope(|scope| {
            let compile = || Matcher::new(self.factory.create_parser(grammar));
            let thread = std::thread::Builder::new().stack_size(COMPILER_STACK);
            let compiling = thread.spawn_scoped(scope, compile);
            let compiling = compiling.map_err(LocalError::internal)?;
            let panicked = |_| LocalError::internal("the compiler of schemas panicked");
            compiling.join().map_err(panicked)
        })
    }
}

fn refused(reason: impl std::fmt::Display) -> LocalError {
    LocalError::bad_request("json_schema", reason)
}

/// Whose fault it is that a grammar fails: it does so by its limits, which a schema exceeds, or by a panic.
fn failure(error: &dyn std::fmt::Display) -> LocalError {
    let error = error.to_string();
    // Behind its message it tells of its state.
    let message = error.split("\n<").next().unwrap_or_default();
    if message.starts_with("panic") {
        return LocalError::internal(message);
    }
    if message.starts_with("oneOf") {
        return refused(
            "\"oneOf\" cannot be enforced where several of its schemas may hold; use \"anyOf\"",
        );
    }
    let words: Vec<&str> = message.split_whitespace().collect();
    refused(words.join(" "))
}

impl Constraint {
    /// Makes every token impossible that is not allowed.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] where the schema is too much work, or allows nothing at all.
    pub(super) fn restrict(&mut self, logits: &mut [f32]) -> Result<(), LocalError> {
        let mask = self.work.step(|| self.matcher.compute_mask_or_eos())?;
        let mask = mask.map_err(|error| failure(&error))?;
        mask.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
        Ok(())
    }

    /// Takes the token that was chosen.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] where the schema is too much work.
    pub(super) fn take(&mut self, token: u32) -> Result<(), LocalError> {
        let taken = self.work.step(|| self.matcher.consume_token(token))?;
        self.work.earn();
        taken.map_err(|error| failure(&error))
    }

    /// Whether the answer is complete, and nothing may follow.
    pub(super) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

#[cfg(test)]
mod tests;
