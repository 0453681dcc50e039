//! Proofs of thoughts and calls. Each provider knows only its own and refuses a foreign one, so Gemini's are
//! marked when they are read, and so are those of OpenRouter's `reasoning_details`: base64 has no colon.

use super::Dialect;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem;
use serde_json::{Map, Value};

const MARK: &str = "gemini:";
const DETAILS_MARK: &str = "details:";

/// A proof of Gemini's in the neutral form.
pub(super) fn of_gemini(proof: &str) -> String {
    format!("{MARK}{proof}")
}

/// Gemini's own form of it; nothing where it is another provider's.
pub(super) fn to_gemini(proof: &str) -> Option<&str> {
    proof.strip_prefix(MARK)
}

/// An entry of `reasoning_details` without its text, in the neutral form.
pub(super) fn of_details(entry: &Map<String, Value>) -> String {
    let json = serde_json::to_vec(entry).unwrap_or_default();
    format!("{DETAILS_MARK}{}", URL_SAFE_NO_PAD.encode(json))
}

/// The entry; nothing where it is another provider's proof.
pub(super) fn to_details(proof: &str) -> Option<Map<String, Value>> {
    let json = URL_SAFE_NO_PAD.decode(proof.strip_prefix(DETAILS_MARK)?);
    serde_json::from_slice(&json.ok()?).ok()
}

/// Whether it is of a provider whose proofs are marked.
pub(super) fn is_marked(proof: &str) -> bool {
    proof.starts_with(MARK) || proof.starts_with(DETAILS_MARK)
}

/// What only this gateway writes, for callers of a dialect to bring back: other providers' proofs and
/// thoughts, and thoughts without the proof that the dialect's own provider wants.
const fn marks(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAiChat => &["\"gemini:", "\"reasoning_blocks\"", "__proof__"],
        Dialect::OpenAiResponses => &[
            "\"gemini:",
            "mainstay.signature:",
            "rs_unnamed_",
            "__proof__",
        ],
        Dialect::Anthropic => &[
            "\"gemini:",
            "\"details:",
            "\"sealed:",
            "__proof__",
            "\"signature\":\"\"",
            "\"signature\": \"\"",
        ],
        Dialect::Gemini => &[],
    }
}

impl Dialect {
    /// Whether a caller's body may hold what the dialect's own provider does not understand. It cannot be
    /// handed on as it is then; that a text merely looks so costs a translation and nothing else. Servers
    /// that follow OpenAI show thoughts in a field that OpenAI itself refuses.
    #[must_use]
    pub fn may_be_marked(self, body: &[u8], is_compatible: bool) -> bool {
        let shown: &[&str] = match self {
            Self::OpenAiChat if !is_compatible => &["\"reasoning_content\""],
            _ => &[],
        };
        let mut marks = marks(self).iter().chain(shown);
        marks.any(|mark| memmem::find(body, mark.as_bytes()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_marked_by_what_we_wrote_into_it() {
        let ours = br#"{"messages":[{"content":[{"type":"thinking","signature":"gemini:AA=="}]}]}"#;
        let theirs = br#"{"messages":[{"content":[{"type":"thinking","signature":"AA=="}]}]}"#;
        assert!(Dialect::Anthropic.may_be_marked(ours, false));
        assert!(!Dialect::Anthropic.may_be_marked(theirs, false));
        let unproven = br#"{"content":[{"type":"thinking","thinking":"x","signature":""}]}"#;
        assert!(Dialect::Anthropic.may_be_marked(unproven, false));
        assert!(Dialect::OpenAiChat.may_be_marked(br#"{"reasoning_blocks":[]}"#, true));
        let shown = br#"{"role":"assistant","reasoning_content":"x"}"#;
        assert!(Dialect::OpenAiChat.may_be_marked(shown, false));
        assert!(!Dialect::OpenAiChat.may_be_marked(shown, true));
        assert!(Dialect::OpenAiResponses.may_be_marked(br#""mainstay.signature:x""#, false));
        // Ids with proofs are longer than OpenAI takes them.
        let id = br#"{"tool_call_id":"call_0__proof__AA"}"#;
        assert!(Dialect::OpenAiChat.may_be_marked(id, true));
    }
}
