use super::*;

/// A vocabulary of single bytes.
fn grammars() -> Grammars {
    Grammars::of(&ApproximateTokEnv::single_byte_env()).unwrap()
}

/// What a model says that always prefers the last byte that it may say, up to 60 bytes.
fn say(schema: &Value) -> Result<String, LocalError> {
    let watch = Watch::start(Box::new(|| ())).unwrap();
    let mut constraint = grammars().constrain(schema, watch)?;
    let mut said = String::new();
    while said.len() < 60 && !constraint.is_complete() {
        let mut logits = vec![0.0_f32; 256];
        constraint.restrict(&mut logits)?;
        let Some(byte) = logits.iter().rposition(|logit| logit.is_finite()) else {
            break;
        };
        said.push(char::from(u8::try_from(byte).unwrap()));
        constraint.take(u32::try_from(byte).unwrap())?;
    }
    Ok(said)
}

/// Why a schema is refused as the caller's.
fn refused(schema: &Value) -> String {
    match say(schema) {
        Err(LocalError::BadRequest { field, message }) if field == "json_schema" => message,
        other => panic!("{schema} {other:?}"),
    }
}

#[test]
fn recursion_with_an_end_is_enforced() {
    let tree = json!({
        "type": "object", "additionalProperties": false, "required": ["kids"],
        "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}},
    });
    assert!(say(&tree).unwrap().starts_with(r#"{"kids":[{"kids":"#));
    let list = json!({
        "$ref": "#/$defs/list",
        "$defs": {"list": {
            "type": "object", "additionalProperties": false, "required": ["next"],
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]}},
        }},
    });
    assert!(say(&list).unwrap().starts_with(r#"{"next":{"next":"#));
    let optional = json!({
        "type": "object", "additionalProperties": false,
        "properties": {"next": {"$ref": "#", "description": "the next one"}},
    });
    assert_eq!(say(&optional).unwrap(), "{}");
    let items = json!({"type": "array", "items": {"$ref": "#"}});
    assert_eq!(say(&items).unwrap(), "[]");
}

#[test]
fn recursion_without_an_end_is_the_callers_and_names_its_place() {
    let a_needs = |needed: Value| json!({"$ref": "#/$defs/a", "$defs": {"a": needed}});
    let object =
        |needed: Value| json!({"type": "object", "required": ["x"], "properties": {"x": needed}});
    let a = json!({"$ref": "#/$defs/a"});
    for (schema, place) in [
        (json!({"$ref": "#"}), "#: the reference \"#\""),
        (a_needs(a.clone()), "#: the reference \"#/$defs/a\""),
        (a_needs(object(a.clone())), "#: the reference \"#/$defs/a\""),
        (
            object(json!({"$ref": "#"})),
            "#/properties/x: the reference \"#\"",
        ),
        (
            object(json!({"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}]})),
            "#/properties/x/anyOf/0: the reference \"#\"",
        ),
        (
            json!({"type": "array", "minItems": 1, "items": {"$ref": "#"}}),
            "#/items: the reference \"#\"",
        ),
        (
            json!({"type": "array", "minItems": 1, "prefixItems": [{"$ref": "#"}]}),
            "#/prefixItems/0: the reference \"#\"",
        ),
        (
            json!({"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#"}}),
            "#/additionalProperties: the reference \"#\"",
        ),
        // Nobody has to go there, and who does never comes back.
        (
            json!({"properties": {"y": a}, "$defs": {"a": object(a.clone())}}),
            "#/properties/y: the reference \"#/$defs/a\"",
        ),
    ] {
        let message = refused(&schema);
        assert!(message.starts_with(place), "{schema} {message}");
        assert!(message.contains("needs itself"), "{schema} {message}");
    }
}

#[test]
fn what_cannot_be_enforced_is_refused_by_its_place() {
    for (schema, words) in [
        (json!(7), "#: must be a schema"),
        (json!(false), "nothing satisfies it"),
        (json!({"items": 7}), "#/items: must be a schema"),
        (json!({"properties": []}), "#/properties: must hold schemas"),
        (json!({"anyOf": {}}), "#/anyOf: must hold schemas"),
        (json!({"type": "nonsense"}), "nonsense"),
        (json!({"uniqueItems": true}), "#: \"uniqueItems\" cannot"),
        (
            json!({"properties": {"a": {"type": "string", "maxlength": 3}}}),
            "#/properties/a: \"maxlength\" cannot",
        ),
        // Known to newer drafts alone.
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "dependentRequired": {}}),
            "#: \"dependentRequired\" cannot",
        ),
        (json!({"items": {"not": {}}}), "#/items: \"not\" cannot"),
        (
            json!({"prefixItems": [{}], "items": [{}]}),
            "#: \"prefixItems\" cannot",
        ),
        (
            json!({"prefixItems": [{}], "additionalItems": false}),
            "#: \"additionalItems\" cannot",
        ),
        (json!({"$ref": 7}), "#: the reference 7 leads to no place"),
        (
            json!({"allOf": [{"$ref": "#/$defs/a"}]}),
            "#/allOf/0: the reference",
        ),
        (
            json!({"$ref": "https://example.org/a"}),
            "leads to no place",
        ),
        (json!({"format": "nonsense"}), "Unknown format: nonsense"),
        (json!({"pattern": "(?=a)b"}), "look-around"),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "\"oneOf\"",
        ),
        // Too much work, which shows only while the answer is made.
        (
            json!({"type": "array", "minItems": 100_000_000, "items": {"type": "null"}}),
            "Too many items",
        ),
        (
            json!({"type": "string", "pattern": "^(?:a?){2000}a{2000}$"}),
            "too many expressions",
        ),
    ] {
        let message = refused(&schema);
        assert!(message.contains(words), "{schema} {message}");
        assert!(!message.contains(['<', '\n']), "{message}");
    }
}

#[test]
fn an_older_draft_does_not_let_keywords_go() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "x-origin": "test",
        "type": "array", "prefixItems": [{"const": 1}], "items": false, "minItems": 1,
    });
    assert_eq!(say(&schema).unwrap(), "[1]");
}

#[test]
fn long_chains_of_references_are_compiled_or_refused() {
    let objects = |next: Value| json!({"type": "object", "properties": {"x": next}});
    let choices = |next: Value| json!({"anyOf": [next, {"type": "null"}]});
    let alls = |next: Value| json!({"allOf": [next]});
    let links: [&dyn Fn(Value) -> Value; 3] = [&objects, &choices, &alls];
    for link in links {
        let chain = |length: usize| {
            let name = |at: usize| format!("a{at}");
            let next = |at: usize| json!({"$ref": format!("#/$defs/{}", name(at))});
            let links = (0..length).map(|at| (name(at), link(next(at + 1))));
            let end = (name(length), json!({"type": "null"}));
            let links: serde_json::Map<_, _> = links.chain([end]).collect();
            json!({"$ref": "#/$defs/a0", "$defs": links})
        };
        say(&chain(600)).unwrap();
        let message = refused(&chain(3000));
        assert!(message.contains("more than 2000 parts"), "{message}");
    }
}

#[test]
fn what_is_too_much_work_is_given_up() {
    let patterns =
        (1..60).map(|most| json!({"type": "string", "pattern": format!("^(.{{0,{most}}}a)*$")}));
    let schema = json!({"allOf": patterns.collect::<Vec<_>>()});
    let (told, given_up) = std::sync::mpsc::channel();
    let watch = Watch::start(Box::new(move || told.send(()).unwrap())).unwrap();
    // It goes on until the process ends.
    std::thread::spawn(move || {
        let mut constraint = grammars().constrain(&schema, watch)?;
        constraint.restrict(&mut [0.0; 256])
    });
    let patience = Duration::from_secs(30);
    given_up.recv_timeout(patience).unwrap();
}

#[test]
fn work_is_counted_for_the_whole_of_an_answer() {
    let watch = Watch::start(Box::new(|| ())).unwrap();
    let mut work = Work::new(watch);
    let step = |work: &mut Work| work.step(std::thread::yield_now);
    step(&mut work).unwrap();
    work.left = Duration::from_nanos(1);
    assert_eq!(step(&mut work), Err(too_much_work()));
    work.earn();
    step(&mut work).unwrap();
    (0..100).for_each(|_| work.earn());
    assert_eq!(work.left, WORK);
}
