//! Which schemas OpenAI follows exactly. It refuses all others where that is asked for; Anthropic follows more.

use serde_json::{Map, Value};

/// Keywords that OpenAI refuses.
const REFUSED: [&str; 10] = [
    "allOf",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "not",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "then",
];

/// Whether the schema is an object's, and keeps to the rules everywhere: each property is required, no others
/// may stand there, and each value has a type.
pub(super) fn is_strict(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && keeps_to_rules(schema)
}

fn keeps_to_rules(schema: &Value) -> bool {
    let Value::Object(fields) = schema else {
        return false;
    };
    let says_what = ["type", "$ref", "anyOf", "enum", "const"];
    let is_refused = fields.keys().any(|key| REFUSED.contains(&key.as_str()));
    let is_told = says_what.iter().any(|key| fields.contains_key(*key));
    is_told && !is_refused && is_closed(fields) && inner_schemas(fields).all(keeps_to_rules)
}

/// Whether an object has all its properties and no others. What is no object passes.
fn is_closed(fields: &Map<String, Value>) -> bool {
    let properties = fields.get("properties").and_then(Value::as_object);
    let may_be_object = match fields.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    };
    if properties.is_none() && !may_be_object {
        return true;
    }
    let required = fields.get("required").and_then(Value::as_array);
    let is_required = |name: &String| {
        let mut required = required.into_iter().flatten();
        required.any(|other| other == name.as_str())
    };
    let mut names = properties.into_iter().flat_map(Map::keys);
    fields.get("additionalProperties") == Some(&Value::Bool(false)) && names.all(is_required)
}

/// The schemas that stand within one.
fn inner_schemas(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let named = ["properties", "$defs", "definitions"];
    let named = named
        .into_iter()
        .filter_map(|key| fields.get(key)?.as_object());
    let listed = fields.get("anyOf").and_then(Value::as_array);
    let named = named.flat_map(Map::values);
    let listed = listed.into_iter().flatten();
    named.chain(listed).chain(fields.get("items"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(properties: Value, required: Value) -> Value {
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }

    #[test]
    fn a_schema_is_strict_only_where_all_of_it_is() {
        let text = json!({"type": "string"});
        let inner = object(json!({ "b": text }), json!(["b"]));
        let loose = object(json!({ "b": text }), json!([]));
        for (schema, expected) in [
            (inner.clone(), true),
            (loose.clone(), false),
            (object(json!({}), json!([])), true),
            (text.clone(), false),
            (
                json!({"type": "object", "properties": {"b": text}, "required": ["b"]}),
                false,
            ),
            (object(json!({"a": inner}), json!(["a"])), true),
            (object(json!({"a": loose}), json!(["a"])), false),
            (
                object(
                    json!({"a": {"type": "array", "items": inner}}),
                    json!(["a"]),
                ),
                true,
            ),
            (
                object(
                    json!({"a": {"type": "array", "items": loose}}),
                    json!(["a"]),
                ),
                false,
            ),
            (
                object(
                    json!({"a": {"anyOf": [{"type": "null"}, loose]}}),
                    json!(["a"]),
                ),
                false,
            ),
            (
                object(json!({"a": {"type": ["object", "null"]}}), json!(["a"])),
                false,
            ),
            (object(json!({"a": {"oneOf": [text]}}), json!(["a"])), false),
            (object(json!({"a": {}}), json!(["a"])), false),
        ] {
            assert_eq!(is_strict(&schema), expected, "{schema}");
        }
        let mut defined = object(json!({"a": {"$ref": "#/$defs/a"}}), json!(["a"]));
        assert!(is_strict(&defined));
        defined["$defs"] = json!({"a": loose});
        assert!(!is_strict(&defined));
    }
}
