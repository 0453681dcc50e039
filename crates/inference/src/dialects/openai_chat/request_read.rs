//! Requests of callers.

use super::super::openai::{
    Object, Path, array, boolean, cache_mark, effort, format, integer, number, object,
    optional_text, parse, string, strings, text_of, whole_number,
};
use super::message_read::messages;
use crate::{Dialect, Extra, InvalidRequest, OutputFormat, Reasoning, Request, Tool, ToolChoice};
use serde_json::Value;

/// Reads a request.
///
/// # Errors
/// It is no JSON object, or a field is missing or of another type.
pub(crate) fn read_request(body: &[u8]) -> Result<Request, InvalidRequest> {
    let root = Path::ROOT;
    let fields = parse(body)?;
    let mut reader = Reader::default();
    for (key, value) in fields {
        let at = root.key(&key);
        if let Some(left) = reader.field(&key, value, &at)? {
            reader.extra.insert(key, left);
        }
    }
    reader.finish()
}

#[derive(Debug, Default)]
struct Reader {
    request: Request,
    has_model: bool,
    has_messages: bool,
    tokens_max_old: Option<u64>,
    logprobs: bool,
    likely: Option<u64>,
    extra: Object,
}

impl Reader {
    /// Reads one field; gives back what only this dialect knows.
    fn field(
        &mut self,
        key: &str,
        value: Value,
        at: &Path<'_>,
    ) -> Result<Option<Value>, InvalidRequest> {
        // Everywhere in this dialect null means that the field is not there.
        if value.is_null() {
            return Ok(None);
        }
        let request = &mut self.request;
        match key {
            "model" => {
                request.model = string(value, at)?;
                self.has_model = true;
            }
            "messages" => {
                request.messages = messages(value, at)?;
                self.has_messages = true;
            }
            "tools" => request.tools = tools(value, at)?,
            "tool_choice" => return tool_choice(value, at, &mut request.tool_choice),
            "parallel_tool_calls" => request.parallel_tool_calls = Some(boolean(&value, at)?),
            "response_format" => return response_format(value, at, &mut request.format),
            "max_completion_tokens" => {
                request.output_tokens_max = Some(whole_number(&value, at)?);
            }
            "max_tokens" => self.tokens_max_old = Some(whole_number(&value, at)?),
            "reasoning_effort" => {
                let effort = Some(effort(value, at)?);
                request.reasoning = Some(Reasoning {
                    effort,
                    ..Reasoning::default()
                });
            }
            "n" => request.choices = Some(whole_number(&value, at)?),
            "logprobs" => self.logprobs = boolean(&value, at)?,
            "top_logprobs" => self.likely = Some(whole_number(&value, at)?),
            "stream" => request.stream = boolean(&value, at)?,
            "stream_options" => return self.stream_options(value, at),
            "user" => request.user = optional_text(value, at)?,
            "function_call" => {
                return Err(at.wrong("is no longer understood: send `tool_choice`"));
            }
            "functions" => return Err(at.wrong("is no longer understood: send `tools`")),
            _ => return self.sampling(key, value, at),
        }
        Ok(None)
    }

    fn sampling(
        &mut self,
        key: &str,
        value: Value,
        at: &Path<'_>,
    ) -> Result<Option<Value>, InvalidRequest> {
        let sampling = &mut self.request.sampling;
        match key {
            "temperature" => sampling.temperature = Some(number(&value, at)?),
            "top_p" => sampling.top_p = Some(number(&value, at)?),
            "top_k" => sampling.top_k = Some(whole_number(&value, at)?),
            "frequency_penalty" => sampling.frequency_penalty = Some(number(&value, at)?),
            "presence_penalty" => sampling.presence_penalty = Some(number(&value, at)?),
            "seed" => sampling.seed = Some(integer(&value, at)?),
            "stop" => sampling.stop = strings(value, at)?,
            "logit_bias" => {
                for (token, score) in object(value, at)? {
                    let score = number(&score, &at.key(&token))?;
                    sampling.logit_bias.insert(token, score);
                }
            }
            _ => return Ok(Some(value)),
        }
        Ok(None)
    }

    fn stream_options(
        &mut self,
        value: Value,
        at: &Path<'_>,
    ) -> Result<Option<Value>, InvalidRequest> {
        let mut left = Object::new();
        for (key, value) in object(value, at)? {
            if key == "include_usage" {
                let at = at.key(&key);
                self.request.stream_usage = !value.is_null() && boolean(&value, &at)?;
            } else {
                left.insert(key, value);
            }
        }
        Ok((!left.is_empty()).then_some(Value::Object(left)))
    }

    fn finish(self) -> Result<Request, InvalidRequest> {
        let root = Path::ROOT;
        let mut request = self.request;
        if !self.has_model {
            return Err(root.missing("model"));
        }
        if !self.has_messages {
            return Err(root.missing("messages"));
        }
        if self.likely.is_some() && !self.logprobs {
            let at = root.key("top_logprobs");
            return Err(at.wrong("needs `logprobs` to be true"));
        }
        if self.logprobs {
            request.logprobs = Some(self.likely.unwrap_or_default());
        }
        // Servers differ in which of the two they mind: the larger is what it may cost.
        request.output_tokens_max = request.output_tokens_max.max(self.tokens_max_old);
        if !self.extra.is_empty() {
            request.extra = Some(Extra {
                dialect: Dialect::OpenAiChat,
                fields: self.extra,
            });
        }
        Ok(request)
    }
}

fn tools(value: Value, at: &Path<'_>) -> Result<Vec<Tool>, InvalidRequest> {
    array(value, at)?
        .into_iter()
        .enumerate()
        .map(|(index, value)| tool(value, &at.index(index)))
        .collect()
}

fn tool(value: Value, at: &Path<'_>) -> Result<Tool, InvalidRequest> {
    let mut fields = object(value, at)?;
    match fields.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => {
            return Ok(Tool::Opaque(crate::Opaque {
                dialect: Dialect::OpenAiChat,
                value: fields.into(),
            }));
        }
        None => return Err(at.key("type").wrong("must be a string, such as `function`")),
    }
    let cache = cache_mark(&mut fields);
    let at = at.key("function");
    let Some(function) = fields.get_mut("function").map(Value::take) else {
        return Err(at.wrong("is missing"));
    };
    let mut function = object(function, &at)?;
    let name = text_of(&mut function, "name", &at)?;
    let (mut description, mut parameters, mut strict) = (None, None, None);
    for (key, value) in function.iter_mut().filter(|(_, value)| !value.is_null()) {
        let at = at.key(key);
        match key.as_str() {
            "description" => description = optional_text(value.take(), &at)?,
            "parameters" => parameters = Some(object(value.take(), &at)?.into()),
            "strict" => strict = Some(boolean(value, &at)?),
            _ => {}
        }
    }
    Ok(Tool::Function {
        name,
        description,
        parameters,
        strict,
        cache,
    })
}

fn tool_choice(
    value: Value,
    at: &Path<'_>,
    choice: &mut Option<ToolChoice>,
) -> Result<Option<Value>, InvalidRequest> {
    match &value {
        Value::String(word) => {
            *choice = Some(match word.as_str() {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                "required" => ToolChoice::Required,
                _ => return Err(at.wrong("must be `auto`, `none`, `required` or an object")),
            });
            Ok(None)
        }
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "function") => {
            let at = at.key("function");
            let function = fields.get("function").cloned();
            let mut function = object(function.unwrap_or_default(), &at)?;
            *choice = Some(ToolChoice::Tool(text_of(&mut function, "name", &at)?));
            Ok(None)
        }
        Value::Object(fields) if fields.get("type").is_some_and(Value::is_string) => {
            Ok(Some(value))
        }
        Value::Object(_) => Err(at.key("type").wrong("must be a string, such as `function`")),
        _ => Err(at.wrong("must be `auto`, `none`, `required` or an object")),
    }
}

fn response_format(
    value: Value,
    at: &Path<'_>,
    into: &mut Option<OutputFormat>,
) -> Result<Option<Value>, InvalidRequest> {
    let mut fields = object(value, at)?;
    *into = format(&mut fields, Some("json_schema"), at)?;
    Ok(into.is_none().then_some(Value::Object(fields)))
}
