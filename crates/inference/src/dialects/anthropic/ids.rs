//! Ids of tool calls. Clients keep them whatever else they forget, so the proof of a call that some
//! providers want back rides in the id, in letters that every client accepts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::borrow::Cow;

const MARK: &str = "__proof__";

/// The id as the client is told it.
pub(super) fn with_proof<'a>(id: &'a str, proof: Option<&str>) -> Cow<'a, str> {
    match proof {
        None => Cow::Borrowed(id),
        Some(proof) => Cow::Owned(format!("{id}{MARK}{}", URL_SAFE_NO_PAD.encode(proof))),
    }
}

/// The id as the provider gave it, and the proof.
pub(super) fn without_proof(id: String) -> (String, Option<String>) {
    let proof = id.split_once(MARK).and_then(|(id, proof)| {
        let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
        Some((id.to_owned(), String::from_utf8(proof).ok()?))
    });
    match proof {
        Some((id, proof)) => (id, Some(proof)),
        None => (id, None),
    }
}

/// The id in the letters that Anthropic accepts.
pub(super) fn accepted(id: &str) -> Cow<'_, str> {
    let is_accepted = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if id.chars().all(is_accepted) {
        return Cow::Borrowed(id);
    }
    let replaced = |letter| if is_accepted(letter) { letter } else { '_' };
    Cow::Owned(id.chars().map(replaced).collect())
}
