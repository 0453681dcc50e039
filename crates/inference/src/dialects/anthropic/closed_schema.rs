//! Schemas whose objects take no other properties.

use serde_json::{Map, Value};

/// Closes each object that does not say whether it takes other properties; says whether there was one. The
/// branches of `allOf` are left alone: closed, each would refuse the others' properties.
pub(super) fn close_objects(schema: &mut Value) -> bool {
    let Value::Object(fields) = schema else {
        return false;
    };
    let is_open = is_object(fields) && !fields.contains_key("additionalProperties");
    if is_open {
        let _ = fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    let mut any = is_open;
    for (key, value) in fields {
        any |= match (key.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                all(named.values_mut())
            }
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(listed)) => all(listed.iter_mut()),
            ("items" | "additionalProperties", inner) => close_objects(inner),
            _ => false,
        };
    }
    any
}

fn all<'a>(schemas: impl Iterator<Item = &'a mut Value>) -> bool {
    let was_open = schemas.map(close_objects);
    was_open.fold(false, |any, open| any | open)
}

fn is_object(fields: &Map<String, Value>) -> bool {
    match fields.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => fields.contains_key("properties"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_that_say_nothing_are_closed_wherever_they_stand() {
        let open =
            json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}}});
        let mut closed = open.clone();
        closed["additionalProperties"] = json!(false);
        let around = |inner: &Value, is_open: bool| {
            let mut schema = json!({"type": ["object", "null"], "$defs": {"a": inner}, "properties": {
                "b": {"type": "array", "items": inner}, "c": {"anyOf": [{"type": "null"}, inner]},
                "d": {"type": "object", "additionalProperties": true},
                "e": {"type": "object", "additionalProperties": {"type": "string"}},
                "f": {"allOf": [open]},
            }});
            if !is_open {
                schema["additionalProperties"] = json!(false);
            }
            schema
        };
        let mut schema = around(&open, true);
        assert!(close_objects(&mut schema));
        assert_eq!(schema, around(&closed, false));
        assert!(!close_objects(&mut schema));
        assert!(!close_objects(&mut json!({"enum": ["x"]})));
    }
}
