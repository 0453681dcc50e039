//! Messages, and what a model says.

use super::{Limits, always, base64, name, text, when};
use crate::{FileSource, Message, Part, Role, ToolCall};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

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
pub(super) fn user_part(limits: Limits) -> BoxedStrategy<Part> {
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
pub(super) fn thought(limits: Limits) -> BoxedStrategy<Part> {
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
pub(super) fn tool_call(limits: Limits) -> BoxedStrategy<Part> {
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
pub(super) fn model_parts(limits: Limits, thoughts: bool) -> BoxedStrategy<Vec<Part>> {
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
pub(super) fn unique_ids(mut parts: Vec<Part>) -> Vec<Part> {
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
pub(super) fn conversation(limits: Limits) -> BoxedStrategy<Vec<Message>> {
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
