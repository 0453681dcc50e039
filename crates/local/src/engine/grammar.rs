//! Answers that satisfy a JSON Schema: at every step, only tokens are allowed after which it still can be
//! satisfied.

use super::llama::ModelError;
use super::tokenizer::Tokenizer;
use crate::error::LocalError;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::sync::Arc;

/// What schemas are compiled with.
pub(super) struct Grammars {
    factory: ParserFactory,
}

/// The rest of an answer, as a schema allows it.
pub(super) struct Constraint {
    matcher: Matcher,
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
        let mut factory = ParserFactory::new_simple(&tokens).map_err(|error| unusable(&error))?;
        factory.quiet();
        Ok(Self { factory })
    }

    /// Compiles a schema.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] where it is no schema, or asks for what cannot be enforced.
    pub(super) fn constrain(&self, schema: &Value) -> Result<Constraint, LocalError> {
        let wrong = |error: &dyn std::fmt::Display| LocalError::bad_request("json_schema", error);
        let mut schema = schema.clone();
        if schema == json!(true) {
            schema = json!({});
        }
        let Value::Object(fields) = &mut schema else {
            return Err(wrong(&"must be an object"));
        };
        // Small models lose themselves in white space where they may.
        let options = json!({ "whitespace_flexible": false, "lenient": false });
        fields.insert("x-guidance".to_owned(), options);
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let mut matcher = Matcher::new(self.factory.create_parser(grammar));
        if let Some(error) = matcher.get_error() {
            return Err(wrong(&error));
        }
        if let Some(warning) = matcher.grammar_warnings().first() {
            return Err(wrong(warning));
        }
        Ok(Constraint { matcher })
    }
}

impl Constraint {
    /// Makes every token impossible that is not allowed.
    pub(super) fn restrict(&mut self, logits: &mut [f32]) -> Result<(), LocalError> {
        let mask = self.matcher.compute_mask_or_eos();
        let mask = mask.map_err(LocalError::internal)?;
        mask.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
        Ok(())
    }

    /// Takes the token that was chosen.
    pub(super) fn take(&mut self, token: u32) -> Result<(), LocalError> {
        self.matcher
            .consume_token(token)
            .map_err(LocalError::internal)
    }

    /// Whether the answer is complete, and nothing may follow.
    pub(super) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}
