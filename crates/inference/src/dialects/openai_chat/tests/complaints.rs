use super::super::read_request;

/// Requests, the field that is wrong with them, and what is said about it.
const COMPLAINTS: &[(&str, &str, &str)] = &[
    (r#"{"messages": []}"#, "messages", "at least one message"),
    (
        r#"{"messages": [{"role": "user", "content": "x"}]}"#,
        "model",
        "is missing",
    ),
    (r#"{"model": "m"}"#, "messages", "is missing"),
    (r#"{"model": 5}"#, "model", "must be a string, not a number"),
    (
        r#"{"messages": {}}"#,
        "messages",
        "must be an array, not an object",
    ),
    (
        r#"{"messages": [5]}"#,
        "messages[0]",
        "must be an object, not a number",
    ),
    (
        r#"{"messages": [{"content": "x"}]}"#,
        "messages[0].role",
        "is missing",
    ),
    (
        r#"{"messages": [{"role": "user", "content": 5}]}"#,
        "messages[0].content",
        "string or an array of parts",
    ),
    (
        r#"{"messages": [{"role": "user", "content": null}]}"#,
        "messages[0].content",
        "is missing",
    ),
    (
        r#"{"messages": [{"role": "clown", "content": "x"}]}"#,
        "messages[0].role",
        "must be `system`",
    ),
    (
        r#"{"messages": [{"role": "function", "content": "x"}]}"#,
        "messages[0].role",
        "no longer understood",
    ),
    (
        r#"{"messages": [{"role": "tool", "content": "x"}]}"#,
        "messages[0].tool_call_id",
        "is missing",
    ),
    (
        r#"{"messages": [{"role": "user", "content": [{"text": "x"}]}]}"#,
        "messages[0].content[0].type",
        "is missing",
    ),
    (
        r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}"#,
        "messages[0].content[0].text",
        "must be a string, not a number",
    ),
    (
        r#"{"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:x"}}]}]}"#,
        "messages[0].content[0].image_url.url",
        "data URL",
    ),
    (
        r#"{"messages": [{"role": "assistant", "tool_calls": [{"type": "function"}]}]}"#,
        "messages[0].tool_calls[0].id",
        "is missing",
    ),
    (r#"{"functions": []}"#, "functions", "send `tools`"),
    (
        r#"{"function_call": "auto"}"#,
        "function_call",
        "send `tool_choice`",
    ),
    (
        r#"{"temperature": "hot"}"#,
        "temperature",
        "must be a number, not a string",
    ),
    (r#"{"max_tokens": 1.5}"#, "max_tokens", "whole number"),
    (r#"{"max_tokens": -1}"#, "max_tokens", "not negative"),
    (r#"{"seed": 1e30}"#, "seed", "whole number"),
    (r#"{"stop": [1]}"#, "stop[0]", "must be a string"),
    (
        r#"{"logit_bias": {"5": "x"}}"#,
        "logit_bias.5",
        "must be a number",
    ),
    (
        r#"{"tools": [{"type": "function", "function": {}}]}"#,
        "tools[0].function.name",
        "missing",
    ),
    (
        r#"{"reasoning_effort": "huge"}"#,
        "reasoning_effort",
        "`minimal`",
    ),
    (
        r#"{"stream_options": {"include_usage": 1}}"#,
        "stream_options.include_usage",
        "boolean",
    ),
    (
        r#"{"response_format": {"type": "json_schema"}}"#,
        "response_format.json_schema",
        "missing",
    ),
    (
        r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "top_logprobs": 2}"#,
        "top_logprobs",
        "needs `logprobs`",
    ),
];

#[test]
fn complaints_name_the_field_in_words() {
    for (body, param, says) in COMPLAINTS {
        let refused = read_request(body.as_bytes()).unwrap_err();
        assert_eq!(
            refused.param.as_deref(),
            Some(*param),
            "{}",
            refused.message
        );
        assert!(refused.message.contains(says), "{}", refused.message);
    }
}
