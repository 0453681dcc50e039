//! Made-up requests and answers for property tests of the dialects.
//!
//! Every wire says only part of what the neutral types can hold, and says some of it in one order alone.
//! [`Limits`] tells what a wire can say; whatever comes of it has to survive that wire unchanged.

mod answers;
mod messages;
mod requests;

pub(crate) use answers::answer;
pub(crate) use requests::request;

use crate::Event;
use proptest::collection::vec;
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
