//! What of a JSON Schema can be enforced, judged before it is compiled: the compiler leaves out keywords that it
//! does not know, follows references as deep as they go, and does not see that an answer can have no end.

use serde_json::{Map, Value};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

/// The most schemas in one, all together. What is compiled is not nested deeper.
pub(super) const PARTS_MAX: usize = 2000;

/// Keywords that hold no schema: those that are enforced, then those that only tell something.
const PLAIN: [&str; 37] = [
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "id",
    "readOnly",
    "title",
    "writeOnly",
];

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub(super) struct SchemaError {
    /// The place in the schema, as a reference names it.
    place: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("must be a schema: an object, true or false")]
    NoSchema,
    #[error("must hold schemas")]
    NoSchemas,
    #[error("{0:?} cannot be enforced by a local model")]
    Keyword(String),
    #[error("the reference {0} leads to no place in the schema; \"#/$defs/name\" would")]
    Reference(String),
    #[error("the reference {0:?} needs itself, so that an answer would have no end")]
    Endless(String),
    #[error("the schema has more than {PARTS_MAX} parts")]
    TooLarge,
}

/// Judges a whole schema.
///
/// # Errors
/// The first part that cannot be enforced.
pub(super) fn check(root: &Value) -> Result<(), SchemaError> {
    let mut check = Check {
        root,
        parts: 0,
        references: Vec::new(),
        known: BTreeSet::new(),
        waiting: VecDeque::from([(Place::default(), root)]),
    };
    while let Some((place, schema)) = check.waiting.pop_front() {
        check.part(&place, schema)?;
    }
    check.ends()
}

/// Where something stands in a schema.
#[derive(Debug, Clone, Default)]
struct Place(String);

impl Place {
    fn at(&self, step: impl fmt::Display) -> Self {
        Self(format!("{}/{step}", self.0))
    }

    fn refuse(&self, problem: Problem) -> SchemaError {
        let place = format!("#{}", self.0);
        SchemaError { place, problem }
    }
}

/// A reference, where it was met first.
struct Reference<'a> {
    place: Place,
    name: &'a str,
    target: &'a Value,
}

struct Check<'a> {
    root: &'a Value,
    parts: usize,
    references: Vec<Reference<'a>>,
    known: BTreeSet<&'a str>,
    /// What is yet to be judged. References make long ways, so that nothing here calls itself.
    waiting: VecDeque<(Place, &'a Value)>,
}

impl<'a> Check<'a> {
    /// Judges a schema; those in it wait.
    fn part(&mut self, place: &Place, schema: &'a Value) -> Result<(), SchemaError> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(place.refuse(Problem::TooLarge));
        }
        match schema {
            Value::Bool(_) => Ok(()),
            Value::Object(fields) => fields
                .iter()
                .try_for_each(|(keyword, value)| self.keyword(place, fields, keyword, value)),
            _ => Err(place.refuse(Problem::NoSchema)),
        }
    }

    fn keyword(
        &mut self,
        place: &Place,
        fields: &Map<String, Value>,
        keyword: &str,
        value: &'a Value,
    ) -> Result<(), SchemaError> {
        let has_list = fields.get("items").is_some_and(Value::is_array);
        let here = place.at(keyword);
        match (keyword, value) {
            ("$ref", _) => return self.reference(place, value),
            ("properties" | "patternProperties", Value::Object(schemas)) => {
                let schemas = schemas.iter();
                let schemas = schemas.map(|(name, schema)| (here.at(name), schema));
                self.waiting.extend(schemas);
            }
            ("prefixItems", _) if has_list => return Err(place.refuse(unknown(keyword))),
            ("additionalItems", _) if !has_list => return Err(place.refuse(unknown(keyword))),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                let schemas = schemas.iter().enumerate();
                let schemas = schemas.map(|(at, schema)| (here.at(at), schema));
                self.waiting.extend(schemas);
            }
            ("items" | "additionalItems" | "additionalProperties", _) => {
                self.waiting.push_back((here, value));
            }
            (
                "properties" | "patternProperties" | "allOf" | "anyOf" | "oneOf" | "prefixItems",
                _,
            ) => return Err(here.refuse(Problem::NoSchemas)),
            _ if PLAIN.contains(&keyword) || keyword.starts_with("x-") => {}
            _ => return Err(place.refuse(unknown(keyword))),
        }
        Ok(())
    }

    fn reference(&mut self, place: &Place, value: &'a Value) -> Result<(), SchemaError> {
        let wrong = || place.refuse(Problem::Reference(value.to_string()));
        let name = value.as_str().ok_or_else(wrong)?;
        let target = target(self.root, name).ok_or_else(wrong)?;
        if self.known.insert(name) {
            self.waiting
                .push_back((Place(name[1..].to_owned()), target));
            let place = place.clone();
            self.references.push(Reference {
                place,
                name,
                target,
            });
        }
        Ok(())
    }

    /// Whether an answer can come to an end behind every reference.
    fn ends(&self) -> Result<(), SchemaError> {
        let mut ending = BTreeSet::new();
        loop {
            let before = ending.len();
            for reference in self.references.iter().rev() {
                if !ending.contains(reference.name) && can_end(reference.target, &ending) {
                    ending.insert(reference.name);
                }
            }
            if ending.len() == before {
                break;
            }
        }
        let mut references = self.references.iter();
        match references.find(|reference| !ending.contains(reference.name)) {
            Some(Reference { place, name, .. }) => {
                Err(place.refuse(Problem::Endless((*name).to_owned())))
            }
            None => Ok(()),
        }
    }
}

fn unknown(keyword: &str) -> Problem {
    Problem::Keyword(keyword.to_owned())
}

/// What a reference leads to. Names with characters that a reference has to escape are read in different ways,
/// and lead nowhere here.
fn target<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    match name.strip_prefix('#')? {
        "" | "/" => Some(root),
        path if path.contains(['~', '%']) => None,
        path => root.pointer(path),
    }
}

/// Whether something finite satisfies a schema, where only what is behind the `ending` references is known to.
/// Other contradictions are for the compiler to find.
fn can_end(schema: &Value, ending: &BTreeSet<&str>) -> bool {
    let Value::Object(fields) = schema else {
        return true;
    };
    let list = |keyword: &str| fields.get(keyword).and_then(Value::as_array);
    let one = |schema: &Value| can_end(schema, ending);
    let all = |keyword: &str| list(keyword).is_none_or(|schemas| schemas.iter().all(one));
    let any = |keyword: &str| {
        list(keyword).is_none_or(|schemas| schemas.is_empty() || schemas.iter().any(one))
    };
    let reference = fields.get("$ref").and_then(Value::as_str);
    reference.is_none_or(|name| ending.contains(name))
        && all("allOf")
        && any("anyOf")
        && any("oneOf")
        && can_end_as_a_type(fields, ending)
}

fn can_end_as_a_type(fields: &Map<String, Value>, ending: &BTreeSet<&str>) -> bool {
    let can_end_as = |name: &Value| match name.as_str() {
        Some("object") => object_can_end(fields, ending),
        Some("array") => array_can_end(fields, ending),
        _ => true,
    };
    match fields.get("type") {
        Some(Value::Array(names)) => names.is_empty() || names.iter().any(can_end_as),
        Some(name) => can_end_as(name),
        None => true,
    }
}

fn object_can_end(fields: &Map<String, Value>, ending: &BTreeSet<&str>) -> bool {
    let schema = |keyword: &str| fields.get(keyword);
    let named = |name: &str| schema("properties").and_then(|schemas| schemas.get(name));
    let others = schema("additionalProperties").filter(|_| schema("patternProperties").is_none());
    let required = schema("required").and_then(Value::as_array);
    let mut required = required.into_iter().flatten().filter_map(Value::as_str);
    let needs_other = at_least(fields, "minProperties") > 0 && schema("properties").is_none();
    required.all(|name| named(name).or(others).is_none_or(|s| can_end(s, ending)))
        && (!needs_other || others.is_none_or(|other| can_end(other, ending)))
}

fn array_can_end(fields: &Map<String, Value>, ending: &BTreeSet<&str>) -> bool {
    let needed = at_least(fields, "minItems");
    let (first, others) = match fields.get("items") {
        Some(Value::Array(first)) => (Some(first), fields.get("additionalItems")),
        others => (fields.get("prefixItems").and_then(Value::as_array), others),
    };
    let first = first.map_or(&[][..], Vec::as_slice);
    let needs_other = needed > first.len();
    let mut first = first.iter().take(needed);
    first.all(|item| can_end(item, ending))
        && (!needs_other || others.is_none_or(|other| can_end(other, ending)))
}

fn at_least(fields: &Map<String, Value>, keyword: &str) -> usize {
    let least = fields.get(keyword).and_then(Value::as_u64).unwrap_or(0);
    usize::try_from(least).unwrap_or(usize::MAX)
}
