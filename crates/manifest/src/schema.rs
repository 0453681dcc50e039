//! The JSON Schema (2020-12) of the manifest, made from [`crate::sections`] so that editors complete
//! and underline what [`crate::check`] accepts and refuses.

use crate::format::{Format, NAME_PATTERN};
use crate::sections::MANIFEST;
use crate::shape::{Case, Field, Kind, Need, Shape, Variant, When, Word};
use serde_json::{Map, Value, json};

/// The JSON Schema of the manifest.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let root = object(&MANIFEST, &mut definitions);
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.extend(root);
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

fn object(shape: &'static Shape, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut set = |key: &str, value: Value| {
        schema.insert(key.to_owned(), value);
    };
    set("title", json!(shape.title));
    set("description", json!(shape.doc));
    set("type", json!("object"));
    let fields = shape.fields.iter();
    let properties: Map<String, Value> = fields
        .clone()
        .map(|f| (f.key.to_owned(), field(f, definitions)))
        .collect();
    set("properties", Value::Object(properties));
    let required = fields.filter(|field| matches!(field.need, Need::Required));
    let required: Vec<&str> = required.map(|field| field.key).collect();
    if !required.is_empty() {
        set("required", json!(required));
    }
    set("additionalProperties", json!(false));
    if !shape.cases.is_empty() {
        let cases: Vec<Value> = shape.cases.iter().map(case).collect();
        set("allOf", json!(cases));
    }
    schema
}

fn field(field: &'static Field, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = kind(&field.kind, definitions);
    let doc = match field.kind {
        Kind::Later => format!("{} Not yet supported.", field.doc),
        _ => field.doc.to_owned(),
    };
    let mut set = |key: &str, value: Value| {
        schema.insert(key.to_owned(), value);
    };
    set("description", json!(doc));
    if let Need::Default(text) = field.need {
        set("default", from_json(text));
    }
    if let Some(text) = field.example {
        set("examples", json!([from_json(text)]));
    }
    Value::Object(schema)
}

/// Texts of our own tables; a test holds them to JSON.
fn from_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn case(case: &Case) -> Value {
    let mut then = Map::new();
    if !case.required.is_empty() {
        then.insert("required".to_owned(), json!(case.required));
    }
    if !case.refused.is_empty() {
        let refused = case
            .refused
            .iter()
            .map(|key| ((*key).to_owned(), json!(false)));
        then.insert("properties".to_owned(), Value::Object(refused.collect()));
    }
    json!({"if": when(&case.when), "then": then})
}

fn when(when: &When) -> Value {
    match when {
        When::Is {
            key,
            words,
            without,
        } => {
            let mut is = Map::new();
            is.insert("properties".to_owned(), json!({*key: {"enum": words}}));
            is.insert("required".to_owned(), json!([key]));
            if let Some(without) = without {
                is.insert("not".to_owned(), json!({"required": [without]}));
            }
            Value::Object(is)
        }
        When::Present(key) => json!({"required": [key]}),
        When::Absent(key) => json!({"not": {"required": [key]}}),
    }
}

fn kind(kind: &'static Kind, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let schema = match kind {
        Kind::Text => json!({"type": "string", "pattern": "\\S"}),
        Kind::Format(format) => self::format(format),
        Kind::Integer { min, max } if min == max => json!({"const": min}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Choice(words) => choice(words),
        Kind::List { of, min } => {
            let mut list = Map::new();
            list.insert("type".to_owned(), json!("array"));
            list.insert(
                "items".to_owned(),
                Value::Object(self::kind(of, definitions)),
            );
            if *min > 0 {
                list.insert("minItems".to_owned(), json!(min));
            }
            Value::Object(list)
        }
        Kind::OneOrMany(of) => {
            let one = self::kind(of, definitions);
            json!({"anyOf": [one, {"type": "array", "items": one}]})
        }
        Kind::Map(of) => json!({
            "type": "object",
            "propertyNames": {"pattern": NAME_PATTERN},
            "additionalProperties": self::kind(of, definitions),
        }),
        Kind::Object(shape) => {
            let name = shape.title.replace(' ', "_");
            if !definitions.contains_key(&name) {
                definitions.insert(name.clone(), Value::Null);
                let object = object(shape, definitions);
                definitions.insert(name.clone(), Value::Object(object));
            }
            json!({"$ref": format!("#/$defs/{name}")})
        }
        Kind::Or(first, second) => {
            let first = self::kind(first, definitions);
            json!({"anyOf": [first, self::kind(second, definitions)]})
        }
        Kind::Tagged(variants) => tagged(variants, definitions),
        Kind::Later => json!({"not": {}}),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn format(format: &Format) -> Value {
    if format.is_numeric {
        return json!({"anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": format.pattern},
        ]});
    }
    json!({"type": "string", "pattern": format.pattern})
}

fn choice(words: &'static [Word]) -> Value {
    let word = |word: &Word| json!({"const": word.word, "description": word.doc});
    json!({"oneOf": words.iter().map(word).collect::<Vec<_>>()})
}

fn tagged(variants: &'static [Variant], definitions: &mut Map<String, Value>) -> Value {
    let mut cases = Vec::new();
    for variant in variants {
        let options = match &variant.options {
            Some(Kind::Later) => continue,
            options => options.as_ref(),
        };
        if variant.is_bare {
            cases.push(json!({"const": variant.word, "description": variant.doc}));
        }
        if let Some(options) = options {
            let word = variant.word;
            cases.push(json!({
                "type": "object",
                "description": variant.doc,
                "properties": {word: kind(options, definitions)},
                "required": [word],
                "additionalProperties": false,
            }));
        }
    }
    json!({"anyOf": cases})
}
