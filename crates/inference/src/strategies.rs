//! Made-up requests and answers for property tests of the dialects.
//!
//! Every wire says only part of what the neutral types can hold, and says some of it in one order alone.
//! [`Limits`] tells what a wire can say; whatever comes of it has to survive that wire unchanged.

use crate::{
    Answer, Effort, Event, FileSource, FinishReason, Message, OutputFormat, Part, Reasoning,
    Request, Role, Sampling, Tokens, Tool, ToolCall, ToolChoice,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a wire can say. Everything is off in [`Limits::least`]; name what is on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Instructions may stand between the other messages.
    pub(crate) instructions_anywhere: bool,
    /// The developer is told apart from the system.
    pub(crate) developer: bool,
    /// Messages have names.
    pub(crate) names: bool,
    /// Text has marks for the prompt cache.
    pub(crate) cache: bool,
    /// Images may stand at an address.
    pub(crate) image_urls: bool,
    /// Images may be with the provider.
    pub(crate) image_ids: bool,
    /// Images have a detail.
    pub(crate) image_detail: bool,
    /// Documents as bytes.
    pub(crate) files: bool,
    /// Documents at an address.
    pub(crate) file_urls: bool,
    /// Documents with the provider.
    pub(crate) file_ids: bool,
    /// Documents have names, always.
    pub(crate) file_names: bool,
    /// Sound.
    pub(crate) audio: bool,
    /// Results of tools may hold images.
    pub(crate) result_images: bool,
    /// Results of tools tell failure.
    pub(crate) result_errors: bool,
    /// Thoughts of earlier turns.
    pub(crate) reasoning: bool,
    /// Thoughts have proofs.
    pub(crate) signatures: bool,
    /// Thoughts may be sealed.
    pub(crate) sealed: bool,
    /// A sealed thought has text too, where it has any.
    pub(crate) sealed_text: bool,
    /// Thoughts have ids, always.
    pub(crate) reasoning_ids: bool,
    /// Tool calls have proofs.
    pub(crate) call_signatures: bool,
    /// Refusals.
    pub(crate) refusals: bool,
    /// Tools may be strict; where they may, they always say so.
    pub(crate) strict: bool,
    /// Output formats.
    pub(crate) formats: bool,
    /// `top_k`.
    pub(crate) top_k: bool,
    /// Penalties.
    pub(crate) penalties: bool,
    /// A seed.
    pub(crate) seed: bool,
    /// Stop texts.
    pub(crate) stop: bool,
    /// Additions to scores.
    pub(crate) logit_bias: bool,
    /// Several answers.
    pub(crate) choices: bool,
    /// Likely tokens.
    pub(crate) logprobs: bool,
    /// An effort of thought.
    pub(crate) effort: bool,
    /// A budget of thought.
    pub(crate) budget: bool,
    /// Summaries of thoughts.
    pub(crate) summary: bool,
    /// `parallel_tool_calls`.
    pub(crate) parallel: bool,
    /// The stop text is told.
    pub(crate) stop_told: bool,
    /// Several texts in one answer, between thoughts and tool calls in any order.
    pub(crate) parts_anywhere: bool,
    /// Tokens of the prompt cache that were written.
    pub(crate) cache_write: bool,
    /// The same, for an hour.
    pub(crate) cache_write_hour: bool,
    /// Tokens of sound.
    pub(crate) audio_tokens: bool,
    /// Tokens of thought.
    pub(crate) reasoning_tokens: bool,
}

impl Limits {
    /// A wire that knows text and tools.
    pub(crate) fn least() -> Self {
        Self::default()
    }
}

/// Words with everything that has to be escaped somewhere.
pub(crate) fn text() -> impl Strategy<Value = String> {
    "[a-zäß€🦀\"\\\\\n\t<&/ ]{1,24}"
}

/// An identifier: a model, a tool, a call.
pub(crate) fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_-]{0,11}"
}

/// Base64 of a few bytes.
pub(crate) fn base64() -> impl Strategy<Value = String> {
    "([A-Za-z0-9+/]{4}){1,6}"
}

/// A JSON Schema of an object.
pub(crate) fn schema() -> impl Strategy<Value = Value> {
    vec(name(), 0..3).prop_map(|names| {
        let properties: serde_json::Map<String, Value> = names
            .into_iter()
            .map(|name| (name, json!({"type": "string"})))
            .collect();
        json!({"type": "object", "properties": properties})
    })
}

/// A fraction that every wire keeps.
pub(crate) fn fraction() -> impl Strategy<Value = f64> {
    (0_u32..=200).prop_map(|hundredths| f64::from(hundredths) / 100.0)
}

fn when<T: std::fmt::Debug + Clone + 'static>(
    on: bool,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if on {
        option::of(strategy).boxed()
    } else {
        Just(None).boxed()
    }
}

fn always<T: std::fmt::Debug + Clone + 'static>(
    on: bool,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if on {
        strategy.prop_map(Some).boxed()
    } else {
        Just(None).boxed()
    }
}

fn text_part(limits: Limits) -> BoxedStrategy<Part> {
    (text(), when(limits.cache, Just(String::new())))
        .prop_map(|(text, cache)| Part::Text { text, cache })
        .boxed()
}

fn address() -> impl Strategy<Value = FileSource> {
    name().prop_map(|name| FileSource::Url(format!("https://files.example/{name}.png")))
}

fn image(limits: Limits) -> BoxedStrategy<Part> {
    let bytes = base64().prop_map(|data| FileSource::Base64 {
        media_type: "image/png".to_owned(),
        data,
    });
    let mut sources = vec![bytes.boxed()];
    if limits.image_urls {
        sources.push(address().boxed());
    }
    if limits.image_ids {
        sources.push(name().prop_map(FileSource::Id).boxed());
    }
    let detail = prop_oneof![Just("low"), Just("high"), Just("auto")].prop_map(str::to_owned);
    (
        proptest::strategy::Union::new(sources),
        when(limits.image_detail, detail),
    )
        .prop_map(|(source, detail)| Part::Image { source, detail })
        .boxed()
}

fn files(limits: Limits) -> Vec<BoxedStrategy<Part>> {
    let mut sources = Vec::new();
    if limits.files {
        let bytes = base64().prop_map(|data| FileSource::Base64 {
            media_type: "application/pdf".to_owned(),
            data,
        });
        sources.push(bytes.boxed());
    }
    if limits.file_urls {
        sources.push(address().boxed());
    }
    if limits.file_ids {
        sources.push(name().prop_map(FileSource::Id).boxed());
    }
    if sources.is_empty() {
        return Vec::new();
    }
    let source = proptest::strategy::Union::new(sources);
    let file = (source, always(limits.file_names, name()))
        .prop_map(|(source, name)| Part::File { source, name });
    vec![file.boxed()]
}

/// A piece of what a user says.
pub(crate) fn user_part(limits: Limits) -> BoxedStrategy<Part> {
    let mut parts = vec![text_part(limits), text_part(limits), image(limits)];
    parts.extend(files(limits));
    if limits.audio {
        let audio = base64().prop_map(|data| Part::Audio {
            data,
            format: "wav".to_owned(),
        });
        parts.push(audio.boxed());
    }
    proptest::strategy::Union::new(parts).boxed()
}

fn tool_result(limits: Limits) -> BoxedStrategy<Part> {
    let content = if limits.result_images {
        prop_oneof![2 => text_part(Limits::least()), 1 => image(limits)].boxed()
    } else {
        text_part(Limits::least())
    };
    let is_error = if limits.result_errors {
        any::<bool>().boxed()
    } else {
        Just(false).boxed()
    };
    (name(), vec(content, 0..3), is_error)
        .prop_map(|(call_id, content, is_error)| Part::ToolResult {
            call_id,
            content,
            is_error,
        })
        .boxed()
}

/// A thought.
pub(crate) fn thought(limits: Limits) -> BoxedStrategy<Part> {
    let id = always(limits.reasoning_ids, name());
    let sealed = when(limits.sealed, base64());
    (text(), when(limits.signatures, base64()), sealed, id)
        .prop_map(move |(text, signature, sealed, id)| {
            let hidden = sealed.is_some() && !limits.sealed_text;
            Part::Reasoning {
                text: if hidden { String::new() } else { text },
                signature: if hidden { None } else { signature },
                sealed,
                id,
            }
        })
        .boxed()
}

/// A tool call; ids are made unique by [`unique_ids`].
pub(crate) fn tool_call(limits: Limits) -> BoxedStrategy<Part> {
    let arguments = (name(), text()).prop_map(|(name, text)| json!({ name: text }).to_string());
    let signature = when(limits.call_signatures, base64());
    (name(), name(), arguments, signature)
        .prop_map(|(id, name, arguments, signature)| {
            Part::ToolCall(ToolCall {
                id,
                name,
                arguments,
                signature,
            })
        })
        .boxed()
}

/// What a model says, in the order that all wires can keep: thoughts, one text, one refusal, tool calls;
/// or in any order, where the wire allows that.
fn model_parts(limits: Limits, thoughts: bool) -> BoxedStrategy<Vec<Part>> {
    let plain = text().prop_map(Part::text).boxed();
    let refusal = text().prop_map(|text| Part::Refusal { text }).boxed();
    if limits.parts_anywhere {
        let mut parts = vec![plain, tool_call(limits)];
        if thoughts {
            parts.push(thought(limits));
        }
        if limits.refusals {
            parts.push(refusal);
        }
        return vec(proptest::strategy::Union::new(parts), 1..5)
            .prop_map(unique_ids)
            .boxed();
    }
    // Two thoughts without proofs cannot be told apart on every wire.
    let several = if limits.signatures { 3 } else { 2 };
    let thoughts = if thoughts { 0..several } else { 0..1 };
    (
        vec(thought(limits), thoughts),
        option::of(plain),
        when(limits.refusals, refusal),
        vec(tool_call(limits), 0..3),
    )
        .prop_map(|(thoughts, said, refused, calls)| {
            let parts = thoughts.into_iter().chain(said).chain(refused).chain(calls);
            unique_ids(parts.collect())
        })
        .prop_filter("a model says something", |parts| !parts.is_empty())
        .boxed()
}

/// Gives tool calls ids of their own.
pub(crate) fn unique_ids(mut parts: Vec<Part>) -> Vec<Part> {
    for (at, part) in parts.iter_mut().enumerate() {
        if let Part::ToolCall(call) = part {
            call.id = format!("{}-{at}", call.id);
        }
    }
    parts
}

fn named(role: Role, limits: Limits, parts: BoxedStrategy<Vec<Part>>) -> BoxedStrategy<Message> {
    (parts, when(limits.names, name()))
        .prop_map(move |(parts, name)| Message { role, parts, name })
        .boxed()
}

/// One turn: what the user says or tools answered, then what the model says.
fn turn(limits: Limits) -> BoxedStrategy<Vec<Message>> {
    let said = named(Role::User, limits, vec(user_part(limits), 1..4).boxed());
    let results = vec(tool_result(limits), 1..3).prop_map(|parts| Message {
        role: Role::User,
        parts,
        name: None,
    });
    let asked = prop_oneof![2 => said.boxed(), 1 => results.boxed()];
    let answered = named(
        Role::Assistant,
        limits,
        model_parts(limits, limits.reasoning),
    );
    let mut messages = vec![
        asked.prop_map(Some).boxed(),
        answered.prop_map(Some).boxed(),
    ];
    if limits.instructions_anywhere {
        let developer = if limits.developer {
            prop_oneof![Just(Role::System), Just(Role::Developer)].boxed()
        } else {
            Just(Role::System).boxed()
        };
        let told = (developer, text()).prop_map(|(role, text)| Message::text(role, text));
        messages.insert(0, option::weighted(0.2, told).boxed());
    }
    messages
        .prop_map(|messages| messages.into_iter().flatten().collect())
        .boxed()
}

/// A conversation that begins with instructions, perhaps, and ends with the user or the model.
pub(crate) fn conversation(limits: Limits) -> BoxedStrategy<Vec<Message>> {
    let first = option::of(text().prop_map(|text| Message::text(Role::System, text)));
    (first, vec(turn(limits), 1..3), any::<bool>())
        .prop_map(|(first, turns, answered)| {
            let mut messages: Vec<Message> = first.into_iter().chain(turns.concat()).collect();
            if !answered {
                messages.pop();
            }
            messages
        })
        .boxed()
}

/// A tool.
pub(crate) fn tool(limits: Limits) -> BoxedStrategy<Tool> {
    (
        name(),
        option::of(text()),
        option::of(schema()),
        always(limits.strict, any::<bool>()),
        when(limits.cache, Just(String::new())),
    )
        .prop_map(
            |(name, description, parameters, strict, cache)| Tool::Function {
                name,
                description,
                parameters,
                strict,
                cache,
            },
        )
        .boxed()
}

fn tool_choice() -> BoxedStrategy<ToolChoice> {
    prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        name().prop_map(ToolChoice::Tool),
    ]
    .boxed()
}

fn format() -> BoxedStrategy<OutputFormat> {
    let of_schema = (
        name(),
        option::of(text()),
        schema(),
        option::of(any::<bool>()),
    )
        .prop_map(
            |(name, description, schema, strict)| OutputFormat::JsonSchema {
                name,
                description,
                schema,
                strict,
            },
        );
    prop_oneof![
        Just(OutputFormat::Text),
        Just(OutputFormat::JsonObject),
        of_schema
    ]
    .boxed()
}

fn sampling(limits: Limits) -> BoxedStrategy<Sampling> {
    let bias = if limits.logit_bias {
        btree_map("[1-9][0-9]{0,4}", fraction(), 0..3).boxed()
    } else {
        Just(std::collections::BTreeMap::new()).boxed()
    };
    let stop = if limits.stop {
        vec(text(), 0..3).boxed()
    } else {
        Just(Vec::new()).boxed()
    };
    (
        option::of(fraction()),
        option::of(fraction()),
        when(limits.top_k, 1_u64..100),
        when(limits.penalties, fraction()),
        when(limits.penalties, fraction()),
        when(limits.seed, any::<i64>()),
        stop,
        bias,
    )
        .prop_map(
            |(temperature, top_p, top_k, frequency, presence, seed, stop, logit_bias)| Sampling {
                temperature,
                top_p,
                top_k,
                frequency_penalty: frequency,
                presence_penalty: presence,
                seed,
                stop,
                logit_bias,
            },
        )
        .boxed()
}

fn reasoning(limits: Limits) -> BoxedStrategy<Option<Reasoning>> {
    let effort = prop_oneof![
        Just(Effort::Minimal),
        Just(Effort::Low),
        Just(Effort::Medium),
        Just(Effort::High),
    ];
    (
        when(limits.effort, effort),
        when(limits.budget, 1024_u64..32_000),
        when(limits.summary, Just("auto".to_owned())),
    )
        .prop_map(|(effort, budget_tokens, summary)| {
            let reasoning = Reasoning {
                effort,
                budget_tokens,
                summary,
            };
            (reasoning != Reasoning::default()).then_some(reasoning)
        })
        .boxed()
}

/// A request that the wire says whole. The most tokens of the answer are always set.
pub(crate) fn request(limits: Limits) -> BoxedStrategy<Request> {
    let asked = (
        name(),
        conversation(limits),
        vec(tool(limits), 0..3),
        option::of(tool_choice()),
        when(limits.parallel, any::<bool>()),
        when(limits.formats, format()),
        1_u64..100_000,
    );
    let how = (
        sampling(limits),
        reasoning(limits),
        when(limits.choices, 1_u64..5),
        when(limits.logprobs, 0_u64..6),
        any::<bool>(),
        option::of(name()),
    );
    (asked, how)
        .prop_map(|(asked, how)| {
            let (model, messages, tools, tool_choice, parallel_tool_calls, format, tokens) = asked;
            let (sampling, reasoning, choices, logprobs, stream, user) = how;
            Request {
                model,
                messages,
                // Providers refuse a choice among no tools.
                tool_choice: tool_choice.filter(|_| !tools.is_empty()),
                parallel_tool_calls: parallel_tool_calls.filter(|_| !tools.is_empty()),
                tools,
                format,
                output_tokens_max: Some(tokens),
                sampling,
                reasoning,
                choices,
                logprobs,
                stream,
                stream_usage: stream,
                user,
                extra: None,
            }
        })
        .boxed()
}

/// Counted tokens; the parts are never more than the whole.
pub(crate) fn tokens(limits: Limits) -> BoxedStrategy<Tokens> {
    let on = |on: bool, count: u64| if on { count } else { 0 };
    vec(0_u64..10_000, 8)
        .prop_map(move |counts| {
            let count = |at: usize| counts.get(at).copied().unwrap_or_default();
            let cache_read = count(1);
            let cache_write = on(limits.cache_write, count(2));
            let cache_write_hour = on(limits.cache_write_hour, count(3));
            let input_audio = on(limits.audio_tokens, count(4));
            let reasoning = on(limits.reasoning_tokens, count(6));
            let output_audio = on(limits.audio_tokens, count(7));
            Tokens {
                input: count(0) + cache_read + cache_write + cache_write_hour + input_audio,
                cache_read,
                cache_write,
                cache_write_hour,
                input_audio,
                output: count(5) + reasoning + output_audio,
                reasoning,
                output_audio,
            }
        })
        .boxed()
}

/// An answer that the wire says whole. It wants tools to run exactly if it has calls and is complete.
pub(crate) fn answer(limits: Limits) -> BoxedStrategy<Answer> {
    let reason = prop_oneof![
        3 => Just(FinishReason::Stop),
        1 => Just(FinishReason::Length),
        1 => Just(FinishReason::ContentFilter),
    ];
    (
        name(),
        name(),
        model_parts(limits, limits.reasoning),
        reason,
        when(limits.stop_told, text()),
        tokens(limits),
    )
        .prop_map(|(id, model, parts, reason, stop, tokens)| {
            let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
            let reason = if calls && reason == FinishReason::Stop {
                FinishReason::ToolCalls
            } else {
                reason
            };
            Answer {
                id,
                model,
                parts,
                stop: stop.filter(|_| reason == FinishReason::Stop),
                reason,
                tokens: Some(tokens),
            }
        })
        .boxed()
}

/// Any JSON, nested and with odd numbers, to be read as a request.
pub(crate) fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(Value::from("")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name(), inner), 0..4)
                .prop_map(|fields| { Value::Object(fields.into_iter().collect()) }),
        ]
    })
    .boxed()
}

/// JSON with the given field names, so that it comes far enough into a reader to do harm.
pub(crate) fn near_json(names: &'static [&'static str]) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        2 => any_json(),
        3 => proptest::sample::select(names).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((proptest::sample::select(names), inner), 0..6).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect())
            }),
        ]
    })
    .boxed()
}

/// Cuts pieces of text into smaller ones.
pub(crate) fn cut(events: Vec<Event>, sizes: &[usize]) -> Vec<Event> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut pieces = Vec::new();
    for event in events {
        let Event::Delta { part, text } = event else {
            pieces.push(event);
            continue;
        };
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let wanted = sizes.next().unwrap_or(1).max(1);
            let end = rest
                .char_indices()
                .nth(wanted)
                .map_or(rest.len(), |(at, _)| at);
            let (piece, left) = rest.split_at(end);
            let text = piece.to_owned();
            pieces.push(Event::Delta { part, text });
            rest = left;
        }
    }
    pieces
}
