//! What is answered, before a wire writes it down.

use super::ask::Asked;
use super::scenario::Content;
use serde_json::{Value, json};

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Counts the requests for the model; in every id.
    pub(super) number: u64,
    pub(super) thought: Option<&'static str>,
    pub(super) text: Vec<String>,
    pub(super) calls: Vec<Call>,
    /// Base64 of a PNG.
    pub(super) picture: Option<&'static str>,
    pub(super) end: End,
    pub(super) usage: Usage,
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Calls,
    Filtered,
    Length,
    Refusal,
    Aborted,
    Silent,
}

/// Tokens; those read from and written to a cache are not among `input`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) read: u64,
    pub(super) written: u64,
    /// Thoughts included.
    pub(super) output: u64,
    pub(super) thoughts: u64,
}

impl Reply {
    pub(super) fn of(content: Content, asked: &Asked, number: u64) -> Self {
        let mut reply = Self {
            number,
            thought: None,
            text: vec!["ok".to_owned()],
            calls: Vec::new(),
            picture: None,
            end: End::Stop,
            usage: Usage {
                input: 11,
                output: 7,
                ..Usage::default()
            },
        };
        match content {
            Content::Ok => {}
            Content::Echo => reply.text = words(&asked.text),
            Content::Count => {
                reply.text = words("one two three four five six seven eight nine ten");
            }
            Content::Tools => reply.use_tools(asked),
            Content::Run => reply.run(asked),
            Content::Json => {
                let schema = asked.schema.clone().unwrap_or_else(|| json!({}));
                reply.text = words(&example(&schema).to_string());
            }
            Content::Think => {
                reply.thought = Some("let me see");
                reply.usage.thoughts = 4;
            }
            Content::Image => {
                let image = asked.image.as_ref();
                let said = image.map(|(media, length)| format!("{media} of {length} bytes"));
                reply.text = words(&said.unwrap_or_else(|| "no image".to_owned()));
            }
            Content::Cached => (reply.usage.read, reply.usage.written) = (5, 3),
            Content::Filtered => (reply.text, reply.end) = (words("so far"), End::Filtered),
            Content::Length => (reply.text, reply.end) = (words("so far"), End::Length),
            Content::Aborted => (reply.text, reply.end) = (words("so far"), End::Aborted),
            Content::Silent => {
                let arguments = json!({"x": 1});
                let name = "f".to_owned();
                reply.calls = vec![Call { name, arguments }];
                reply.end = End::Silent;
            }
            Content::Picture => reply.picture = Some("iVBORw0KGgo="),
            Content::Refusal => (reply.text, reply.end) = (words("I cannot help"), End::Refusal),
        }
        reply
    }

    fn run(&mut self, asked: &Asked) {
        let call = command(asked).filter(|_| asked.results.is_empty());
        match call {
            Some(call) => (self.text, self.calls, self.end) = (Vec::new(), vec![call], End::Calls),
            None => self.text = words("done"),
        }
    }

    fn use_tools(&mut self, asked: &Asked) {
        if !asked.results.is_empty() || asked.tools.is_empty() {
            self.text = words(&format!("results: {}", asked.results.join("; ")));
            return;
        }
        let call = |(name, schema): &(String, Value)| Call {
            name: name.clone(),
            arguments: example(schema),
        };
        self.calls = asked.tools.iter().take(2).map(call).collect();
        (self.text, self.end) = (Vec::new(), End::Calls);
    }
}

/// The command in a text, and how a tool takes it.
fn command(asked: &Asked) -> Option<Call> {
    let (_, rest) = asked.text.split_once("RUN[")?;
    let (command, _) = rest.split_once(']')?;
    asked.tools.iter().find_map(|(name, schema)| {
        let field = ["command", "cmd"].into_iter().find(|field| {
            schema["properties"][field]["type"]
                .as_str()
                .is_some_and(is_string)
        })?;
        Some(Call {
            name: name.clone(),
            arguments: json!({ (field): command }),
        })
    })
}

/// Whether a type of a schema is that of text; Gemini writes it in capitals.
fn is_string(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("string")
}

/// Pieces of text that make up the whole.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// The two halves of a text.
pub(super) fn halves(text: &str) -> [&str; 2] {
    let mut middle = text.len() / 2;
    while !text.is_char_boundary(middle) {
        middle -= 1;
    }
    let (one, other) = text.split_at(middle);
    [one, other]
}

/// A value that a schema admits.
fn example(schema: &Value) -> Value {
    if let Some(choice) = schema.pointer("/enum/0").or_else(|| schema.get("const")) {
        return choice.clone();
    }
    let kind = schema.get("type").or_else(|| schema.pointer("/type/0"));
    let kind = kind.and_then(Value::as_str).unwrap_or("object");
    match kind.to_ascii_lowercase().as_str() {
        "string" => json!("x"),
        "integer" => json!(1),
        "number" => json!(1.5),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => json!([example(&schema["items"])]),
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let each = properties.into_iter().flatten();
            each.map(|(name, schema)| (name.clone(), example(schema)))
                .collect()
        }
    }
}
