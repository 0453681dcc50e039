//! Typed ids. Callers may choose session and turn ids; whatever they choose must be safe in a path,
//! a URL and a log line.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const LENGTH_MAX: usize = 128;
/// What a step's id has more than its turn's: a dot and a number of ten digits.
const STEP_LENGTH_MAX: usize = LENGTH_MAX + 11;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing but white space.
    #[error("the {kind} id is blank")]
    Blank {
        /// Which id.
        kind: &'static str,
    },
    /// Longer than 128 bytes; for a step, than those of its turn and its number.
    #[error("the {kind} id has {length} bytes, more than {}", length_max(.kind))]
    TooLong {
        /// Which id.
        kind: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// A character other than ASCII letters, digits, `_`, `-`, `.` and `:`, or a leading `.` or `-`.
    #[error(
        "the {kind} id cannot have {found:?} where it stands: start with an ASCII letter or digit, and go on with these, `_`, `-`, `.` and `:`"
    )]
    Character {
        /// Which id.
        kind: &'static str,
        /// The first character refused.
        found: char,
    },
}

fn length_max(kind: &str) -> usize {
    match kind {
        "step" => STEP_LENGTH_MAX,
        _ => LENGTH_MAX,
    }
}

fn validate(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.trim().is_empty() {
        return Err(IdError::Blank { kind });
    }
    if text.len() > length_max(kind) {
        return Err(IdError::TooLong {
            kind,
            length: text.len(),
        });
    }
    let is_allowed = |(at, c): (usize, char)| {
        c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '_' | '-' | '.' | ':'))
    };
    match text.char_indices().find(|&found| !is_allowed(found)) {
        Some((_, found)) => Err(IdError::Character { kind, found }),
        None => Ok(()),
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Accepts a caller's text.
            ///
            /// # Errors
            /// [`IdError`] where it is blank, too long or holds an unsafe character.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                validate($kind, &text)?;
                Ok(Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A session: `ses_…`, or the caller's own.
    SessionId, "session";
    /// A turn, unique on its node: `trn_…`, or the caller's own.
    TurnId, "turn";
    /// A step of a turn: the turn's id, a dot and the step's number in it.
    StepId, "step";
    /// The name of an agent in the manifest.
    AgentName, "agent";
}

impl SessionId {
    /// A fresh id, ordered by time.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("ses_{}", uuid::Uuid::now_v7().simple()))
    }
}

impl TurnId {
    /// A fresh id, ordered by time.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("trn_{}", uuid::Uuid::now_v7().simple()))
    }
}

impl StepId {
    /// The id of step `number` (from 1) of `turn`.
    #[must_use]
    pub fn of(turn: &TurnId, number: u32) -> Self {
        Self(format!("{turn}.{number}"))
    }

    /// The turn and the step's number in it, where the text has that form.
    #[must_use]
    pub fn parts(&self) -> Option<(TurnId, u32)> {
        let (turn, number) = self.0.rsplit_once('.')?;
        Some((TurnId::new(turn).ok()?, number.parse().ok()?))
    }
}

/// A place in a session's journal, from 1, without gaps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The blake3 digest of a content-addressed blob, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = |found| IdError::Character {
            kind: "digest",
            found,
        };
        if text.len() != 64 {
            return Err(IdError::TooLong {
                kind: "digest",
                length: text.len(),
            });
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |b: u8| {
                char::from(b)
                    .to_digit(16)
                    .ok_or_else(|| refuse(char::from(b)))
            };
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).unwrap_or_default();
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_is_unsafe_in_a_path() {
        for text in [
            "", "  ", "../x", "a/b", "a b", ".hidden", "-flag", "é", "a\n",
        ] {
            assert!(SessionId::new(text).is_err(), "{text:?}");
        }
        assert!(SessionId::new("a".repeat(129)).is_err());
        assert!(SessionId::new("team:fix-1.2_b").is_ok());
    }

    #[test]
    fn a_step_names_its_turn() {
        let turn = TurnId::new("trn.1").unwrap();
        assert_eq!(StepId::of(&turn, 7).parts(), Some((turn, 7)));
    }

    #[test]
    fn a_step_of_the_longest_turn_can_be_read_back() {
        let turn = TurnId::new("a".repeat(128)).unwrap();
        let step = StepId::of(&turn, u32::MAX);
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<StepId>(&json).unwrap(), step);
        assert!(StepId::new("a".repeat(140)).is_err());
    }

    #[test]
    fn digests_round_trip() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("ab".parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
    }
}
