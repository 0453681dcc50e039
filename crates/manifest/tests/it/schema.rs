//! The JSON Schema agrees with `check`.

use crate::changes::CHANGES;
use crate::support::check;
use mainstay_manifest::{Starter, schema, starter};
use regex::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

/// Whether a value is valid. Knows the keywords that our schema uses, and no other.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else {
        return schema.as_bool().unwrap();
    };
    keywords.iter().all(|(keyword, argument)| {
        let all = |schema: &Value| is_valid(root, schema, value);
        let list = |argument: &Value| argument.as_array().unwrap().clone();
        match (keyword.as_str(), value) {
            (
                "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "then",
                _,
            ) => true,
            ("$ref", _) => {
                let pointer = argument.as_str().unwrap().trim_start_matches('#');
                all(root.pointer(pointer).unwrap())
            }
            ("type", value) => is_type(value, argument.as_str().unwrap()),
            ("const", value) => argument == value,
            ("enum", value) => list(argument).contains(value),
            ("not", _) => !all(argument),
            ("anyOf", _) => list(argument).iter().any(all),
            ("oneOf", _) => list(argument).iter().filter(|schema| all(schema)).count() == 1,
            ("allOf", _) => list(argument).iter().all(all),
            ("if", _) => !all(argument) || all(&keywords["then"]),
            ("pattern", Value::String(text)) => Regex::new(argument.as_str().unwrap())
                .unwrap()
                .is_match(text),
            ("minimum", Value::Number(number)) => {
                number.as_f64().unwrap() >= argument.as_f64().unwrap()
            }
            ("maximum", Value::Number(number)) => {
                number.as_f64().unwrap() <= argument.as_f64().unwrap()
            }
            ("minItems", Value::Array(items)) => items.len() as u64 >= argument.as_u64().unwrap(),
            ("items", Value::Array(items)) => {
                items.iter().all(|item| is_valid(root, argument, item))
            }
            ("required", Value::Object(map)) => list(argument)
                .iter()
                .all(|key| map.contains_key(key.as_str().unwrap())),
            ("propertyNames", Value::Object(map)) => {
                map.keys().all(|key| is_valid(root, argument, &json!(key)))
            }
            ("properties", Value::Object(map)) => map.iter().all(|(key, value)| {
                argument
                    .get(key)
                    .is_none_or(|schema| is_valid(root, schema, value))
            }),
            ("additionalProperties", Value::Object(map)) => map.iter().all(|(key, value)| {
                let is_known = keywords
                    .get("properties")
                    .is_some_and(|known| known.get(key).is_some());
                is_known || is_valid(root, argument, value)
            }),
            (
                "pattern"
                | "minimum"
                | "maximum"
                | "minItems"
                | "items"
                | "required"
                | "propertyNames"
                | "properties"
                | "additionalProperties",
                _,
            ) => true,
            (other, _) => panic!("the schema uses `{other}`"),
        }
    })
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

/// YAML as JSON, as an editor sees it.
fn json_of(text: &str) -> Value {
    enum Open {
        List(Vec<Value>),
        Map(Map<String, Value>, Option<String>),
    }
    let mut stack: Vec<Open> = Vec::new();
    let mut root = Value::Null;
    for event in Parser::new_from_str(text) {
        let value = match event.unwrap().0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) => match text.as_ref() {
                "" | "null" | "~" => Value::Null,
                "true" => json!(true),
                "false" => json!(false),
                text => text
                    .parse::<u64>()
                    .map(|n| json!(n))
                    .or_else(|_| text.parse::<f64>().map(|n| json!(n)))
                    .unwrap_or_else(|_| json!(text)),
            },
            Event::Scalar(text, ..) => json!(text),
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop().unwrap() {
                Open::List(items) => Value::Array(items),
                Open::Map(map, _) => Value::Object(map),
            },
            _ => continue,
        };
        match stack.last_mut() {
            None => root = value,
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(map, key)) => match key.take() {
                Some(key) => {
                    map.insert(key, value);
                }
                None => {
                    let text = value.as_str().map(str::to_owned);
                    *key = Some(text.unwrap_or_else(|| value.to_string()));
                }
            },
        }
    }
    root
}

#[test]
fn the_schema_accepts_what_check_accepts() {
    let schema = schema();
    for text in [
        include_str!("../manifests/full.yaml"),
        include_str!("../manifests/inference.yaml"),
        starter(Starter::Script),
        starter(Starter::OpenAiCompatible),
    ] {
        assert!(check(text).manifest.is_some());
        assert!(is_valid(&schema, &schema, &json_of(text)), "{text}");
    }
}

#[test]
fn check_and_schema_judge_alike() {
    let schema = schema();
    let base = json_of(include_str!("../manifests/full.yaml"));
    for (pointer, json, is_fine) in CHANGES {
        let value: Value = serde_json::from_str(json).unwrap();
        let mut manifest = base.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match manifest.pointer_mut(parent).unwrap() {
            Value::Object(map) => {
                map.insert(key.to_owned(), value.clone());
            }
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{other}"),
        }
        let text = manifest.to_string();
        let by_check = check(&text);
        assert_eq!(
            by_check.manifest.is_some(),
            *is_fine,
            "check: {pointer} = {value}: {:?}",
            by_check.findings
        );
        assert_eq!(
            is_valid(&schema, &schema, &manifest),
            *is_fine,
            "schema: {pointer} = {value}"
        );
    }
}

#[test]
fn every_property_is_explained_and_closed() {
    fn walk(schema: &Value, path: &str) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(properties)) =
                    map.get("properties").filter(|_| map.contains_key("type"))
                {
                    assert!(map.contains_key("additionalProperties"), "{path}");
                    for (key, property) in properties {
                        let is_variant = !map.contains_key("title");
                        assert!(
                            is_variant || property.get("description").is_some(),
                            "{path}/{key}"
                        );
                    }
                }
                map.iter()
                    .for_each(|(key, inner)| walk(inner, &format!("{path}/{key}")));
            }
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, path)),
            _ => {}
        }
    }
    let schema = schema();
    walk(&schema, "");
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["properties"]["version"]["const"], 1);
}

#[test]
fn defaults_and_examples_are_valid_themselves() {
    fn walk(root: &Value, schema: &Value) {
        if let Value::Object(map) = schema {
            let samples = map.get("default").into_iter().chain(
                map.get("examples")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
            for sample in samples {
                assert!(
                    !sample.is_null() && is_valid(root, schema, sample),
                    "{sample} of {schema}"
                );
            }
            map.values().for_each(|inner| walk(root, inner));
        } else if let Value::Array(items) = schema {
            items.iter().for_each(|inner| walk(root, inner));
        }
    }
    let schema = schema();
    walk(&schema, &schema);
}

#[test]
fn the_schema_is_stable() {
    insta::assert_json_snapshot!(schema());
}
