//! The language in which [`crate::sections`] describes the manifest.

use crate::format::Format;

/// What a value must be.
pub(crate) enum Kind {
    /// Any text that is not empty.
    Text,
    /// A text of a certain form.
    Format(&'static Format),
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// `true` or `false`.
    Boolean,
    /// One of some words.
    Choice(&'static [Word]),
    /// A list.
    List { of: &'static Kind, min: usize },
    /// A list, or its only element without the brackets.
    OneOrMany(&'static Kind),
    /// Names chosen by the operator, each with a value.
    Map(&'static Kind),
    /// Keys known to us.
    Object(&'static Shape),
    /// The first of two, or the second where it is a map.
    Or(&'static Kind, &'static Kind),
    /// A word, or a map of that word to its options.
    Tagged(&'static [Variant]),
    /// Not yet supported, whatever it holds.
    Later,
}

/// A word of a choice.
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
}

/// A case of a tagged value.
pub(crate) struct Variant {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
    /// Whether the bare word will do.
    pub(crate) is_bare: bool,
    /// What stands under the word; `None` where it has no options.
    pub(crate) options: Option<Kind>,
}

/// A map with known keys.
pub(crate) struct Shape {
    /// Its name in the JSON Schema.
    pub(crate) title: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) cases: &'static [Case],
}

/// A known key.
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    /// As JSON.
    pub(crate) example: Option<&'static str>,
}

/// Whether a key must be there.
pub(crate) enum Need {
    /// It must.
    Required,
    /// It may be left out, and then nothing stands in for it.
    Optional,
    /// It may be left out; this, as JSON, stands in for it.
    Default(&'static str),
}

/// What holds beside a certain key.
pub(crate) struct Case {
    pub(crate) when: When,
    pub(crate) required: &'static [&'static str],
    pub(crate) refused: &'static [&'static str],
}

/// When a case applies.
pub(crate) enum When {
    /// A key has one of these words, and another, where one is named, is absent.
    Is {
        key: &'static str,
        words: &'static [&'static str],
        without: Option<&'static str>,
    },
    /// A key is there.
    Present(&'static str),
    /// A key is absent.
    Absent(&'static str),
}

impl Shape {
    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

impl Field {
    pub(crate) const fn required(key: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self::new(key, kind, Need::Required, doc)
    }

    pub(crate) const fn optional(key: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self::new(key, kind, Need::Optional, doc)
    }

    pub(crate) const fn default(
        key: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(key, kind, Need::Default(default), doc)
    }

    pub(crate) const fn later(key: &'static str, doc: &'static str) -> Self {
        Self::new(key, Kind::Later, Need::Optional, doc)
    }

    const fn new(key: &'static str, kind: Kind, need: Need, doc: &'static str) -> Self {
        Self {
            key,
            doc,
            kind,
            need,
            example: None,
        }
    }

    pub(crate) const fn example(mut self, json: &'static str) -> Self {
        self.example = Some(json);
        self
    }
}
