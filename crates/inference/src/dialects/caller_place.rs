//! Where a field is, in the caller's words.

use crate::{Dialect, Request};

/// The caller's name of a field of Chat Completions, or of a place in its messages as the caller counts them.
#[must_use]
pub fn caller_field(field: &str, request: &Request) -> String {
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
    fn a_wish_for_one_call_is_refused_only_where_there_are_several_to_make() {
        let tool = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
        let asked = |names: &[&str], mut choice: serde_json::Value| {
            choice["disable_parallel_tool_use"] = json!(true);
            let tools: Vec<_> = names.iter().map(|name| tool(name)).collect();
            let body = json!({"model": "m", "max_tokens": 9, "tools": tools,
                "tool_choice": choice, "messages": [{"role": "user", "content": "x"}]});
            let request = Dialect::Anthropic.read_request(body.to_string().as_bytes());
            let options = WriteOptions {
                model: "m",
                is_compatible: false,
            };
            let written = Dialect::Gemini.write_request(&request.unwrap(), &options);
            written
                .map(|written| written.dropped)
                .map_err(|refused| refused.param)
        };
        let name = "tool_choice.disable_parallel_tool_use".to_owned();
        let any = json!({"type": "any"});
        let forced = json!({"type": "tool", "name": "f"});
        assert_eq!(asked(&["f", "g"], forced), Ok(vec![name.clone()]));
        assert_eq!(asked(&["f"], any.clone()), Ok(vec![name.clone()]));
        assert_eq!(asked(&["f", "g"], any), Err(name));
    }

    #[test]
    fn instructions_that_lose_their_place_are_named() {
        let said = |role: &str| json!({"role": role, "content": role});
        let roles = ["system", "developer", "user", "assistant", "system", "user"];
        let messages: Vec<_> = roles.iter().map(|role| said(role)).collect();
        let body = json!({"model": "m", "messages": messages});
        let request = Dialect::OpenAiChat.read_request(body.to_string().as_bytes());
        let request = request.unwrap();
        let options = WriteOptions {
            model: "m",
            is_compatible: false,
        };
        for (target, expected) in [
            (Dialect::Anthropic, ["messages[4]"].as_slice()),
            (Dialect::Gemini, &["messages[4]"]),
            (Dialect::OpenAiResponses, &[]),
        ] {
            let written = target.write_request(&request, &options).unwrap();
            assert_eq!(written.dropped, expected, "{target:?}");
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
