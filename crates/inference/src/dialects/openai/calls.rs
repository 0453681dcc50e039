//! Tool calls: their ids, and the proofs that Google's models attach to them.

use crate::DecodeError;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;

/// `{"google": {"thought_signature": "…"}}`, as Google's own compatible endpoint writes it.
#[derive(Debug, Serialize)]
pub(crate) struct ExtraContent<'a> {
    google: Google<'a>,
}

#[derive(Debug, Serialize)]
struct Google<'a> {
    thought_signature: &'a str,
}

impl<'a> ExtraContent<'a> {
    /// The proof of a call.
    pub(crate) const fn of(signature: &'a str) -> Self {
        Self {
            google: Google {
                thought_signature: signature,
            },
        }
    }
}

/// The proof in `extra_content`.
pub(crate) fn signature_of(extra: &Value) -> Option<String> {
    let signature = extra.pointer("/google/thought_signature")?.as_str()?;
    Some(signature.to_owned())
}

/// The ids of an answer's calls.
#[derive(Debug, Default)]
pub(crate) struct CallIds {
    answers_before: usize,
    taken: HashSet<String>,
}

impl CallIds {
    /// For an answer to a conversation that holds so many already.
    pub(crate) fn after(answers_before: usize) -> Self {
        Self {
            answers_before,
            taken: HashSet::new(),
        }
    }

    /// Takes the next call's id, or makes one that no other call of the conversation has.
    ///
    /// # Errors
    /// Another call has it.
    pub(crate) fn take(&mut self, id: Option<String>) -> Result<String, DecodeError> {
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| {
            let made = |number| format!("call_{}_{number}", self.answers_before);
            let mut number = self.taken.len();
            while self.taken.contains(&made(number)) {
                number += 1;
            }
            made(number)
        });
        if self.taken.insert(id.clone()) {
            Ok(id)
        } else {
            Err(DecodeError::DuplicateToolId(id))
        }
    }

    /// Whether there was a call.
    pub(crate) fn any(&self) -> bool {
        !self.taken.is_empty()
    }
}
