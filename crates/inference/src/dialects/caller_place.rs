//! Where a refusal is, as the caller counts.

use crate::{Request, Unsupported};

/// A refusal of a request, with the place as the caller counts its messages.
pub(super) fn as_caller_counts(refused: Unsupported, request: &Request) -> Unsupported {
    if !request.is_first_apart {
        return refused;
    }
    let param = counted_without_first(&refused.param).unwrap_or_else(|| refused.param.clone());
    Unsupported { param, ..refused }
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
