//! Whom an answer is for, as long as a provider takes it.

use std::borrow::Cow;

/// The caller's id of its user, or a digest of it where it has more than `length_max` characters: always
/// the same for the same id, and 64 characters long.
pub(super) fn user_within(user: &str, length_max: usize) -> Cow<'_, str> {
    match user.chars().nth(length_max) {
        None => Cow::Borrowed(user),
        Some(_) => Cow::Owned(blake3::hash(user.as_bytes()).to_hex().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_that_is_too_long_becomes_a_digest() {
        let fits = "ä".repeat(64);
        assert_eq!(user_within(&fits, 64), fits);
        let long = "a".repeat(65);
        let digest = user_within(&long, 64);
        assert_eq!(digest.len(), 64);
        assert_eq!(digest, user_within(&long, 64));
        assert_ne!(digest, user_within(&"b".repeat(65), 64));
    }
}
