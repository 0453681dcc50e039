//! YAML and JSON lines as one small tree that knows its places.

use super::{ScriptError, ScriptPosition};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// The most levels of nesting.
pub(super) const DEPTH_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: ScriptPosition,
    pub(super) value: NodeValue,
}

#[derive(Debug)]
pub(super) enum NodeValue {
    Plain(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: ScriptPosition,
    pub(super) key: String,
    pub(super) value: Node,
}

impl Node {
    /// The same as JSON.
    pub(super) fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Plain(value) => value.clone(),
            NodeValue::List(items) => items.iter().map(Self::to_json).collect(),
            NodeValue::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

/// Reads one YAML document; `None` where there is none.
pub(super) fn yaml(script: &str, text: &str) -> Result<Option<Node>, ScriptError> {
    let mut reader = Reader {
        script,
        parser: Parser::new_from_str(text),
    };
    let mut root = None;
    loop {
        let (event, at) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(root),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if root.is_some() => return Err(syntax(at, "a script is one document")),
            event => root = Some(reader.node(event, at, 0)?),
        }
    }
}

struct Reader<'a> {
    script: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, ScriptPosition), ScriptError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.at(&span.start))),
            Some(Err(error)) => Err(syntax(self.at(error.marker()), error.info())),
            None => Ok((Event::StreamEnd, self.at(&Marker::default()))),
        }
    }

    fn at(&self, mark: &Marker) -> ScriptPosition {
        ScriptPosition {
            script: self.script.to_owned(),
            line: mark.line(),
            column: mark.col() + 1,
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        at: ScriptPosition,
        depth: usize,
    ) -> Result<Node, ScriptError> {
        if depth >= DEPTH_MAX {
            return Err(ScriptError::TooDeep {
                at,
                depth_max: DEPTH_MAX,
            });
        }
        let value = match event {
            Event::Alias(_) => return Err(syntax(at, "scripts have no aliases")),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return Err(syntax(at, "scripts have no anchors"));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(syntax(at, "scripts have no tags"));
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => NodeValue::Plain(plain(&text)),
            Event::Scalar(text, ..) => NodeValue::Plain(Value::String(text.into_owned())),
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            _ => return Err(syntax(at, "the document ends too early")),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<NodeValue, ScriptError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(NodeValue::List(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<NodeValue, ScriptError> {
        let mut entries = Vec::new();
        let mut keys = std::collections::HashSet::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(NodeValue::Map(entries)),
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                _ => return Err(syntax(at, "a key must be plain text")),
            };
            if !keys.insert(key.clone()) {
                return Err(ScriptError::DuplicateKey { at, key });
            }
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            entries.push(Entry { at, key, value });
        }
    }
}

/// A plain scalar in the core schema of YAML 1.2.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let unsigned = text.parse::<u64>().ok().map(Number::from);
    let number = unsigned
        .or_else(|| text.parse::<i64>().ok().map(Number::from))
        .or_else(|| Number::from_f64(text.parse().ok()?));
    match number.filter(|_| is_number) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

/// Reads one line of JSON. Errors of its content name the line and its first column.
pub(super) fn json_line(script: &str, line: usize, text: &str) -> Result<Node, ScriptError> {
    let at = |column: usize| ScriptPosition {
        script: script.to_owned(),
        line,
        column,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = tree_of_json(&mut reader, script, line)?;
    reader
        .end()
        .map_err(|error| syntax(at(error.column().max(1)), "more than one value on a line"))?;
    Ok(node)
}

fn tree_of_json(
    reader: &mut serde_json::Deserializer<serde_json::de::StrRead<'_>>,
    script: &str,
    line: usize,
) -> Result<Node, ScriptError> {
    use serde::de::DeserializeSeed as _;
    let place = ScriptPosition {
        script: script.to_owned(),
        line,
        column: 1,
    };
    let seed = JsonSeed {
        at: &place,
        depth: 0,
    };
    seed.deserialize(reader).map_err(|error| {
        let place = ScriptPosition {
            column: error.column().max(1),
            ..place.clone()
        };
        let said = error.to_string();
        let reason = said
            .rsplit_once(" at line ")
            .map_or(said.as_str(), |(reason, _)| reason);
        match (reason.strip_prefix(DUPLICATE), reason) {
            (Some(key), _) => ScriptError::DuplicateKey {
                at: place,
                key: key.to_owned(),
            },
            (None, TOO_DEEP) => ScriptError::TooDeep {
                at: place,
                depth_max: DEPTH_MAX,
            },
            _ => syntax(place, reason),
        }
    })
}

const DUPLICATE: &str = "duplicate key ";
const TOO_DEEP: &str = "too deep";

struct JsonSeed<'a> {
    at: &'a ScriptPosition,
    depth: usize,
}

impl<'de> serde::de::DeserializeSeed<'de> for JsonSeed<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(serde::de::Error::custom(TOO_DEEP));
        }
        deserializer.deserialize_any(self)
    }
}

impl JsonSeed<'_> {
    fn inner(&self) -> JsonSeed<'_> {
        JsonSeed {
            at: self.at,
            depth: self.depth + 1,
        }
    }

    fn plain<E>(&self, value: Value) -> Result<Node, E> {
        Ok(self.of(NodeValue::Plain(value)))
    }

    fn of(&self, value: NodeValue) -> Node {
        Node {
            at: self.at.clone(),
            value,
        }
    }
}

impl<'de> serde::de::Visitor<'de> for JsonSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        self.plain(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        self.plain(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        self.plain(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        self.plain(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        self.plain(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        self.plain(value.into())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.inner())? {
            items.push(item);
        }
        Ok(self.of(NodeValue::List(items)))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(serde::de::Error::custom(format!("{DUPLICATE}{key}")));
            }
            let value = map.next_value_seed(self.inner())?;
            entries.push(Entry {
                at: self.at.clone(),
                key,
                value,
            });
        }
        Ok(self.of(NodeValue::Map(entries)))
    }
}

fn syntax(at: ScriptPosition, reason: &str) -> ScriptError {
    ScriptError::Syntax {
        at,
        reason: reason.to_owned(),
    }
}
