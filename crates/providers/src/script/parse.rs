//! From a tree to steps: every key is known, every value usable, or the script is refused.

use super::fault::{Fault, FaultKind, KINDS, NETWORK_PHASES, PROBLEMS, TIMEOUT_PHASES};
use super::tree::{self, Entry, Node, NodeValue};
use super::{Answer, Call, ScriptError, ScriptPosition, Step};
use crate::{NetworkPhase, ResponseProblem, TimeoutPhase};
use mainstay_contract::Usage;
use serde_json::Value;
use std::time::Duration;

/// The most bytes of a script.
const BYTES_MAX: usize = 16 << 20;

const STEP_KEYS: &[&str] = &[
    "text",
    "tool_calls",
    "usage",
    "delay",
    "chunks",
    "chunk_delay",
    "fault",
    "repeat",
];

pub(super) fn steps(name: &str, bytes: &[u8]) -> Result<Vec<Step>, ScriptError> {
    if bytes.len() > BYTES_MAX {
        return Err(ScriptError::TooLarge {
            script: name.to_owned(),
            bytes: bytes.len(),
            bytes_max: BYTES_MAX,
        });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| not_utf8(name, &bytes[..error.valid_up_to()]))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let nodes = if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(at, line)| tree::json_line(name, at + 1, line))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        document(name, text)?
    };
    if nodes.is_empty() {
        return Err(ScriptError::Empty {
            script: name.to_owned(),
        });
    }
    let mut steps: Vec<Step> = Vec::new();
    for node in nodes {
        let step = step(&node)?;
        // A step that is faults alone lends them to the step that follows.
        match steps.last_mut().filter(|last| last.answer.is_none()) {
            Some(open) => {
                open.faults.extend(step.faults);
                open.answer = step.answer;
            }
            None => steps.push(step),
        }
    }
    Ok(steps)
}

fn not_utf8(script: &str, valid: &[u8]) -> ScriptError {
    let valid = String::from_utf8_lossy(valid);
    let line = valid.matches('\n').count() + 1;
    let column = valid
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    ScriptError::NotUtf8 {
        at: ScriptPosition {
            script: script.to_owned(),
            line,
            column,
        },
    }
}

fn document(name: &str, text: &str) -> Result<Vec<Node>, ScriptError> {
    let Some(root) = tree::yaml(name, text)? else {
        return Ok(Vec::new());
    };
    match root.value {
        NodeValue::List(items) => Ok(items),
        NodeValue::Map(mut entries) => {
            check_keys(&entries, &["steps"])?;
            match entries.pop().map(|entry| entry.value) {
                Some(Node {
                    value: NodeValue::List(items),
                    ..
                }) => Ok(items),
                Some(node) => Err(invalid(&node.at, "steps", "a list of steps")),
                None => Ok(Vec::new()),
            }
        }
        NodeValue::Plain(Value::Null) => Ok(Vec::new()),
        NodeValue::Plain(_) => Err(invalid(&root.at, "the script", "a list of steps")),
    }
}

fn step(node: &Node) -> Result<Step, ScriptError> {
    let map = Fields::of(node, "a step", STEP_KEYS)?;
    let faults = match map.get("fault") {
        None => Vec::new(),
        Some(Node {
            value: NodeValue::List(items),
            ..
        }) => items.iter().map(fault).collect::<Result<_, _>>()?,
        Some(node) => vec![fault(node)?],
    };
    let tool_calls = match map.get("tool_calls") {
        None => Vec::new(),
        Some(Node {
            value: NodeValue::List(items),
            ..
        }) => items.iter().map(call).collect::<Result<_, _>>()?,
        Some(node) => return Err(invalid(&node.at, "tool_calls", "a list of tool calls")),
    };
    let text = map.text("text")?;
    if text.is_none() && map.get("tool_calls").is_none() {
        let extra = map.entries.iter().find(|entry| entry.key != "fault");
        return match extra {
            None if !faults.is_empty() => Ok(Step {
                faults,
                answer: None,
            }),
            _ => Err(invalid(
                &node.at,
                "a step",
                "an answer: `text`, `tool_calls` or both, or a `fault`",
            )),
        };
    }
    let answer = Answer {
        text: text.unwrap_or_default().to_owned(),
        tool_calls,
        usage: map.get("usage").map(usage).transpose()?.unwrap_or_default(),
        delay: map.duration("delay")?.unwrap_or_default(),
        chunks: map.count("chunks")?.unwrap_or(1),
        chunk_delay: map.duration("chunk_delay")?.unwrap_or_default(),
        repeat: map.count("repeat")?.unwrap_or(1),
    };
    Ok(Step {
        faults,
        answer: Some(answer),
    })
}

fn call(node: &Node) -> Result<Call, ScriptError> {
    let map = Fields::of(node, "a tool call", &["id", "name", "arguments"])?;
    let name = map.text("name")?.filter(|name| !name.is_empty());
    let arguments = match map.get("arguments") {
        None => "{}".to_owned(),
        Some(Node {
            value: NodeValue::Plain(Value::String(text)),
            ..
        }) => text.clone(),
        Some(
            node @ Node {
                value: NodeValue::Map(_),
                ..
            },
        ) => node.to_json().to_string(),
        Some(node) => {
            return Err(invalid(
                &node.at,
                "arguments",
                "a map, or text as a model would write it",
            ));
        }
    };
    Ok(Call {
        id: map.text("id")?.map(str::to_owned),
        name: name
            .ok_or_else(|| invalid(&node.at, "a tool call", "given a `name`"))?
            .to_owned(),
        arguments,
    })
}

fn usage(node: &Node) -> Result<Usage, ScriptError> {
    let map = Fields::of(node, "usage", &["input_tokens", "output_tokens"])?;
    Ok(Usage {
        input_tokens: map.number("input_tokens")?.unwrap_or(0),
        output_tokens: map.number("output_tokens")?.unwrap_or(0),
    })
}

fn fault(node: &Node) -> Result<Fault, ScriptError> {
    let NodeValue::Map(entries) = &node.value else {
        return Err(invalid(&node.at, "fault", "a map with a `kind`"));
    };
    let all = Fields { entries };
    let kind_node = all.get("kind").unwrap_or(node);
    let name = all.text("kind")?.unwrap_or_default();
    if !KINDS.contains(&name) {
        let near = near(name, KINDS)
            .map(|near| format!("; did you mean {near:?}?"))
            .unwrap_or_default();
        let expected = format!("one of {}{near}", KINDS.join(", "));
        return Err(invalid(&kind_node.at, "kind", &expected));
    }
    let own: &[&str] = match name {
        "rate_limited" | "backpressure" => &["retry_after"],
        "server_error" => &["status", "retry_after"],
        "bad_request" => &["status", "param"],
        "misdirected" => &["status"],
        "context_length_exceeded" => &["tokens", "limit"],
        "network_error" => &["phase"],
        "timeout" => &["phase", "after"],
        "bad_response" => &["problem"],
        _ => &[],
    };
    let keys = [&["kind", "times", "after_chunks", "message"], own].concat();
    let map = Fields::of(node, "fault", &keys)?;
    Ok(Fault {
        kind: fault_kind(name, &map)?,
        times: map.count("times")?.unwrap_or(1),
        after_chunks: map.number("after_chunks")?.unwrap_or(0),
        message: map.text("message")?.unwrap_or_default().to_owned(),
    })
}

fn fault_kind(name: &str, map: &Fields<'_>) -> Result<FaultKind, ScriptError> {
    let retry_after = map.duration("retry_after")?;
    Ok(match name {
        "rate_limited" => FaultKind::RateLimited { retry_after },
        "backpressure" => FaultKind::Backpressure { retry_after },
        "quota_exhausted" => FaultKind::QuotaExhausted,
        "content_filtered" => FaultKind::ContentFiltered,
        "context_length_exceeded" => FaultKind::ContextLengthExceeded {
            tokens: map.number("tokens")?,
            max_tokens: map.number("limit")?,
        },
        "bad_request" => FaultKind::BadRequest {
            status: map.status(400..500)?.unwrap_or(400),
            param: map.text("param")?.map(str::to_owned),
        },
        "misdirected" => FaultKind::Misdirected {
            status: map.status(300..500)?.unwrap_or(404),
        },
        "model_not_found" => FaultKind::ModelNotFound,
        "unauthorized" => FaultKind::Unauthorized,
        "forbidden" => FaultKind::Forbidden,
        "network_error" => FaultKind::NetworkError {
            phase: map
                .one_of("phase", NETWORK_PHASES)?
                .unwrap_or(NetworkPhase::Connect),
        },
        "server_error" => FaultKind::ServerError {
            status: map.status(400..600)?.unwrap_or(500),
            retry_after,
        },
        "timeout" => FaultKind::Timeout {
            phase: map
                .one_of("phase", TIMEOUT_PHASES)?
                .unwrap_or(TimeoutPhase::FirstToken),
            after: map.duration("after")?.unwrap_or_default(),
        },
        "bad_response" => FaultKind::BadResponse {
            problem: map
                .one_of("problem", PROBLEMS)?
                .unwrap_or(ResponseProblem::CutStream),
        },
        "panic" => FaultKind::Panic,
        _ => FaultKind::Internal,
    })
}

/// The entries of a map whose keys are all known.
struct Fields<'a> {
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    fn of(node: &'a Node, field: &str, keys: &[&str]) -> Result<Self, ScriptError> {
        let NodeValue::Map(entries) = &node.value else {
            return Err(invalid(&node.at, field, "a map"));
        };
        check_keys(entries, keys)?;
        Ok(Self { entries })
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ScriptError> {
        self.get(key).map_or(Ok(None), |node| match &node.value {
            NodeValue::Plain(Value::String(text)) => Ok(Some(text)),
            _ => Err(invalid(&node.at, key, "text; put other values in quotes")),
        })
    }

    fn number(&self, key: &str) -> Result<Option<u64>, ScriptError> {
        self.get(key).map_or(Ok(None), |node| match &node.value {
            NodeValue::Plain(Value::Number(number)) if number.is_u64() => Ok(number.as_u64()),
            _ => Err(invalid(&node.at, key, "a whole number")),
        })
    }

    fn count(&self, key: &str) -> Result<Option<u64>, ScriptError> {
        match (self.number(key)?, self.get(key)) {
            (Some(0), Some(node)) => Err(invalid(&node.at, key, "at least 1")),
            (number, _) => Ok(number),
        }
    }

    fn status(&self, range: std::ops::Range<u16>) -> Result<Option<u16>, ScriptError> {
        let (number, node) = (self.number("status")?, self.get("status"));
        let status = number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|status| range.contains(status));
        match (status, node) {
            (None, Some(node)) => {
                let expected = format!("between {} and {}", range.start, range.end - 1);
                Err(invalid(&node.at, "status", &expected))
            }
            (status, _) => Ok(status),
        }
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>, ScriptError> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let NodeValue::Plain(Value::String(text)) = &node.value else {
            return Err(invalid(
                &node.at,
                key,
                "a duration like 20ms, 1.5s, 2m or 1h",
            ));
        };
        let parsed = duration(text);
        parsed
            .map(Some)
            .ok_or_else(|| invalid(&node.at, key, "a duration like 20ms, 1.5s, 2m or 1h"))
    }

    fn one_of<T: Copy>(&self, key: &str, values: &[(&str, T)]) -> Result<Option<T>, ScriptError> {
        let (text, node) = (self.text(key)?, self.get(key));
        let value = text.and_then(|text| values.iter().find(|(name, _)| *name == text));
        match (value, node) {
            (None, Some(node)) => {
                let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
                Err(invalid(
                    &node.at,
                    key,
                    &format!("one of {}", names.join(", ")),
                ))
            }
            (value, _) => Ok(value.map(|(_, value)| *value)),
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.trim_end().parse::<f64>().ok()? * scale).ok()
}

fn check_keys(entries: &[Entry], keys: &[&str]) -> Result<(), ScriptError> {
    let Some(entry) = entries
        .iter()
        .find(|entry| !keys.contains(&entry.key.as_str()))
    else {
        return Ok(());
    };
    let near = near(&entry.key, keys).map(str::to_owned);
    Err(ScriptError::UnknownKey {
        at: entry.at.clone(),
        key: entry.key.chars().take(100).collect(),
        near,
    })
}

fn near<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: String = word.chars().take(100).collect();
    let scored = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&word, known), *known));
    scored
        .filter(|(score, _)| *score > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

fn invalid(at: &ScriptPosition, field: &str, expected: &str) -> ScriptError {
    ScriptError::Invalid {
        at: at.clone(),
        field: field.to_owned(),
        expected: expected.to_owned(),
    }
}
