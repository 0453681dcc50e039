//! Requests, written.

use super::part_write::{Parts, Written};
use crate::dialects::foreign::foreign_fields;
use crate::dialects::last_turn::refuse_silence;
use crate::{
    Dialect, Effort, EncodedRequest, OutputFormat, Request, Role, Tool, ToolChoice, Unsupported,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How a model is told to think where the caller gave an effort and no budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Models up to 2.5: `thinkingBudget`, 0 for none, 1024 tokens for minimal and low, 8192 for medium and
    /// 24576 for more.
    Budget,
    /// Later models: `thinkingLevel`, minimal for none, and high for more than high. These models insist on
    /// the proofs of calls.
    Level,
}

/// What a request cannot tell and its form depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// How the model is told to think.
    pub(crate) thinking: Thinking,
}

impl Options {
    /// The options for a model by its name; what is not known counts as new.
    #[must_use]
    pub(crate) fn of_model(model: &str) -> Self {
        const BUDGET: &[&str] = &["gemini-1", "gemini-2", "gemma"];
        let is_old = BUDGET.iter().any(|name| model.contains(name));
        Self {
            thinking: if is_old {
                Thinking::Budget
            } else {
                Thinking::Level
            },
        }
    }
}

/// Writes the body of `POST …:generateContent` and `…:streamGenerateContent`. The model and the wish for a
/// stream stand in the address.
///
/// # Errors
/// [`Unsupported`], naming what this wire cannot say.
pub(crate) fn write_request(
    request: &Request,
    options: &Options,
) -> Result<EncodedRequest, Unsupported> {
    refuse(request)?;
    let mut dropped = Vec::new();
    let (system, contents) = conversation(request, options, &mut dropped)?;
    let body = Body {
        system_instruction: (!system.is_empty()).then_some(Turn {
            role: None,
            parts: system,
        }),
        contents,
        tools: tools(request)?,
        tool_config: tool_config(request),
        generation_config: generation_config(request, options),
        extra: own_fields(request, &mut dropped)?,
    };
    if asks_for_one_call(request) {
        dropped.push("parallel_tool_calls".to_owned());
    }
    if request.user.is_some() {
        dropped.push("user".to_owned());
    }
    let body = serde_json::to_vec(&body).map_err(|error| Unsupported {
        param: "messages".to_owned(),
        message: error.to_string(),
    })?;
    Ok(EncodedRequest { body, dropped })
}

fn refuse(request: &Request) -> Result<(), Unsupported> {
    let sampling = &request.sampling;
    let seed = sampling
        .seed
        .is_some_and(|seed| i32::try_from(seed).is_err());
    let refused = [
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("n", request.choices.is_some_and(|choices| choices != 1)),
        ("logprobs", request.logprobs.is_some()),
        ("seed", seed),
        (
            "parallel_tool_calls",
            asks_for_one_call(request) && may_choose(request),
        ),
    ];
    match refused.into_iter().find(|(_, is_refused)| *is_refused) {
        None => Ok(()),
        Some((param, _)) => Err(Unsupported {
            param: param.to_owned(),
            message: "Gemini cannot be asked for it".to_owned(),
        }),
    }
}

fn asks_for_one_call(request: &Request) -> bool {
    let is_off = request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None);
    request.parallel_tool_calls == Some(false) && !is_off
}

/// Whether the model has several tools to call at once. Where it has one, clients for structured output wish for
/// one call as a matter of course.
fn may_choose(request: &Request) -> bool {
    request.tools.len() > 1 && !matches!(request.tool_choice, Some(ToolChoice::Tool(_)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Turn<'a>>,
    contents: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    generation_config: Map<String, Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Turn<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Written<'a>>,
}

fn conversation<'a>(
    request: &'a Request,
    options: &Options,
    dropped: &mut Vec<String>,
) -> Result<(Vec<Written<'a>>, Vec<Turn<'a>>), Unsupported> {
    let mut system = Vec::new();
    let mut turns: Vec<Turn<'a>> = Vec::with_capacity(request.messages.len());
    let mut parts = Parts {
        dropped,
        names: HashMap::new(),
        needs_proofs: options.thinking == Thinking::Level,
    };
    for (at, message) in request.messages.iter().enumerate() {
        if message.name.is_some() {
            parts.dropped.push(format!("messages[{at}].name"));
        }
        let role = match message.role {
            Role::System | Role::Developer => None,
            Role::User => Some("user"),
            Role::Assistant => Some("model"),
        };
        let place = |index| move || format!("messages[{at}].content[{index}]");
        if role.is_none() && !turns.is_empty() && !message.parts.is_empty() {
            parts.dropped.push(format!("messages[{at}]"));
        }
        let written = match (role, turns.last_mut()) {
            (None, _) => &mut system,
            (role, Some(last)) if last.role == role => &mut last.parts,
            (role, _) => {
                turns.push(Turn {
                    role,
                    parts: Vec::with_capacity(message.parts.len()),
                });
                match turns.last_mut() {
                    Some(last) => &mut last.parts,
                    None => continue,
                }
            }
        };
        for (index, part) in message.parts.iter().enumerate() {
            parts.add(part, &place(index), written)?;
        }
    }
    turns.retain(|turn| !turn.parts.is_empty());
    let last = turns.last().map(|turn| match turn.role {
        Some("model") => Role::Assistant,
        _ => Role::User,
    });
    refuse_silence(&request.messages, last)?;
    if turns.is_empty() && !system.is_empty() {
        turns.push(Turn {
            role: Some("user"),
            parts: std::mem::take(&mut system),
        });
    }
    for turn in &mut turns {
        // Stable: what is no result keeps its order behind them.
        turn.parts.sort_by_key(|part| !part.is_result());
    }
    Ok((system, turns))
}

fn tools(request: &Request) -> Result<Vec<Value>, Unsupported> {
    let mut functions = Vec::new();
    let mut others = Vec::new();
    for (at, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function {
                name,
                description,
                parameters,
                ..
            } => {
                let mut function = Map::new();
                let _ = function.insert("name".to_owned(), json!(name));
                if let Some(description) = description {
                    let _ = function.insert("description".to_owned(), json!(description));
                }
                if let Some(schema) = parameters {
                    let _ = function.insert("parametersJsonSchema".to_owned(), schema.clone());
                }
                functions.push(Value::Object(function));
            }
            Tool::Opaque(opaque) if opaque.dialect == Dialect::Gemini => {
                others.push(opaque.value.clone());
            }
            Tool::Opaque(_) => {
                return Err(Unsupported {
                    param: format!("tools[{at}]"),
                    message: "only the caller's own dialect knows this tool".to_owned(),
                });
            }
        }
    }
    if !functions.is_empty() {
        others.insert(0, json!({ "functionDeclarations": functions }));
    }
    Ok(others)
}

fn tool_config(request: &Request) -> Option<Value> {
    let config = match request.tool_choice.as_ref()? {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    Some(json!({ "functionCallingConfig": config }))
}

fn generation_config(request: &Request, options: &Options) -> Map<String, Value> {
    let sampling = &request.sampling;
    let mut config = own_config(request).cloned().unwrap_or_default();
    let numbers = [
        (
            "maxOutputTokens",
            request.output_tokens_max.map(Value::from),
        ),
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("topK", sampling.top_k.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        (
            "frequencyPenalty",
            sampling.frequency_penalty.map(Value::from),
        ),
        (
            "presencePenalty",
            sampling.presence_penalty.map(Value::from),
        ),
    ];
    for (name, value) in numbers {
        config.extend(value.map(|value| (name.to_owned(), value)));
    }
    let mut set = |name: &str, value: Value| {
        let _ = config.insert(name.to_owned(), value);
    };
    if !sampling.stop.is_empty() {
        set("stopSequences", json!(sampling.stop));
    }
    match &request.format {
        Some(OutputFormat::JsonObject) => set("responseMimeType", json!("application/json")),
        Some(OutputFormat::JsonSchema { schema, .. }) => {
            set("responseMimeType", json!("application/json"));
            set("responseJsonSchema", schema.clone());
        }
        Some(OutputFormat::Text) | None => {}
    }
    if let Some(thinking) = thinking_config(request, options) {
        set("thinkingConfig", thinking);
    }
    config
}

fn thinking_config(request: &Request, options: &Options) -> Option<Value> {
    let reasoning = request.reasoning.as_ref()?;
    let mut config = Map::new();
    match (reasoning.budget_tokens, reasoning.effort, options.thinking) {
        (Some(tokens), _, _) => {
            let _ = config.insert("thinkingBudget".to_owned(), json!(tokens));
        }
        (None, Some(effort), Thinking::Budget) => {
            let _ = config.insert("thinkingBudget".to_owned(), json!(effort_budget(effort)));
        }
        (None, Some(effort), Thinking::Level) => {
            let _ = config.insert("thinkingLevel".to_owned(), json!(effort_level(effort)));
        }
        (None, None, _) => {}
    }
    // Whoever sets a budget wants to see what it was spent on; an effort alone asks for no thoughts.
    let has_budget = reasoning.budget_tokens.is_some_and(|tokens| tokens > 0);
    if reasoning.summary.is_some() || has_budget {
        let _ = config.insert("includeThoughts".to_owned(), json!(true));
    }
    (!config.is_empty()).then_some(Value::Object(config))
}

const fn effort_budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High | Effort::ExtraHigh | Effort::Max => 24_576,
    }
}

const fn effort_level(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::ExtraHigh | Effort::Max => "HIGH",
    }
}

/// What the caller's dialect alone knows of `generationConfig`.
fn own_config(request: &Request) -> Option<&Map<String, Value>> {
    let extra = request.extra.as_ref()?;
    (extra.dialect == Dialect::Gemini)
        .then(|| extra.fields.get("generationConfig")?.as_object())
        .flatten()
}

/// The caller's own fields, or their names as left out.
fn own_fields(
    request: &Request,
    dropped: &mut Vec<String>,
) -> Result<Map<String, Value>, Unsupported> {
    let Some(extra) = &request.extra else {
        return Ok(Map::new());
    };
    if extra.dialect != Dialect::Gemini {
        dropped.extend(foreign_fields(Some(extra), Dialect::Gemini)?);
        return Ok(Map::new());
    }
    let mut fields = extra.fields.clone();
    let _ = fields.shift_remove("generationConfig");
    Ok(fields)
}
