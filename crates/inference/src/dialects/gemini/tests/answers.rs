//! Answers and streams, case by case.

use crate::dialects::gemini::{StreamReader, read_answer};
use crate::{
    Answer, Assembly, DecodeError, Event, FinishReason, Part, Sse, StreamDecoder as _, Tokens,
    ToolCall,
};
use serde_json::{Value, json};

fn read(value: &Value) -> Result<Answer, DecodeError> {
    read_answer(value.to_string().as_bytes())
}

fn answer(parts: Value, reason: &str) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason}],
        "modelVersion": "gemini-x", "responseId": "r1"})
}

#[test]
fn parts_have_their_neutral_form() {
    let read = read(&answer(
        json!([
            {"text": "hm ", "thought": true},
            {"text": "so", "thought": true},
            {"text": "a"},
            {"text": "b"},
            {"text": "", "thoughtSignature": "s1"},
            {"functionCall": {"name": "f", "args": {"b": 1.50, "a": 2}}, "thoughtSignature": "s2"},
            {"functionCall": {"name": "g", "id": "own"}},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
        ]),
        "STOP",
    ))
    .unwrap();
    let thought = |text: &str, signature: Option<&str>| Part::Reasoning {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
        sealed: None,
        id: None,
    };
    let call = |id: &str, name: &str, arguments: &str, signature: Option<&str>| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            signature: signature.map(str::to_owned),
        })
    };
    assert_eq!(read.parts[0], thought("hm so", None));
    assert_eq!(read.parts[1], Part::text("ab"));
    assert_eq!(read.parts[2], thought("", Some("gemini:s1")));
    let arguments = r#"{"b":1.5,"a":2}"#;
    assert_eq!(
        read.parts[3],
        call("call_r1_3", "f", arguments, Some("gemini:s2"))
    );
    assert_eq!(read.parts[4], call("own", "g", "{}", None));
    assert!(matches!(read.parts[5], Part::Opaque(_)));
    assert_eq!(read.reason, FinishReason::ToolCalls);
    assert_eq!((read.id.as_str(), read.model.as_str()), ("r1", "gemini-x"));
}

#[test]
fn every_reason_is_known() {
    let text = || json!([{"text": "a"}]);
    for (name, reason) in [
        ("STOP", FinishReason::Stop),
        ("MAX_TOKENS", FinishReason::Length),
        ("SAFETY", FinishReason::ContentFilter),
        ("RECITATION", FinishReason::ContentFilter),
        ("BLOCKLIST", FinishReason::ContentFilter),
        ("PROHIBITED_CONTENT", FinishReason::ContentFilter),
        ("SPII", FinishReason::ContentFilter),
        ("IMAGE_SAFETY", FinishReason::ContentFilter),
    ] {
        assert_eq!(read(&answer(text(), name)).unwrap().reason, reason);
    }
    for name in [
        "OTHER",
        "MALFORMED_RESPONSE",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "IMAGE_OTHER",
        "NO_IMAGE",
        "OF_TOMORROW",
    ] {
        for parts in [text(), json!([])] {
            let read = read(&answer(parts, name));
            assert!(matches!(read, Err(DecodeError::BrokenOff(text)) if text.contains(name)));
        }
    }
    let unsaid = read(&answer(text(), "FINISH_REASON_UNSPECIFIED"));
    assert!(matches!(unsaid, Err(DecodeError::Malformed(text)) if text.contains("why")));
    assert_eq!(read(&answer(json!([]), "STOP")).unwrap().parts, []);
}

#[test]
fn a_blocked_prompt_is_an_answer_without_parts() {
    let read = read(&json!({"promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4}}))
    .unwrap();
    assert_eq!(read.reason, FinishReason::ContentFilter);
    assert_eq!(read.parts, []);
    assert_eq!(read.tokens.unwrap().input, 4);
}

#[test]
fn usage_is_told_whole() {
    let mut wire = answer(json!([]), "STOP");
    wire["usageMetadata"] = json!({
        "promptTokenCount": 10, "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 3,
        "candidatesTokenCount": 5, "thoughtsTokenCount": 6, "totalTokenCount": 24,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}, {"modality": "AUDIO", "tokenCount": 2}],
    });
    let tokens = Tokens {
        input: 13,
        cache_read: 4,
        input_audio: 2,
        output: 11,
        reasoning: 6,
        ..Tokens::default()
    };
    assert_eq!(read(&wire).unwrap().tokens, Some(tokens));
}

#[test]
fn what_is_no_answer_is_told() {
    let failure = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "m"}});
    assert_eq!(read(&failure), Err(DecodeError::Fault(failure.clone())));
    let list = json!([failure]);
    assert_eq!(read(&list), Err(DecodeError::Fault(list.clone())));
    for wire in [
        json!({}),
        json!("x"),
        json!({"candidates": [{}]}),
        json!({"candidates": 5}),
    ] {
        assert!(matches!(read(&wire), Err(DecodeError::Malformed(_))));
    }
    assert!(matches!(
        read_answer(b"\xff"),
        Err(DecodeError::Malformed(_))
    ));
    let call = |name: &str| json!({"functionCall": {"name": name, "id": "a"}});
    assert_eq!(
        read(&answer(json!([call("f"), call("f")]), "STOP")),
        Err(DecodeError::DuplicateToolId("a".to_owned()))
    );
    assert_eq!(
        read(&answer(json!([call("")]), "STOP")),
        Err(DecodeError::IncompleteToolCall)
    );
}

#[test]
fn a_stream_ends_with_the_connection() {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    let counted = |parts: Value, reason: Option<&str>, count: u64| {
        let mut chunk = answer(parts, "STOP");
        chunk["candidates"][0]["finishReason"] = json!(reason);
        chunk["usageMetadata"] = json!({"promptTokenCount": 3, "candidatesTokenCount": count});
        chunk
    };
    for chunk in [
        counted(json!([{"text": "a"}]), None, 1),
        counted(json!([{"text": "b"}]), Some("STOP"), 1),
        json!({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}),
    ] {
        let data = chunk.to_string();
        reader
            .decode(
                &Sse {
                    name: "",
                    data: &data,
                },
                &mut events,
            )
            .unwrap();
        assert!(!reader.is_complete());
    }
    reader.end(&mut events).unwrap();
    assert!(events.contains(&Event::PartEnded { part: 0 }));
    let mut assembly = Assembly::default();
    for event in events {
        assembly.add(event).unwrap();
    }
    let answer = assembly.finish().unwrap();
    assert_eq!(answer.parts, [Part::text("ab")]);
    assert_eq!(answer.tokens.unwrap().output, 2);
    let mut cut = StreamReader::default();
    assert_eq!(cut.end(&mut Vec::new()), Err(DecodeError::Cut));
}
