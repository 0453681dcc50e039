//! Answers.

use super::messages::model_parts;
use super::{Limits, name, text, when};
use crate::{Answer, FinishReason, Part, Tokens};
use proptest::collection::vec;
use proptest::prelude::*;

/// Counted tokens; the parts are never more than the whole.
fn tokens(limits: Limits) -> BoxedStrategy<Tokens> {
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
