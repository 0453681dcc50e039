//! Why a text is not what it should be.

/// Why a text does not have its form: a hint, or nothing better than what was expected.
pub(crate) struct Refusal(pub(crate) Option<String>);

impl From<&str> for Refusal {
    fn from(hint: &str) -> Self {
        Self(Some(hint.to_owned()))
    }
}

impl From<String> for Refusal {
    fn from(hint: String) -> Self {
        Self(Some(hint))
    }
}
