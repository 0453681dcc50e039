//! Content blocks, read. A block that says more than the neutral form can is kept whole.

use super::ids::{unseal, without_proof};
use crate::dialects::reading::read_at;
use crate::{Dialect, FileSource, InvalidRequest, Opaque, Part, ToolCall};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What `content` and `system` may be.
pub(super) enum Content<'a> {
    Text(String),
    Blocks(Vec<&'a RawValue>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: de::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content blocks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = list.next_element()? {
            blocks.push(block);
        }
        Ok(Content::Blocks(blocks))
    }
}

/// A mark for the prompt cache.
#[derive(Deserialize)]
pub(super) struct CacheControl {
    #[serde(rename = "type")]
    kind: Ephemeral,
    #[serde(default)]
    ttl: Option<String>,
}

#[derive(Deserialize)]
enum Ephemeral {
    #[serde(rename = "ephemeral")]
    Ephemeral,
}

impl CacheControl {
    /// How long, empty for the default.
    pub(super) fn time(self) -> String {
        let Ephemeral::Ephemeral = self.kind;
        self.ttl.unwrap_or_default()
    }
}

/// The fields of all blocks that have a neutral form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    tool_use_id: Option<String>,
    title: Option<String>,
    is_error: Option<bool>,
    cache_control: Option<CacheControl>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    caller: Option<&'a RawValue>,
}

const FIELDS: &[&str] = &[
    "type",
    "text",
    "thinking",
    "signature",
    "data",
    "id",
    "name",
    "tool_use_id",
    "title",
    "is_error",
    "cache_control",
    "input",
    "content",
    "source",
    "citations",
    "context",
    "caller",
];
const KINDS: &[&str] = &[
    "text",
    "image",
    "document",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
];

/// Reads what stands as content at `place`.
pub(super) fn read_content(content: Content<'_>, place: &str) -> Result<Vec<Part>, InvalidRequest> {
    match content {
        Content::Text(text) if text.is_empty() => Ok(Vec::new()),
        Content::Text(text) => Ok(vec![Part::text(text)]),
        Content::Blocks(blocks) => read_blocks(&blocks, place),
    }
}

fn read_blocks(blocks: &[&RawValue], place: &str) -> Result<Vec<Part>, InvalidRequest> {
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        read_block(block, &|| format!("{place}[{at}]"), &mut parts)?;
    }
    Ok(parts)
}

/// Reads one block, and adds it with the mark that may follow it. An unknown field that says something keeps
/// the block as it is; null says nothing.
fn read_block(
    raw: &RawValue,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part>,
) -> Result<(), InvalidRequest> {
    read_either(raw, place, parts, true)
}

/// Reads one block of an answer. Unknown fields are left out, as they are of a stream.
pub(super) fn read_answered(
    raw: &RawValue,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part>,
) -> Result<(), InvalidRequest> {
    read_either(raw, place, parts, false)
}

fn read_either(
    raw: &RawValue,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part>,
    is_kept_whole: bool,
) -> Result<(), InvalidRequest> {
    if let Ok(block) = serde_json::from_str::<Block<'_>>(raw.get()) {
        return add(block, raw.get(), place, parts);
    }
    let fields = fields_of(raw, &place())?;
    if is_kept_whole && fields.iter().any(says_more) {
        parts.push(of_value(read_at(raw.get().as_bytes(), &place())?));
        return Ok(());
    }
    read_known(raw, fields, place, parts)
}

/// What is understood of a block that says more, and the names of the fields that are not; nothing where the
/// block has no neutral form.
pub(crate) fn understood(block: &Value) -> Option<(Vec<Part>, Vec<String>)> {
    let raw = serde_json::value::to_raw_value(block).ok()?;
    let mut parts = Vec::new();
    read_answered(&raw, &String::new, &mut parts).ok()?;
    let more = fields_of(&raw, "").ok()?;
    let more = more
        .into_iter()
        .filter(|(name, value)| says_more((name, value)));
    let is_neutral = !parts.iter().any(|part| matches!(part, Part::Opaque(_)));
    is_neutral.then(|| (parts, more.map(|(name, _)| name).collect()))
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn fields_of<'a>(raw: &'a RawValue, place: &str) -> Result<Fields<'a>, InvalidRequest> {
    let fields: Fields<'_> = read_at(raw.get().as_bytes(), place)?;
    let wrong = |message: &str| InvalidRequest::at(format!("{place}.type"), message);
    match fields.get("type") {
        Some(kind) if kind.get().starts_with('"') => Ok(fields),
        Some(_) => Err(wrong("expected a string")),
        None => Err(wrong("the field is required")),
    }
}

fn is_known(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// Whether a field says what the neutral form cannot.
fn says_more((name, value): (&String, &&RawValue)) -> bool {
    !is_known(name) && value.get() != "null"
}

/// Reads the known fields of a block.
fn read_known(
    raw: &RawValue,
    mut fields: Fields<'_>,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part>,
) -> Result<(), InvalidRequest> {
    let kind = fields.get("type").map(|kind| kind.get().trim_matches('"'));
    if !kind.is_some_and(|kind| KINDS.contains(&kind)) {
        parts.push(of_value(read_at(raw.get().as_bytes(), &place())?));
        return Ok(());
    }
    let count = fields.len();
    fields.retain(|name, _| is_known(name));
    let json = match serde_json::to_string(&fields) {
        Ok(json) if fields.len() < count => Cow::Owned(json),
        _ => Cow::Borrowed(raw.get()),
    };
    add(read_at(json.as_bytes(), &place())?, &json, place, parts)
}

fn add(
    mut block: Block<'_>,
    json: &str,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part>,
) -> Result<(), InvalidRequest> {
    let cache = block.cache_control.take().map(CacheControl::time);
    let part = known(block, place)?;
    match (part, cache) {
        (None, _) => parts.push(of_value(read_at(json.as_bytes(), &place())?)),
        (Some(Part::Text { text, .. }), cache) => parts.push(Part::Text { text, cache }),
        (Some(part), cache) => {
            parts.push(part);
            parts.extend(cache.map(|time| Part::CacheMark { time }));
        }
    }
    Ok(())
}

fn of_value(value: Value) -> Part {
    Part::Opaque(Opaque {
        dialect: Dialect::Anthropic,
        value,
    })
}

/// The neutral form; nothing where there is none.
fn known(block: Block<'_>, place: &dyn Fn() -> String) -> Result<Option<Part>, InvalidRequest> {
    let lacks = |name: &str| {
        let field = format!("{}.{name}", place());
        InvalidRequest::at(field, "the field is required")
    };
    let has_citations = block.citations.is_some_and(asks_or_has);
    let is_plain = !has_citations && block.context.is_none();
    let is_called_directly = block.caller.is_none_or(is_direct);
    Ok(match block.kind.as_ref() {
        "text" if is_plain => Some(Part::text(block.text.ok_or_else(|| lacks("text"))?)),
        "image" => image(block.source.ok_or_else(|| lacks("source"))?, place)?,
        "document" if is_plain => {
            let source = block.source.ok_or_else(|| lacks("source"))?;
            document(source, block.title, place)?
        }
        "thinking" => {
            let text = block.thinking.ok_or_else(|| lacks("thinking"))?;
            Some(thought(text, block.signature))
        }
        "redacted_thinking" => {
            let data = block.data.ok_or_else(|| lacks("data"))?;
            let (id, sealed) = unseal(&data).unwrap_or((None, Some(data)));
            Some(Part::Reasoning {
                text: String::new(),
                signature: None,
                sealed,
                id,
            })
        }
        "tool_use" if is_called_directly => {
            let (id, signature) = without_proof(block.id.ok_or_else(|| lacks("id"))?);
            let input = block.input.ok_or_else(|| lacks("input"))?.get();
            if !input.starts_with('{') {
                let field = format!("{}.input", place());
                return Err(InvalidRequest::at(field, "expected an object"));
            }
            Some(Part::ToolCall(ToolCall {
                id,
                name: block.name.ok_or_else(|| lacks("name"))?,
                arguments: input.to_owned(),
                signature,
            }))
        }
        "tool_result" => {
            let id = block.tool_use_id.ok_or_else(|| lacks("tool_use_id"))?;
            Some(Part::ToolResult {
                call_id: without_proof(id).0,
                content: result_content(block.content, place)?,
                is_error: block.is_error.unwrap_or(false),
            })
        }
        _ => None,
    })
}

/// Whether a text has citations, or a document is to be cited.
fn asks_or_has(citations: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        enabled: Option<bool>,
    }
    let json = citations.get();
    let is_off = |wish: Wish| wish.enabled != Some(true);
    json != "[]" && !serde_json::from_str::<Wish>(json).is_ok_and(is_off)
}

fn thought(text: String, signature: Option<String>) -> Part {
    let signature = signature.filter(|signature| !signature.is_empty());
    let foreign = signature.as_deref().and_then(unseal);
    let signature = signature.filter(|_| foreign.is_none());
    let (id, sealed) = foreign.unwrap_or_default();
    Part::Reasoning {
        text,
        signature,
        sealed,
        id,
    }
}

/// Whether the model itself calls the tool, not code that it runs.
pub(super) fn is_direct(caller: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Caller<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Caller<'_>>(caller.get()).is_ok_and(|caller| caller.kind == "direct")
}

fn result_content(
    content: Option<&RawValue>,
    place: &dyn Fn() -> String,
) -> Result<Vec<Part>, InvalidRequest> {
    let Some(content) = content else {
        return Ok(Vec::new());
    };
    match serde_json::from_str(content.get()) {
        Ok(Content::Text(text)) if text.is_empty() => Ok(Vec::new()),
        Ok(Content::Text(text)) => Ok(vec![Part::text(text)]),
        Ok(Content::Blocks(blocks)) => read_blocks(&blocks, &format!("{}.content", place())),
        Err(_) => {
            let place = format!("{}.content", place());
            let content: Content<'_> = read_at(content.get().as_bytes(), &place)?;
            read_content(content, &place)
        }
    }
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
    file_id: Option<String>,
}

impl Source<'_> {
    /// The place of the bytes; nothing where only Anthropic knows such places.
    fn file(self, place: &str) -> Result<Option<FileSource>, InvalidRequest> {
        let need = |field: Option<String>, name: &str| {
            let lacks = || InvalidRequest::at(format!("{place}.{name}"), "the field is required");
            field.ok_or_else(lacks)
        };
        Ok(match self.kind.as_ref() {
            "base64" => Some(FileSource::Base64 {
                media_type: need(self.media_type, "media_type")?,
                data: need(self.data, "data")?,
            }),
            "text" => Some(FileSource::Base64 {
                media_type: "text/plain".to_owned(),
                data: STANDARD.encode(need(self.data, "data")?),
            }),
            "url" => Some(FileSource::Url(need(self.url, "url")?)),
            "file" => Some(FileSource::Id(need(self.file_id, "file_id")?)),
            _ => None,
        })
    }
}

fn file_source(
    raw: &RawValue,
    place: &dyn Fn() -> String,
) -> Result<Option<FileSource>, InvalidRequest> {
    let place = format!("{}.source", place());
    read_at::<Source<'_>>(raw.get().as_bytes(), &place)?.file(&place)
}

fn image(raw: &RawValue, place: &dyn Fn() -> String) -> Result<Option<Part>, InvalidRequest> {
    let source = file_source(raw, place)?;
    Ok(source.map(|source| Part::Image {
        source,
        detail: None,
    }))
}

fn document(
    raw: &RawValue,
    name: Option<String>,
    place: &dyn Fn() -> String,
) -> Result<Option<Part>, InvalidRequest> {
    let source = file_source(raw, place)?;
    Ok(source.map(|source| Part::File { source, name }))
}
