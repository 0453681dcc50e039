//! What stands in `encrypted_content`: a provider's sealed thought as it is, or, behind a prefix, a proof
//! and perhaps a sealed thought. Only this dialect's callers see the prefix; providers never do.

use std::borrow::Cow;

const PREFIX: &str = "mainstay.signature:";
const UNNAMED: &str = "rs_unnamed_";

/// Joins a proof and a sealed thought.
pub(super) fn join<'a>(
    signature: Option<&'a str>,
    sealed: Option<&'a str>,
) -> Option<Cow<'a, str>> {
    match (signature, sealed) {
        (None, sealed) => sealed.map(Cow::Borrowed),
        (Some(signature), None) => Some(Cow::Owned(format!("{PREFIX}{signature}"))),
        (Some(signature), Some(sealed)) => {
            Some(Cow::Owned(format!("{PREFIX}{signature} {sealed}")))
        }
    }
}

/// Takes a proof and a sealed thought apart.
pub(super) fn split(text: Option<String>) -> (Option<String>, Option<String>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return (None, None);
    };
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return (None, Some(text));
    };
    match rest.split_once(' ') {
        Some((signature, sealed)) => (Some(signature.to_owned()), Some(sealed.to_owned())),
        None => (Some(rest.to_owned()), None),
    }
}

/// A thought's id; every thought has to have one here.
pub(super) fn thought_id(id: Option<&str>, place: usize, answer: &str) -> String {
    id.map_or_else(|| format!("{UNNAMED}{place}_{answer}"), str::to_owned)
}

/// A thought's id, if it is the provider's.
pub(super) fn provider_id(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && !id.starts_with(UNNAMED))
}
