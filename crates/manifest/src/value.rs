//! Values that are what their description asks for.

use crate::finding::{Place, Position};
use crate::rule::{AllowRule, StatusRange};
use crate::shape::{Kind, Need};
use mainstay_contract::Usd;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A value that is what its description asks for.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Word(&'static str),
    Integer(u64),
    Boolean(bool),
    Duration(Duration),
    Bytes(u64),
    Money(Usd),
    Statuses(StatusRange),
    Rule(AllowRule),
    List(Vec<Item>),
    Map(Vec<Entry>),
    Object(Object),
    Tagged(&'static str, Option<Box<Item>>),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// An entry under a name that the operator chose; no item where it was unusable.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) item: Option<Item>,
}

/// A map with known keys. What is absent without default, or unusable, is not in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    pub(crate) fields: BTreeMap<&'static str, Item>,
    pub(crate) written: BTreeMap<&'static str, Position>,
    /// Known keys that an unknown one perhaps meant: they are not called missing as well.
    pub(crate) meant: BTreeSet<&'static str>,
}

impl Object {
    pub(crate) fn get(&self, key: &str) -> Option<&Item> {
        self.fields.get(key)
    }

    /// Whether the file has the key, with whatever value.
    pub(crate) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Where the file has the key.
    pub(crate) fn key_at(&self, key: &str) -> Option<Position> {
        self.written.get(key).copied()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Option<u64> {
        match self.get(key)?.value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key)?.value {
            Value::Boolean(is_so) => Some(is_so),
            _ => None,
        }
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        match self.get(key)?.value {
            Value::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<u64> {
        match self.get(key)?.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn money(&self, key: &str) -> Option<Usd> {
        match self.get(key)?.value {
            Value::Money(amount) => Some(amount),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[Item]> {
        match &self.get(key)?.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let texts = self.list(key)?.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        Some(texts.collect())
    }

    pub(crate) fn map(&self, key: &str) -> Option<&[Entry]> {
        match &self.get(key)?.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn object(&self, key: &str) -> Option<&Object> {
        self.get(key)?.object()
    }
}

impl Item {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn object(&self) -> Option<&Object> {
        match &self.value {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// The value that stands in for an absent key.
pub(crate) fn default(kind: &'static Kind, json: &str, place: &Place) -> Option<Value> {
    let unquoted = json.trim_matches('"');
    match kind {
        Kind::Format(format) => (format.read)(unquoted).ok(),
        Kind::Integer { .. } => json.parse().ok().map(Value::Integer),
        Kind::Boolean => json.parse().ok().map(Value::Boolean),
        Kind::Choice(words) => {
            let word = words.iter().find(|word| word.word == unquoted)?;
            Some(Value::Word(word.word))
        }
        Kind::List { of, .. } | Kind::OneOrMany(of) => {
            let inner = json.trim_matches(['[', ']']);
            if inner.is_empty() {
                return Some(Value::List(Vec::new()));
            }
            let item = |json: &str| {
                let value = default(of, json.trim(), place)?;
                let place = place.clone();
                Some(Item { place, value })
            };
            let items: Option<Vec<Item>> = inner.split(',').map(item).collect();
            items.map(Value::List)
        }
        Kind::Map(_) => Some(Value::Map(Vec::new())),
        Kind::Object(shape) => {
            let mut object = Object::default();
            for field in shape.fields {
                if let Need::Default(json) = field.need {
                    let place = place.key(field.key, place.at);
                    let value = default(&field.kind, json, &place)?;
                    object.fields.insert(field.key, Item { place, value });
                }
            }
            Some(Value::Object(object))
        }
        Kind::Text | Kind::Or(..) | Kind::Tagged(_) | Kind::Later => None,
    }
}
