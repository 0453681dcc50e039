//! Proofs of thoughts and calls. Each provider knows only its own and refuses a foreign one, so Gemini's are
//! marked when they are read: base64 has no colon.

const MARK: &str = "gemini:";

/// A proof of Gemini's in the neutral form.
pub(super) fn of_gemini(proof: &str) -> String {
    format!("{MARK}{proof}")
}

/// Gemini's own form of it; nothing where it is another provider's.
pub(super) fn to_gemini(proof: &str) -> Option<&str> {
    proof.strip_prefix(MARK)
}

/// Whether it is Gemini's.
pub(super) fn is_geminis(proof: &str) -> bool {
    proof.starts_with(MARK)
}
