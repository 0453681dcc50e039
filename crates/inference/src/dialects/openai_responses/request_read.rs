//! Requests of callers.

use super::super::openai::{
    Object, Path, array, boolean, effort, format, number, object, optional_text, parse, string,
    text_of, whole_number,
};
use super::input_read::input;
use crate::{
    Dialect, Extra, InvalidRequest, Message, Opaque, Reasoning, Request, Role, Tool, ToolChoice,
};
use serde_json::Value;

/// Asks for the scores of tokens.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";
/// Asks for sealed thoughts.
pub(super) const SEALED: &str = "reasoning.encrypted_content";

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
    has_input: bool,
    instructions: Option<String>,
    include: Vec<Value>,
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
            "input" => {
                request.messages = input(value, at)?;
                self.has_input = true;
            }
            "instructions" => self.instructions = Some(string(value, at)?),
            "tools" => return self.tools(value, at),
            "tool_choice" => return tool_choice(value, at, &mut request.tool_choice),
            "parallel_tool_calls" => request.parallel_tool_calls = Some(boolean(&value, at)?),
            "text" => return self.text(value, at),
            "reasoning" => return self.reasoning(value, at),
            "max_output_tokens" => request.output_tokens_max = Some(whole_number(&value, at)?),
            "temperature" => request.sampling.temperature = Some(number(&value, at)?),
            "top_p" => request.sampling.top_p = Some(number(&value, at)?),
            "top_logprobs" => request.logprobs = Some(whole_number(&value, at)?),
            "stream" => request.stream = boolean(&value, at)?,
            "user" => request.user = optional_text(value, at)?,
            "include" => self.include = array(value, at)?,
            // Nothing is kept unless that is asked for.
            "store" | "background" => return Ok(boolean(&value, at)?.then_some(value)),
            _ => return Ok(Some(value)),
        }
        Ok(None)
    }

    /// Gives back what is left of each function, by its name.
    fn tools(&mut self, value: Value, at: &Path<'_>) -> Result<Option<Value>, InvalidRequest> {
        let mut left = Object::new();
        for (index, value) in array(value, at)?.into_iter().enumerate() {
            let tool = tool(value, &at.index(index), &mut left)?;
            self.request.tools.push(tool);
        }
        Ok((!left.is_empty()).then_some(Value::Object(left)))
    }

    fn text(&mut self, value: Value, at: &Path<'_>) -> Result<Option<Value>, InvalidRequest> {
        let mut fields = object(value, at)?;
        if let Some(value) = fields
            .shift_remove("format")
            .filter(|value| !value.is_null())
        {
            let at = at.key("format");
            let mut inner = object(value, &at)?;
            self.request.format = format(&mut inner, None, &at)?;
            if self.request.format.is_none() {
                fields.insert("format".to_owned(), inner.into());
            }
        }
        fields.retain(|_, value| !value.is_null());
        Ok((!fields.is_empty()).then_some(Value::Object(fields)))
    }

    fn reasoning(&mut self, value: Value, at: &Path<'_>) -> Result<Option<Value>, InvalidRequest> {
        let mut reasoning = Reasoning::default();
        let mut left = Object::new();
        for (key, value) in object(value, at)? {
            let at = at.key(&key);
            match key.as_str() {
                _ if value.is_null() => {}
                "effort" => reasoning.effort = Some(effort(value, &at)?),
                "summary" => reasoning.summary = Some(string(value, &at)?),
                _ => drop(left.insert(key, value)),
            }
        }
        self.request.reasoning = (reasoning != Reasoning::default()).then_some(reasoning);
        Ok((!left.is_empty()).then_some(Value::Object(left)))
    }

    fn finish(self) -> Result<Request, InvalidRequest> {
        let root = Path::ROOT;
        let (mut request, mut extra, mut include) = (self.request, self.extra, self.include);
        if !self.has_model {
            return Err(root.missing("model"));
        }
        // What the provider keeps may stand in for the input.
        let kept = ["previous_response_id", "conversation", "prompt"];
        if !kept.iter().any(|name| extra.contains_key(*name)) {
            if !self.has_input {
                return Err(root.missing("input"));
            }
            if request.messages.is_empty() {
                return Err(root.key("input").wrong("must hold at least one item"));
            }
        }
        if let Some(text) = self.instructions.filter(|text| !text.is_empty()) {
            request
                .messages
                .insert(0, Message::text(Role::System, text));
        }
        if include.iter().any(|name| name == LOGPROBS) {
            request.logprobs = request.logprobs.or(Some(0));
        }
        // Both are asked for again where they are wanted.
        let has_reasoning = request.reasoning.is_some();
        include.retain(|name| name != LOGPROBS && !(has_reasoning && name == SEALED));
        if !include.is_empty() {
            extra.insert("include".to_owned(), include.into());
        }
        request.stream_usage = request.stream;
        if !extra.is_empty() {
            request.extra = Some(Extra {
                dialect: Dialect::OpenAiResponses,
                fields: extra,
            });
        }
        Ok(request)
    }
}

fn tool(value: Value, at: &Path<'_>, left: &mut Object) -> Result<Tool, InvalidRequest> {
    let mut fields = object(value, at)?;
    match fields.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => {
            return Ok(Tool::Opaque(Opaque {
                dialect: Dialect::OpenAiResponses,
                value: fields.into(),
            }));
        }
        None => return Err(at.key("type").wrong("must be a string, such as `function`")),
    }
    let name = text_of(&mut fields, "name", at)?;
    let (mut description, mut parameters, mut strict) = (None, None, None);
    for (key, value) in fields.iter_mut().filter(|(_, value)| !value.is_null()) {
        let at = at.key(key);
        match key.as_str() {
            "description" => description = optional_text(value.take(), &at)?,
            "parameters" => parameters = Some(object(value.take(), &at)?.into()),
            "strict" => strict = Some(boolean(value, &at)?),
            _ => {}
        }
    }
    let known = |key: &str| {
        matches!(
            key,
            "type" | "name" | "description" | "parameters" | "strict"
        )
    };
    fields.retain(|key, value| !known(key) && !value.is_null());
    if !fields.is_empty() {
        left.insert(name.clone(), fields.into());
    }
    Ok(Tool::Function {
        name,
        description,
        parameters,
        strict,
        cache: None,
    })
}

fn tool_choice(
    value: Value,
    at: &Path<'_>,
    choice: &mut Option<ToolChoice>,
) -> Result<Option<Value>, InvalidRequest> {
    *choice = Some(match &value {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(at.wrong("must be `auto`, `none`, `required` or an object")),
        },
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "function") => {
            let name = fields.get("name").cloned().unwrap_or_default();
            ToolChoice::Tool(string(name, &at.key("name"))?)
        }
        Value::Object(fields) if fields.get("type").is_some_and(Value::is_string) => {
            return Ok(Some(value));
        }
        Value::Object(_) => {
            return Err(at.key("type").wrong("must be a string, such as `function`"));
        }
        _ => return Err(at.wrong("must be `auto`, `none`, `required` or an object")),
    });
    Ok(None)
}
