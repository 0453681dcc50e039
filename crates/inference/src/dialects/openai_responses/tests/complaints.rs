use super::super::read_request;

/// Requests, the field that is wrong with them, and what is said about it.
const COMPLAINTS: &[(&str, &str, &str)] = &[
    (r#"{"model": "m"}"#, "input", "is missing"),
    (
        r#"{"model": "m", "input": []}"#,
        "input",
        "at least one item",
    ),
    (r#"{"input": "x"}"#, "model", "is missing"),
    (r#"{"input": 5}"#, "input", "a string or an array"),
    (r#"{"input": [5]}"#, "input[0]", "must be an object"),
    (r#"{"input": [{"id": "x"}]}"#, "input[0].type", "is missing"),
    (
        r#"{"input": [{"role": "clown", "content": "x"}]}"#,
        "input[0].role",
        "`assistant`",
    ),
    (
        r#"{"input": [{"role": "user"}]}"#,
        "input[0].content",
        "is missing",
    ),
    (
        r#"{"input": [{"role": "user", "content": [{"type": "input_text", "text": 4}]}]}"#,
        "input[0].content[0].text",
        "must be a string, not a number",
    ),
    (
        r#"{"input": [{"role": "user", "content": [{"type": "input_image"}]}]}"#,
        "input[0].content[0]",
        "`image_url` or `file_id`",
    ),
    (
        r#"{"input": [{"type": "function_call_output", "output": "x"}]}"#,
        "input[0].call_id",
        "is missing",
    ),
    (
        r#"{"input": [{"type": "function_call_output", "call_id": "a"}]}"#,
        "input[0].output",
        "is missing",
    ),
    (
        r#"{"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}"#,
        "input[0].arguments",
        "is missing",
    ),
    (
        r#"{"input": [{"type": "reasoning", "summary": "x"}]}"#,
        "input[0].summary",
        "must be an array, not a string",
    ),
    (
        r#"{"text": {"format": {"type": "json_schema"}}}"#,
        "text.format.name",
        "is missing",
    ),
    (
        r#"{"reasoning": {"effort": 3}}"#,
        "reasoning.effort",
        "must be a string",
    ),
    (
        r#"{"tools": [{"type": "function"}]}"#,
        "tools[0].name",
        "is missing",
    ),
    (
        r#"{"tool_choice": {"type": "function"}}"#,
        "tool_choice.name",
        "must be a string",
    ),
    (r#"{"store": "yes"}"#, "store", "must be a boolean"),
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
