//! What clients have to bring back and this wire has no field for. The proof of a tool call rides in the
//! call's id, in letters that every client accepts; the id and sealed form of a foreign thought ride in the
//! thought's signature.

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
