//! Requests.

use super::messages::conversation;
use super::{Limits, always, fraction, name, schema, text, when};
use crate::{Effort, OutputFormat, Reasoning, Request, Sampling, Tool, ToolChoice};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// A tool.
fn tool(limits: Limits) -> BoxedStrategy<Tool> {
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
                caller: None,
                is_first_apart: false,
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
