//! Outcomes of calls as lines of a script.

use super::fault::KINDS;
use crate::{InferenceError, ModelAnswer};
use serde_json::{Map, Value, json};

/// A line that plays the outcome again; `None` where the outcome belongs to the script that was
/// asked (it has no further step) or to us (a key that cannot be read), not to a model.
pub(crate) fn recorded_line(outcome: Result<&ModelAnswer, &InferenceError>) -> Option<String> {
    let line = match outcome {
        Ok(answer) => answer_line(answer),
        Err(error) => json!({ "fault": fault(error)? }),
    };
    Some(format!("{line}\n"))
}

fn answer_line(answer: &ModelAnswer) -> Value {
    let mut line = Map::new();
    if !answer.text.is_empty() || answer.tool_calls.is_empty() {
        line.insert("text".to_owned(), json!(answer.text));
    }
    if !answer.tool_calls.is_empty() {
        line.insert("tool_calls".to_owned(), json!(answer.tool_calls));
    }
    line.insert("usage".to_owned(), json!(answer.usage));
    Value::Object(line)
}

/// The typed form of an error, without what the script knows by itself.
fn fault(error: &InferenceError) -> Option<Value> {
    let Value::Object(fields) = serde_json::to_value(error).ok()? else {
        return None;
    };
    if !KINDS.contains(&fields.get("kind")?.as_str()?) {
        return None;
    }
    let duration = |value: Value| match value.as_u64() {
        Some(ms) => json!(format!("{ms}ms")),
        None => value,
    };
    let kept = fields.into_iter().filter(|(key, value)| {
        !value.is_null()
            && value != ""
            && !matches!(
                key.as_str(),
                "provider" | "model" | "answering" | "elapsed_ms" | "reason"
            )
    });
    let mut fault: Map<String, Value> = kept
        .map(|(key, value)| match key.as_str() {
            "retry_after" | "after" => (key, duration(value)),
            "max_tokens" => ("limit".to_owned(), value),
            _ => (key, value),
        })
        .collect();
    // An error may come as an answer; a script knows no status for that.
    let is_success = |status: &Value| status.as_u64().is_some_and(|status| status < 300);
    if fault.get("status").is_some_and(is_success) {
        fault.remove("status");
    }
    Some(Value::Object(fault))
}
