//! Where a field is, in the caller's words.

use crate::{Dialect, Request};

/// The caller's name of a field, or of a place in its messages as the caller counts them.
pub(super) fn caller_field(field: &str, request: &Request) -> String {
    if request.is_first_apart
        && let Some(place) = counted_without_first(field)
    {
        return place;
    }
    let (head, rest) = match field.split_once('.') {
        Some((head, rest)) => (head, format!(".{rest}")),
        None => (field, String::new()),
    };
    let name = match (head, request.caller) {
        ("response_format", Some(Dialect::OpenAiResponses)) => "text.format",
        ("response_format", Some(Dialect::Anthropic)) => "output_config.format",
        ("parallel_tool_calls", Some(Dialect::Anthropic)) => {
            "tool_choice.disable_parallel_tool_use"
        }
        _ => head,
    };
    format!("{name}{rest}")
}

/// The place without the first message; nothing where it is in no message.
fn counted_without_first(param: &str) -> Option<String> {
    let (index, rest) = param.strip_prefix("messages[")?.split_once(']')?;
    let index: usize = index.parse().ok()?;
    Some(match index.checked_sub(1) {
        Some(index) => format!("messages[{index}]{rest}"),
        None => format!("system{}", rest.strip_prefix(".content").unwrap_or(rest)),
    })
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, WriteOptions};
    use serde_json::json;

    #[test]
    fn what_is_changed_is_named_in_the_callers_words() {
        let schema = json!({"type": "object", "properties": {}});
        let format = json!({"type": "json_schema", "name": "n", "schema": schema});
        let said = json!([{"role": "user", "content": "x"}]);
        let options = WriteOptions {
            model: "m",
            is_compatible: false,
        };
        for (caller, body, name) in [
            (
                Dialect::OpenAiChat,
                json!({"model": "m", "messages": said,
                    "response_format": {"type": "json_schema", "json_schema": format}}),
                "response_format.additionalProperties",
            ),
            (
                Dialect::OpenAiResponses,
                json!({"model": "m", "input": said, "text": {"format": format}}),
                "text.format.additionalProperties",
            ),
        ] {
            let request = caller.read_request(body.to_string().as_bytes()).unwrap();
            let written = Dialect::Anthropic.write_request(&request, &options);
            let written = written.unwrap();
            assert_eq!(written.dropped, [name]);
            let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
            let sent = &body["output_config"]["format"]["schema"];
            assert_eq!(sent["additionalProperties"], false);
        }
    }

    #[test]
    fn a_refusal_is_placed_as_the_caller_counts() {
        let block = json!([{"type": "text", "text": "x"}, {"type": "hologram"}]);
        let said = |content| json!({"role": "user", "content": content});
        let refused = |fields: serde_json::Value| {
            let mut body = json!({"model": "m", "max_tokens": 9});
            for (name, value) in fields.as_object().into_iter().flatten() {
                body[name] = value.clone();
            }
            let request = Dialect::Anthropic.read_request(body.to_string().as_bytes());
            let options = WriteOptions {
                model: "m",
                is_compatible: false,
            };
            let written = Dialect::OpenAiChat.write_request(&request.unwrap(), &options);
            written.unwrap_err().param
        };
        let messages = json!([said(block.clone())]);
        assert_eq!(
            refused(json!({"messages": messages})),
            "messages[0].content[1]"
        );
        let with_system = json!({"system": "s", "messages": messages});
        assert_eq!(refused(with_system), "messages[0].content[1]");
        let in_system = json!({"system": block, "messages": [said(json!("x"))]});
        assert_eq!(refused(in_system), "system[1]");
        let elsewhere = json!({"system": "s", "top_k": 5, "messages": [said(json!("x"))]});
        assert_eq!(refused(elsewhere), "top_k");
    }
}
