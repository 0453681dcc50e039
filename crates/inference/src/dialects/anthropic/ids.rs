//! What clients have to bring back and this wire has no field for. The proof of a tool call rides in the
//! call's id; the id and sealed form of a foreign thought ride in the thought's signature.

pub(super) use crate::dialects::call_proof::{with_proof, without_proof};

use std::borrow::Cow;

/// The id in the letters that Anthropic accepts.
pub(super) fn accepted(id: &str) -> Cow<'_, str> {
    let is_accepted = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if id.chars().all(is_accepted) {
        return Cow::Borrowed(id);
    }
    let replaced = |letter| if is_accepted(letter) { letter } else { '_' };
    Cow::Owned(id.chars().map(replaced).collect())
}

const SEALED: &str = "sealed:";

/// A foreign thought's id and sealed form as a signature; nothing where it has neither.
pub(super) fn seal(id: Option<&str>, sealed: Option<&str>) -> Option<String> {
    if id.is_none() && sealed.is_none() {
        return None;
    }
    let (id, sealed) = (id.unwrap_or_default(), sealed.unwrap_or_default());
    Some(format!("{SEALED}{id}:{sealed}"))
}

/// A sealed thought as data: Anthropic's own have no id, and stay as they are.
pub(super) fn seal_data<'a>(id: Option<&str>, sealed: &'a str) -> Cow<'a, str> {
    match id {
        None => Cow::Borrowed(sealed),
        Some(id) => Cow::Owned(format!("{SEALED}{id}:{sealed}")),
    }
}

/// The id and sealed form that a signature holds.
pub(super) fn unseal(signature: &str) -> Option<(Option<String>, Option<String>)> {
    let (id, sealed) = signature.strip_prefix(SEALED)?.split_once(':')?;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some((some(id), some(sealed)))
}
