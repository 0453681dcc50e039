//! The proof of a tool call in the call's id, in letters that every client accepts.
//!
//! OpenAI's wires have a place for it beside the id, and many clients bring back nothing but what they know.
//! So it stands in both places when an answer is told, and is taken out of the id when it comes back.

use crate::{Answer, Event, Failure, Part, PartKind, Request, StreamEncoder};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::borrow::Cow;

const MARK: &str = "__proof__";

/// The id as the client is told it.
pub(in crate::dialects) fn with_proof<'a>(id: &'a str, proof: Option<&str>) -> Cow<'a, str> {
    match proof {
        Some(proof) if !id.contains(MARK) => {
            Cow::Owned(format!("{id}{MARK}{}", URL_SAFE_NO_PAD.encode(proof)))
        }
        _ => Cow::Borrowed(id),
    }
}

/// The id as the provider gave it, and the proof.
pub(in crate::dialects) fn without_proof(id: String) -> (String, Option<String>) {
    let proof = id.split_once(MARK).and_then(|(id, proof)| {
        let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
        Some((id.to_owned(), String::from_utf8(proof).ok()?))
    });
    match proof {
        Some((id, proof)) => (id, Some(proof)),
        None => (id, None),
    }
}

/// Takes the proofs out of the ids of a request.
pub(super) fn take_out(mut request: Request) -> Request {
    for part in request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.parts)
    {
        match part {
            Part::ToolCall(call) => {
                let (id, proof) = without_proof(std::mem::take(&mut call.id));
                call.id = id;
                call.signature = call.signature.take().or(proof);
            }
            Part::ToolResult { call_id, .. } => {
                *call_id = without_proof(std::mem::take(call_id)).0;
            }
            _ => {}
        }
    }
    request
}

/// Puts the proofs of an answer into its ids, where there are any.
pub(super) fn put_in(answer: &Answer) -> Cow<'_, Answer> {
    let is_proved = |part: &Part| matches!(part, Part::ToolCall(call) if call.signature.is_some());
    if !answer.parts.iter().any(is_proved) {
        return Cow::Borrowed(answer);
    }
    let mut answer = answer.clone();
    for part in &mut answer.parts {
        if let Part::ToolCall(call) = part {
            call.id = with_proof(&call.id, call.signature.as_deref()).into_owned();
        }
    }
    Cow::Owned(answer)
}

/// Does the same for a stream: a call is told when it is known whether a proof comes with it, which is when
/// anything follows its beginning.
pub(super) struct ProofsInIds<E> {
    inner: E,
    begun: Option<Event>,
}

impl<E: StreamEncoder> ProofsInIds<E> {
    pub(super) const fn new(inner: E) -> Self {
        Self { inner, begun: None }
    }

    fn tell_begun(&mut self, proof: Option<&str>, out: &mut Vec<u8>) {
        match self.begun.take() {
            Some(Event::PartStarted {
                part,
                kind: PartKind::ToolCall { id, name },
            }) => {
                let id = with_proof(&id, proof).into_owned();
                let kind = PartKind::ToolCall { id, name };
                self.inner.encode(&Event::PartStarted { part, kind }, out);
            }
            Some(event) => self.inner.encode(&event, out),
            None => {}
        }
    }
}

impl<E: StreamEncoder> StreamEncoder for ProofsInIds<E> {
    fn encode(&mut self, event: &Event, out: &mut Vec<u8>) {
        let proof = match event {
            Event::Signature { signature, .. } => Some(signature.as_str()),
            _ => None,
        };
        self.tell_begun(proof, out);
        match event {
            Event::PartStarted {
                kind: PartKind::ToolCall { .. },
                ..
            } => self.begun = Some(event.clone()),
            _ => self.inner.encode(event, out),
        }
    }

    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        self.tell_begun(None, out);
        self.inner.fail(failure, out);
    }
}

#[cfg(test)]
mod tests {
    use crate::{AnswerContext, Dialect, Event, FinishReason, Part, PartKind, Request, ToolCall};
    use serde_json::{Value, json};

    const PROOF: &str = "gemini:c2VhbA==";

    fn context(request: &Request) -> AnswerContext<'_> {
        AnswerContext {
            request,
            created: 1,
            request_id: "req_1",
        }
    }

    fn events() -> Vec<Event> {
        let kind = PartKind::ToolCall {
            id: "call_0".to_owned(),
            name: "look".to_owned(),
        };
        vec![
            Event::Started {
                id: "r".to_owned(),
                model: "m".to_owned(),
            },
            Event::PartStarted { part: 0, kind },
            Event::Signature {
                part: 0,
                signature: PROOF.to_owned(),
            },
            Event::Delta {
                part: 0,
                text: "{}".to_owned(),
            },
            Event::PartEnded { part: 0 },
            Event::Finished {
                reason: FinishReason::ToolCalls,
                stop: None,
            },
        ]
    }

    /// The ids of calls in a stream.
    fn streamed(dialect: Dialect, field: &str) -> Vec<String> {
        let request = Request::default();
        let mut writer = dialect.stream_writer(&context(&request));
        let mut out = Vec::new();
        for event in events() {
            writer.encode(&event, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        let mut ids = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let value: Value = serde_json::from_str(line).unwrap_or_default();
            let call = match dialect {
                Dialect::OpenAiChat => &value["choices"][0]["delta"]["tool_calls"][0],
                _ => &value["item"],
            };
            ids.extend(call[field].as_str().map(str::to_owned));
        }
        ids
    }

    /// The calls of a conversation in which a client brings back nothing but ids, names and arguments.
    fn brought_back(dialect: Dialect, id: &str) -> Vec<Part> {
        let body = match dialect {
            Dialect::OpenAiChat => json!({"model": "m", "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "tool_calls": [{
                    "id": id, "type": "function", "function": {"name": "look", "arguments": "{}"},
                }]},
                {"role": "tool", "tool_call_id": id, "content": "seen"},
            ]}),
            _ => json!({"model": "m", "input": [
                {"role": "user", "content": "go"},
                {"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": id, "output": "seen"},
            ]}),
        };
        let request = dialect.read_request(body.to_string().as_bytes()).unwrap();
        let parts = request
            .messages
            .into_iter()
            .flat_map(|message| message.parts);
        parts.skip(1).collect()
    }

    #[test]
    fn a_proof_survives_clients_that_know_nothing_of_it() {
        for (dialect, field) in [
            (Dialect::OpenAiChat, "id"),
            (Dialect::OpenAiResponses, "call_id"),
        ] {
            let ids = streamed(dialect, field);
            assert!(
                !ids.is_empty() && ids.iter().all(|id| *id == ids[0]),
                "{ids:?}"
            );
            assert_ne!(ids[0], "call_0");
            let expected = [
                Part::ToolCall(ToolCall {
                    id: "call_0".to_owned(),
                    name: "look".to_owned(),
                    arguments: "{}".to_owned(),
                    signature: Some(PROOF.to_owned()),
                }),
                Part::ToolResult {
                    call_id: "call_0".to_owned(),
                    content: vec![Part::text("seen")],
                    is_error: false,
                },
            ];
            assert_eq!(brought_back(dialect, &ids[0]), expected);
        }
    }

    #[test]
    fn whole_answers_are_told_with_the_same_ids() {
        let mut assembly = crate::Assembly::default();
        for event in events() {
            assembly.add(event).unwrap();
        }
        let answer = assembly.finish().unwrap();
        let request = Request::default();
        for (dialect, pointer, field) in [
            (
                Dialect::OpenAiChat,
                "/choices/0/message/tool_calls/0/id",
                "id",
            ),
            (Dialect::OpenAiResponses, "/output/0/call_id", "call_id"),
        ] {
            let body = dialect.write_answer(&answer, &context(&request));
            let body: Value = serde_json::from_slice(&body).unwrap();
            let id = body.pointer(pointer).unwrap();
            assert_eq!(*id, streamed(dialect, field)[0]);
        }
    }

    #[test]
    fn an_id_without_a_proof_stays_as_it_is() {
        let parts = brought_back(Dialect::OpenAiChat, "call__proof__%");
        assert!(matches!(&parts[0], Part::ToolCall(call)
            if call.id == "call__proof__%" && call.signature.is_none()));
    }
}
