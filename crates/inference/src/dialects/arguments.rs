//! The arguments of a tool call, for wires that take an object where others take text.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The arguments of a call as an object.
#[derive(Debug)]
pub(super) enum Input<'a> {
    Object(&'a RawValue),
    Nothing,
    Invalid(&'a str),
}

impl<'a> Input<'a> {
    /// Reads what a model wrote.
    pub(super) fn of(arguments: &'a str) -> Self {
        let arguments = arguments.trim();
        match serde_json::from_str::<&RawValue>(arguments) {
            Ok(raw) if arguments.starts_with('{') => Self::Object(raw),
            _ if arguments.is_empty() => Self::Nothing,
            _ => Self::Invalid(arguments),
        }
    }
}

#[derive(Serialize)]
struct InvalidArguments<'a> {
    invalid_arguments: &'a str,
}

#[derive(Serialize)]
struct Nothing {}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(raw) => raw.serialize(serializer),
            Self::Nothing => Nothing {}.serialize(serializer),
            Self::Invalid(text) => InvalidArguments {
                invalid_arguments: text,
            }
            .serialize(serializer),
        }
    }
}
