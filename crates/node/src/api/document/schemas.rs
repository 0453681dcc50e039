//! The shapes of what is asked and answered.

use mainstay_contract::Code;
use serde_json::{Value, json};

/// Every named schema.
pub(super) fn schemas() -> Value {
    let mut all = requests();
    let parts = [
        answers(),
        views(),
        super::tasks::schemas(),
        super::models::schemas(),
        super::gateway::schemas(),
        reports(),
    ];
    for part in parts {
        if let (Value::Object(all), Value::Object(part)) = (&mut all, part) {
            all.extend(part);
        }
    }
    all
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object whose fields marked with `!` are always there.
pub(super) fn object(description: &str, fields: &[(&str, Value)]) -> Value {
    let bare = |name: &&str| name.strip_suffix('!').map(ToOwned::to_owned);
    let required: Vec<String> = fields.iter().filter_map(|(name, _)| bare(name)).collect();
    let properties = fields
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('!').to_owned(), schema.clone()));
    let properties = Value::Object(properties.collect());
    json!({ "type": "object", "description": description, "properties": properties, "required": required })
}

/// The same, closed: other fields are refused.
pub(super) fn closed(description: &str, fields: &[(&str, Value)]) -> Value {
    let mut schema = object(description, fields);
    schema["additionalProperties"] = Value::Bool(false);
    schema
}

pub(super) fn string() -> Value {
    json!({ "type": "string" })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn integer() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

pub(super) fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn requests() -> Value {
    let on_busy = words(&["reject", "queue", "interrupt", "steer"]);
    let options = json!({ "type": "object", "additionalProperties": false,
        "description": "Extensions of a turn; this version knows none and refuses the others" });
    json!({
        "Id": { "type": "string", "minLength": 1, "maxLength": 128,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]*$" },
        "Digest": { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "blake3" },
        "Timestamp": { "type": "integer", "description": "Milliseconds since the Unix epoch" },
        "StartTurn": closed("A turn asked for", &[
            ("agent!", string()), ("input!", string()),
            ("turn_id", or_null(reference("Id"))), ("scope_id", or_null(reference("Id"))),
            ("on_busy", or_null(on_busy)), ("options", or_null(options)),
        ]),
        "CancelTurn": closed("Which turn; without one, whichever runs", &[
            ("turn", or_null(reference("Id"))),
        ]),
        "ResolveStep": {
            "description": "Exactly one of: it took effect and answered this; it did not, run it again; \
                give up on it and tell the model why",
            "oneOf": [
                closed("It took effect", &[("result!", string())]),
                closed("It did not", &[("retry!", json!({ "const": true }))]),
                closed("Give up", &[("fail!", string())]),
            ]
        },
        "ApplySession": closed("Where to; without it, the agent's own workspace", &[
            ("to", or_null(string())),
        ]),
    })
}

fn answers() -> Value {
    json!({
        "AcceptedTurn": object("A turn that will run, whatever happens", &[
            ("session!", reference("Id")), ("turn!", reference("Id")), ("state!", reference("TurnState")),
            ("seq!", integer()), ("queued!", boolean()), ("steered_into", reference("Id")),
        ]),
        "Done": object("What it was about", &[
            ("session", reference("Id")), ("turn", or_null(reference("Id"))), ("step", reference("Id")),
        ]),
        "Health": object("The node answers", &[("status!", json!({ "const": "ok" })), ("version!", string())]),
        "Event": object("One line of a session's tape", &[
            ("session!", reference("Id")), ("seq!", integer()), ("at!", reference("Timestamp")),
            ("turn", reference("Id")), ("kind!", string()), ("data!", json!({})),
        ]),
        "Diff": object("What an agent changed", &[
            ("changes!", list(object("One changed path", &[
                ("path!", string()),
                ("kind!", words(&["added", "modified", "mode_changed", "type_changed", "deleted"])),
                ("what!", words(&["file", "link", "folder", "fifo"])),
                ("old_mode!", or_null(string())), ("new_mode!", or_null(string())),
                ("text!", or_null(string())),
            ]))),
        ]),
        "Applied": object("What was brought home", &[("changed!", list(string()))]),
        "ReplayReport": object("A replay without divergence", &[("records!", integer())]),
        "DoctorReport": object("What this host can do, and whether the store is sound", &[
            ("sound!", boolean()),
            ("checks!", list(object("One finding", &[
                ("name!", string()), ("status!", words(&["ok", "weaker", "missing", "damaged"])),
                ("detail!", string()),
            ]))),
        ]),
    })
}

fn views() -> Value {
    let states = [
        "accepted",
        "running",
        "in_doubt",
        "quarantined",
        "completed",
        "failed",
        "cancelled",
        "steered",
    ];
    let status = json!({ "anyOf": [
        words(&["succeeded", "cancelled"]),
        closed("It failed with this code", &[("failed!", string())]),
        { "type": "null" },
    ] });
    let message = || or_null(reference("Message"));
    let turn = [
        ("turn!", reference("Id")),
        ("agent!", reference("Id")),
        ("state!", reference("TurnState")),
        ("accepted_at!", reference("Timestamp")),
        ("changed_at!", reference("Timestamp")),
    ];
    let row = [&turn[..], &[("session!", reference("Id"))]].concat();
    let view = [
        &turn[..],
        &[
            ("session", reference("Id")),
            ("input!", reference("Digest")),
            ("config!", reference("Digest")),
            ("answer!", or_null(reference("Digest"))),
            ("text", or_null(string())),
            ("error!", or_null(reference("ErrorReport"))),
            ("spent!", reference("Spent")),
            ("attempt!", integer()),
            ("steps!", list(reference("StepView"))),
            ("input_message", message()),
        ],
    ]
    .concat();
    json!({
        "TurnState": words(&states),
        "TurnRow": object("A turn in short", &row),
        "TurnView": object("A turn; `text` is its answer", &view),
        "StepView": object("One step of a turn", &[
            ("step!", reference("Id")), ("tool!", or_null(string())), ("status!", status),
            ("is_in_doubt!", boolean()), ("message!", or_null(reference("Digest"))), ("content", message()),
        ]),
        "SessionRow": object("A session in short", &[
            ("session!", reference("Id")), ("agent!", reference("Id")),
            ("created_at!", reference("Timestamp")), ("changed_at!", reference("Timestamp")),
            ("last_seq!", integer()), ("turn!", or_null(reference("TurnRow"))),
        ]),
        "SessionView": object("A session with its turns", &[
            ("session!", reference("Id")), ("last_seq!", integer()),
            ("workspace!", or_null(reference("Digest"))), ("turns!", list(reference("TurnView"))),
        ]),
        "Message": object("What was said", &[
            ("role!", words(&["system", "user", "assistant", "tool"])), ("text!", string()),
            ("tool_calls", list(object("A wish to run a tool", &[
                ("id!", string()), ("name!", string()), ("arguments!", string()),
            ]))),
            ("tool_call_id", string()),
        ]),
    })
}

fn reports() -> Value {
    let known: Vec<&str> = Code::ALL.iter().map(Code::as_str).collect();
    let layers = [
        "caller",
        "session",
        "inference",
        "task",
        "sandbox",
        "container",
        "node",
        "store",
        "plugin",
    ];
    let advice = words(&["never", "now", "after", "elsewhere", "after_fix"]);
    let who = words(&["caller", "operator", "workload", "provider", "peer", "bug"]);
    json!({
        "ErrorReport": object("The one shape of a failure", &[
            ("code!", json!({ "type": "string", "examples": known,
                "description": "Stable; later versions and plugins have others" })),
            ("message!", string()),
            ("subject", object("What it is about", &[("kind!", string()), ("id!", string())])),
            ("retry!", object("Whether and when to try again", &[
                ("advice!", advice), ("after_ms", integer()),
            ])),
            ("layer!", words(&layers)),
            ("effect!", words(&["none", "applied", "unknown"])),
            ("responsible!", who),
            ("scored!", boolean()),
            ("spent!", reference("Spent")),
            ("hints!", list(string())),
            ("causes!", list(object("What led to it", &[("code", string()), ("message!", string())]))),
            ("data!", json!({})),
            ("docs!", string()),
            ("incident", string()),
        ]),
        "Spent": object("What it cost", &[
            ("input_tokens!", integer()), ("output_tokens!", integer()), ("usd!", string()), ("ms!", integer()),
        ]),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mainstay_contract::{
        AgentName, Digest, ErrorReport, Event, Message, Role, Seq, SessionId, Spent, StepId,
        Timestamp, ToolCall, TurnId,
    };
    use mainstay_sessions::{
        SessionRow, SessionView, StepView, ToolStatus, TurnRow, TurnState, TurnView,
    };
    use serde::Serialize;

    /// Checks a value against as much of JSON Schema as these schemas use. Fields that no schema
    /// tells of are flaws too: a document that is silent about them is not true.
    fn flaw(schema: &Value, value: &Value) -> Option<String> {
        if let Some(name) = schema["$ref"].as_str() {
            return flaw(&schemas()[name.rsplit('/').next().unwrap()], value);
        }
        if let Some(options) = schema["anyOf"].as_array() {
            let fits = options.iter().any(|option| flaw(option, value).is_none());
            return (!fits).then(|| format!("{value} fits none of {schema}"));
        }
        if let Some(words) = schema["enum"].as_array() {
            return (!words.contains(value)).then(|| format!("{value} is not in {words:?}"));
        }
        let fits = match schema["type"].as_str() {
            None => return None,
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            Some(other) => panic!("{other}"),
        };
        if !fits {
            return Some(format!("{value} is no {}", schema["type"]));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                return Some(format!("{name} is missing in {value}"));
            }
        }
        for item in value.as_array().into_iter().flatten() {
            if let Some(flaw) = flaw(&schema["items"], item) {
                return Some(flaw);
            }
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            let Some(known) = schema["properties"].get(name) else {
                return Some(format!("{name} is not described"));
            };
            if let Some(flaw) = flaw(known, member) {
                return Some(format!("{name}: {flaw}"));
            }
        }
        None
    }

    #[track_caller]
    pub(in crate::api::document) fn fits(name: &str, value: &impl Serialize) {
        let value = serde_json::to_value(value).unwrap();
        assert_eq!(flaw(&reference(name), &value), None, "{name}");
    }

    fn turn() -> TurnView {
        let turn = TurnId::new("t").unwrap();
        let step = |number, status| StepView {
            step: StepId::of(&turn, number),
            tool: Some("shell".to_owned()),
            status,
            is_in_doubt: false,
            message: Some(Digest([1; 32])),
        };
        let failed = Some(ToolStatus::Failed(Code::ToolFailed));
        TurnView {
            turn: turn.clone(),
            agent: AgentName::new("a").unwrap(),
            state: TurnState::InDoubt,
            input: Digest([0; 32]),
            config: Digest([0; 32]),
            answer: None,
            error: Some(ErrorReport::new(Code::EffectInDoubt, "x").about("step", "t.1")),
            spent: Spent::default(),
            attempt: 1,
            steps: vec![
                step(1, None),
                step(2, Some(ToolStatus::Succeeded)),
                step(3, failed),
            ],
            accepted_at: Timestamp(1),
            changed_at: Timestamp(2),
        }
    }

    #[test]
    fn the_schemas_describe_what_is_really_sent() {
        let session = SessionId::new("s").unwrap();
        let view = turn();
        fits("TurnView", &view);
        let row = TurnRow {
            turn: view.turn.clone(),
            session: session.clone(),
            agent: view.agent.clone(),
            state: view.state,
            accepted_at: view.accepted_at,
            changed_at: view.changed_at,
        };
        fits(
            "SessionRow",
            &SessionRow {
                session: session.clone(),
                agent: view.agent.clone(),
                created_at: Timestamp(1),
                last_seq: Seq(3),
                changed_at: Timestamp(2),
                turn: Some(row),
            },
        );
        let (turn, turns) = (Some(view.turn.clone()), vec![view]);
        fits(
            "SessionView",
            &SessionView {
                session: session.clone(),
                last_seq: Seq(1),
                workspace: None,
                turns,
            },
        );
        let data = json!({ "free": 1 });
        fits(
            "Event",
            &Event {
                session,
                seq: Seq(1),
                at: Timestamp(1),
                turn,
                kind: "k".into(),
                data,
            },
        );
        let call = ToolCall {
            id: "1".into(),
            name: "shell".into(),
            arguments: "{}".into(),
        };
        let said = Message {
            tool_calls: vec![call],
            ..Message::text(Role::Assistant, "x")
        };
        fits("Message", &said);
        fits("Message", &Message::tool_result("1", "x"));
        fits(
            "ErrorReport",
            &ErrorReport::new(Code::Internal, "x")
                .cause(None, "y")
                .retry_after_ms(5),
        );
    }

    #[test]
    fn every_state_has_its_word() {
        for state in [
            TurnState::Accepted,
            TurnState::Running,
            TurnState::InDoubt,
            TurnState::Quarantined,
            TurnState::Completed,
            TurnState::Failed,
            TurnState::Cancelled,
            TurnState::Steered,
        ] {
            fits("TurnState", &state);
        }
        assert!(flaw(&reference("TurnState"), &json!("asleep")).is_some());
        assert!(flaw(&reference("Spent"), &json!({ "more": 1 })).is_some());
    }
}
