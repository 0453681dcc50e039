//! How long to think: `thinking` and `output_config.effort`.

use super::request_write::{Options, own_field};
use crate::dialects::reading::read_value;
use crate::{Effort, InvalidRequest, Part, Reasoning, Request, Role, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How a model is told to think where the caller gave an effort and no budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Models up to 4.5: `thinking` with a budget of tokens. Minimal and low are 1024 and 4096, medium 8192,
    /// high 16384, extra high 32768 and max 65536 tokens, but at most half of the answer's tokens. There is
    /// no thinking where that leaves less than 1024, where a tool has to be called, where temperature, `top_p`
    /// or `top_k` are set to what excludes it, and where the model's last turn calls tools without a thought of
    /// its own: the provider refuses each.
    Budget,
    /// Later models: adaptive thinking with `output_config.effort`; minimal is said as low. Without
    /// `thinking` where a tool has to be called, or the drawing of tokens excludes it.
    Adaptive,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    budget_tokens: Option<u64>,
    display: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The neutral form of both fields. What is left of them goes to `extra`.
pub(super) fn read(
    thinking: Option<Value>,
    effort: Option<String>,
    extra: &mut Map<String, Value>,
) -> Result<Option<Reasoning>, InvalidRequest> {
    let effort = effort.and_then(|text| {
        let effort = effort_of(&text);
        if effort.is_none() {
            let left = extra
                .entry("output_config")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(left) = left.as_object_mut() {
                let _ = left.insert("effort".to_owned(), Value::String(text));
            }
        }
        effort
    });
    let Some(thinking) = thinking else {
        return Ok(effort.map(|effort| {
            let _ = extra.insert("thinking".to_owned(), Value::Null);
            Reasoning {
                effort: Some(effort),
                ..Reasoning::default()
            }
        }));
    };
    let Wire {
        kind,
        budget_tokens,
        display,
        rest: mut left,
    } = read_value(thinking, "thinking")?;
    let budget_tokens = match kind.as_str() {
        "enabled" => match budget_tokens {
            None | Some(0) => {
                let message = "a positive number is required";
                return Err(InvalidRequest::at("thinking.budget_tokens", message));
            }
            budget => budget,
        },
        "disabled" => Some(0),
        "adaptive" => None,
        _ => {
            let _ = left.insert("type".to_owned(), Value::String(kind));
            left.extend(budget_tokens.map(|tokens| ("budget_tokens".to_owned(), json!(tokens))));
            None
        }
    };
    let summary = match display {
        Some(display) if display == "summarized" => Some("auto".to_owned()),
        Some(display) => {
            let _ = left.insert("display".to_owned(), Value::String(display));
            None
        }
        None => None,
    };
    if !left.is_empty() {
        let _ = extra.insert("thinking".to_owned(), Value::Object(left));
    }
    Ok(Some(Reasoning {
        effort,
        budget_tokens,
        summary,
    }))
}

fn effort_of(text: &str) -> Option<Effort> {
    Some(match text {
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" => Effort::ExtraHigh,
        "max" => Effort::Max,
        _ => return None,
    })
}

const fn effort_name(effort: Effort) -> Option<&'static str> {
    Some(match effort {
        Effort::None => return None,
        Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
        Effort::Max => "max",
    })
}

const fn effort_budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => 1024,
        Effort::Low => 4096,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::ExtraHigh => 32_768,
        Effort::Max => 65_536,
    }
}

/// The least budget that the provider accepts.
const BUDGET_MIN: u64 = 1024;

/// The least share of probability that the provider draws from beside thinking.
const TOP_P_MIN: f64 = 0.95;

/// Both fields as the wire has them.
#[derive(Default)]
pub(super) struct Written {
    pub(super) thinking: Option<Value>,
    pub(super) effort: Option<&'static str>,
}

/// Writes both fields; `output_tokens` is what `max_tokens` will be.
pub(super) fn write(
    request: &Request,
    options: &Options,
    output_tokens: u64,
    dropped: &mut Vec<String>,
) -> Written {
    let Some(reasoning) = &request.reasoning else {
        return Written::default();
    };
    let left = own_field(request, "thinking");
    let effort = reasoning.effort.and_then(effort_name);
    if left.is_some_and(Value::is_null) {
        return Written {
            thinking: None,
            effort,
        };
    }
    let (thinking, effort) = match (reasoning.budget_tokens, reasoning.effort) {
        (Some(0), _) | (None, Some(Effort::None)) => (Some(json!({"type": "disabled"})), effort),
        (Some(tokens), _) => (Some(enabled(tokens)), effort),
        (None, given) => match options.thinking {
            Thinking::Adaptive if is_barred(request) => {
                dropped.push("thinking".to_owned());
                (None, effort)
            }
            Thinking::Adaptive => (Some(json!({"type": "adaptive"})), effort),
            Thinking::Budget => {
                let wanted = effort_budget(given.unwrap_or(Effort::Medium));
                let budget = wanted.min(output_tokens / 2);
                let fits =
                    budget >= BUDGET_MIN && !is_barred(request) && !has_thoughtless_call(request);
                if !fits {
                    dropped.push("reasoning_effort".to_owned());
                }
                (fits.then(|| enabled(budget)), None)
            }
        },
    };
    let thinking = thinking.map(|thinking| finished(thinking, reasoning, left));
    Written { thinking, effort }
}

fn enabled(tokens: u64) -> Value {
    json!({"type": "enabled", "budget_tokens": tokens})
}

fn finished(mut thinking: Value, reasoning: &Reasoning, left: Option<&Value>) -> Value {
    if let Some(fields) = thinking.as_object_mut() {
        if reasoning.summary.is_some() && fields.get("type") != Some(&json!("disabled")) {
            let _ = fields.insert("display".to_owned(), json!("summarized"));
        }
        let left = left.and_then(Value::as_object).into_iter().flatten();
        fields.extend(left.map(|(name, value)| (name.clone(), value.clone())));
    }
    thinking
}

/// Whether the provider refuses thinking beside what else is asked for: a tool that has to be called, or how
/// tokens are drawn.
fn is_barred(request: &Request) -> bool {
    let sampling = &request.sampling;
    let is_forced = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Tool(_))
    );
    is_forced
        || sampling.temperature.is_some_and(|heat| heat < 1.0)
        || sampling.top_p.is_some_and(|share| share < TOP_P_MIN)
        || sampling.top_k.is_some()
}

/// Whether the model's last turn calls tools and has no thought that the provider knows for its own.
fn has_thoughtless_call(request: &Request) -> bool {
    let is_last = |message: &&crate::Message| message.role == Role::Assistant;
    let Some(last) = request.messages.iter().rfind(is_last) else {
        return false;
    };
    let is_call = |part: &Part| matches!(part, Part::ToolCall(_));
    let is_thought = |part: &Part| matches!(part, Part::Reasoning { signature, sealed, .. } if signature.is_some() || sealed.is_some());
    last.parts.iter().any(is_call) && !last.parts.iter().any(is_thought)
}
