//! From the tree to values, as [`crate::sections`] describes them; everything that differs is reported.

use crate::finding::{Findings, Place, Position, Problem, shorten};
use crate::format::{Format, NAME_PATTERN, Refusal};
use crate::near::near;
use crate::rule::{AllowRule, StatusRange};
use crate::sections::MANIFEST;
use crate::shape::{Case, Field, Kind, Need, Shape, Variant, Word};
use crate::yaml::{Content, Key, Node};
use mainstay_contract::{AgentName, Usd};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A value that is what its description asks for.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Word(&'static str),
    Integer(u64),
    Boolean(bool),
    Duration(Duration),
    Bytes(u64),
    Money(Usd),
    Statuses(StatusRange),
    Rule(AllowRule),
    List(Vec<Item>),
    Map(Vec<Entry>),
    Object(Object),
    Tagged(&'static str, Option<Box<Item>>),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// An entry under a name that the operator chose; no item where it was unusable.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) item: Option<Item>,
}

/// A map with known keys. What is absent without default, or unusable, is not in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    fields: BTreeMap<&'static str, Item>,
    written: BTreeMap<&'static str, Position>,
    /// Known keys that an unknown one perhaps meant: they are not called missing as well.
    meant: BTreeSet<&'static str>,
}

impl Object {
    pub(crate) fn get(&self, key: &str) -> Option<&Item> {
        self.fields.get(key)
    }

    /// Whether the file has the key, with whatever value.
    pub(crate) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Where the file has the key.
    pub(crate) fn key_at(&self, key: &str) -> Option<Position> {
        self.written.get(key).copied()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Option<u64> {
        match self.get(key)?.value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key)?.value {
            Value::Boolean(is_so) => Some(is_so),
            _ => None,
        }
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        match self.get(key)?.value {
            Value::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<u64> {
        match self.get(key)?.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn money(&self, key: &str) -> Option<Usd> {
        match self.get(key)?.value {
            Value::Money(amount) => Some(amount),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[Item]> {
        match &self.get(key)?.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let texts = self.list(key)?.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        Some(texts.collect())
    }

    pub(crate) fn map(&self, key: &str) -> Option<&[Entry]> {
        match &self.get(key)?.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn object(&self, key: &str) -> Option<&Object> {
        self.get(key)?.object()
    }
}

impl Item {
    pub(crate) fn object(&self) -> Option<&Object> {
        match &self.value {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// Decodes the whole file.
pub(crate) fn manifest(root: &Node, findings: &mut Findings) -> Option<Item> {
    let place = Place::START.at(root.at);
    Decoder { findings }.shape(root, &MANIFEST, &place, root.at)
}

/// What a scalar without quotes stands for.
enum Plain {
    Nothing,
    Boolean,
    Number,
    /// A boolean for some YAML readers and a text for others.
    Unclear,
    Text,
}

fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Nothing,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Plain::Boolean,
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    if text.len() <= 3 && matches!(lower.as_str(), "yes" | "no" | "on" | "off") {
        return Plain::Unclear;
    }
    let digits = lower.trim_start_matches(['+', '-']);
    let has_base = digits.starts_with("0x") || digits.starts_with("0o");
    let is_special = matches!(digits, ".inf" | ".nan");
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && text.len() <= 400
        && digits.parse::<f64>().is_ok();
    let is_based =
        has_base && digits.len() > 2 && digits[2..].chars().all(|c| c.is_ascii_hexdigit());
    if is_number || is_based || is_special {
        Plain::Number
    } else {
        Plain::Text
    }
}

/// What is there, for a message; without its content where that may be a secret.
fn found(node: &Node, is_secret: bool) -> String {
    match &node.content {
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a map".to_owned(),
        Content::Refused => "something unusable".to_owned(),
        Content::Scalar { text, is_plain } => {
            let what = match plain(text) {
                Plain::Nothing if *is_plain => return "nothing".to_owned(),
                Plain::Boolean if *is_plain => "the boolean",
                Plain::Number if *is_plain => "the number",
                _ => "the text",
            };
            if text.is_empty() {
                return "an empty text".to_owned();
            }
            if is_secret {
                return what.replacen("the", "a", 1);
            }
            let shown: String = shorten(text).chars().flat_map(char::escape_debug).collect();
            format!(
                "{what} `{}`",
                shown.replace("\\'", "'").replace("\\\"", "\"")
            )
        }
    }
}

struct Decoder<'f> {
    findings: &'f mut Findings,
}

impl Decoder<'_> {
    /// `owner` is where absence is reported: the key that the node stands under.
    fn value(
        &mut self,
        node: &Node,
        kind: &'static Kind,
        place: &Place,
        owner: Position,
    ) -> Option<Item> {
        if matches!(node.content, Content::Refused) {
            return None;
        }
        let value = match kind {
            Kind::Text => self.text(node, place),
            Kind::Format(format) => self.format(node, format, place),
            Kind::Integer { min, max } => self.integer(node, *min, *max, place),
            Kind::Boolean => self.boolean(node, place),
            Kind::Choice(words) => self.choice(node, words, place),
            Kind::List { of, min } => return self.list(node, of, *min, place),
            Kind::OneOrMany(of) => return self.one_or_many(node, of, place, owner),
            Kind::Map(of) => return self.map(node, of, place),
            Kind::Object(shape) => return self.shape(node, shape, place, owner),
            Kind::Tagged(variants) => return self.tagged(node, variants, place),
            Kind::Later => None,
        };
        let place = place.clone();
        value.map(|value| Item { place, value })
    }

    /// Reports a value of the wrong type.
    fn mistyped(&mut self, node: &Node, place: &Place, expected: &str, hint: Option<String>) {
        self.mistyped_secret(node, place, expected, hint, false);
    }

    fn mistyped_secret(
        &mut self,
        node: &Node,
        place: &Place,
        expected: &str,
        hint: Option<String>,
        is_secret: bool,
    ) {
        if self.findings.is_cut() && found(node, true) == "nothing" {
            return;
        }
        let found = found(node, is_secret);
        let message = format!("expected {expected}, found {found}");
        let expected = expected.to_owned();
        let mut finding = place.finding(Problem::Type { expected, found }, message);
        finding.hint = hint;
        self.findings.add(finding);
    }

    fn text(&mut self, node: &Node, place: &Place) -> Option<Value> {
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped(node, place, "a text", None);
            return None;
        };
        if *is_plain && !matches!(plain(text), Plain::Text) {
            self.mistyped(node, place, "a text", quotes(text));
            return None;
        }
        if text.trim().is_empty() {
            let expected = "a text".to_owned();
            let finding = place.finding(
                Problem::Value { expected },
                "expected a text, found an empty one",
            );
            self.findings
                .add(finding.hint("leave the key out, or fill it"));
            return None;
        }
        Some(Value::Text(text.clone()))
    }

    fn format(&mut self, node: &Node, format: &Format, place: &Place) -> Option<Value> {
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped_secret(node, place, format.expected, None, format.is_secret);
            return None;
        };
        let is_text = !*is_plain
            || match plain(text) {
                Plain::Text => true,
                Plain::Number => format.is_numeric,
                Plain::Nothing | Plain::Boolean | Plain::Unclear => false,
            };
        let read = (format.read)(text);
        match (is_text, read) {
            (true, Ok(value)) => Some(value),
            (true, Err(Refusal(hint))) => {
                let found = found(node, format.is_secret);
                let message = format!("expected {}, found {found}", format.expected);
                let expected = format.expected.to_owned();
                let mut finding = place.finding(Problem::Value { expected }, message);
                finding.hint = hint;
                self.findings.add(finding);
                None
            }
            (false, read) => {
                let hint = match read {
                    Err(Refusal(Some(hint))) if matches!(plain(text), Plain::Number) => Some(hint),
                    _ => quotes(text),
                };
                self.mistyped_secret(node, place, format.expected, hint, format.is_secret);
                None
            }
        }
    }

    fn integer(&mut self, node: &Node, min: u64, max: u64, place: &Place) -> Option<Value> {
        let expected = if min == max {
            format!("the number {min}")
        } else {
            format!("a whole number from {min} to {max}")
        };
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped(node, place, &expected, None);
            return None;
        };
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|_| is_digits);
        match number {
            Some(number) if *is_plain && (min..=max).contains(&number) => {
                Some(Value::Integer(number))
            }
            Some(_) if !*is_plain => {
                let hint = Some("leave the quotes out".to_owned());
                self.mistyped(node, place, &expected, hint);
                None
            }
            _ if *is_plain && matches!(plain(text), Plain::Number) => {
                let found = found(node, false);
                let message = format!("expected {expected}, found {found}");
                let mut finding = place.finding(Problem::Value { expected }, message);
                if !is_digits && !text.starts_with('-') {
                    finding.hint = Some("write it with decimal digits only".to_owned());
                }
                self.findings.add(finding);
                None
            }
            _ => {
                let has_digits = text.starts_with(|c: char| c.is_ascii_digit());
                let hint = has_digits.then(|| "write it with decimal digits only".to_owned());
                self.mistyped(node, place, &expected, hint);
                None
            }
        }
    }

    fn boolean(&mut self, node: &Node, place: &Place) -> Option<Value> {
        let hint = match &node.content {
            Content::Scalar { text, is_plain } => match (text.as_str(), *is_plain) {
                ("true", true) => return Some(Value::Boolean(true)),
                ("false", true) => return Some(Value::Boolean(false)),
                ("true" | "false", false) => Some("leave the quotes out".to_owned()),
                _ => match text.to_ascii_lowercase().as_str() {
                    "yes" | "y" | "on" | "true" => Some("write `true`".to_owned()),
                    "no" | "n" | "off" | "false" => Some("write `false`".to_owned()),
                    _ => None,
                },
            },
            _ => None,
        };
        self.mistyped(node, place, "`true` or `false`", hint);
        None
    }

    fn choice(&mut self, node: &Node, words: &'static [Word], place: &Place) -> Option<Value> {
        let supported = words.iter().filter(|word| !word.is_later);
        let names: Vec<String> = supported.map(|word| format!("`{}`", word.word)).collect();
        let expected = format!("one of {}", names.join(", "));
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped(node, place, &expected, None);
            return None;
        };
        if let Some(word) = words.iter().find(|word| word.word == text) {
            if word.is_later {
                self.later(place, word.word);
                return None;
            }
            return Some(Value::Word(word.word));
        }
        if *is_plain && matches!(plain(text), Plain::Nothing) {
            self.mistyped(node, place, &expected, None);
            return None;
        }
        let message = format!("expected {expected}, found {}", found(node, false));
        let finding = place.finding(Problem::Value { expected }, message);
        let near = near(text, words.iter().map(|word| word.word));
        self.findings.add(finding.near(near));
        None
    }

    fn later(&mut self, place: &Place, what: &str) {
        let message = format!("`{what}` is not yet supported");
        let what = what.to_owned();
        self.findings
            .add(place.finding(Problem::NotYetSupported { what }, message));
    }

    fn list(&mut self, node: &Node, of: &'static Kind, min: usize, place: &Place) -> Option<Item> {
        let Content::List(nodes) = &node.content else {
            let hint =
                matches!(node.content, Content::Scalar { .. } if found(node, true) != "nothing")
                    .then(|| "put it in brackets: `[…]`".to_owned());
            self.mistyped(node, place, "a list", hint);
            return None;
        };
        if nodes.len() < min && !self.findings.is_cut() {
            let expected = "a list that is not empty".to_owned();
            let message = format!("expected {expected}, found an empty one");
            self.findings
                .add(place.finding(Problem::Value { expected }, message));
        }
        let decode = |(index, node): (usize, &Node)| {
            self.value(node, of, &place.index(index, node.at), node.at)
        };
        let items = nodes.iter().enumerate().filter_map(decode).collect();
        Some(Item {
            place: place.clone(),
            value: Value::List(items),
        })
    }

    fn one_or_many(
        &mut self,
        node: &Node,
        of: &'static Kind,
        place: &Place,
        owner: Position,
    ) -> Option<Item> {
        if matches!(node.content, Content::List(_)) {
            return self.list(node, of, 0, place);
        }
        let only = self.value(node, of, place, owner)?;
        Some(Item {
            place: place.clone(),
            value: Value::List(vec![only]),
        })
    }

    fn map(&mut self, node: &Node, of: &'static Kind, place: &Place) -> Option<Item> {
        let Content::Map(nodes) = &node.content else {
            let expected = "a map of names";
            self.mistyped_secret(node, place, expected, None, place.field == "secrets");
            return None;
        };
        let mut entries = Vec::new();
        for (key, node) in nodes {
            let key_place = place.key(&key.text, key.at);
            let is_usable = self.name(key, &key_place);
            let item = self.value(node, of, &key_place.at(node.at), key.at);
            if is_usable {
                let name = key.text.clone();
                entries.push(Entry { name, item });
            }
        }
        Some(Item {
            place: place.clone(),
            value: Value::Map(entries),
        })
    }

    /// Whether a key can be a name.
    fn name(&mut self, key: &Key, place: &Place) -> bool {
        let expected = "a name".to_owned();
        if key.is_plain && !matches!(plain(&key.text), Plain::Text) {
            let message = "this name is a number, a boolean or nothing for YAML";
            let finding = place.finding(Problem::Value { expected }, message);
            self.findings.add(finding.hint("put it in quotes"));
            return false;
        }
        let Err(error) = AgentName::new(key.text.as_str()) else {
            return true;
        };
        let message = error.to_string().replacen("the agent id", "the name", 1);
        let finding = place.finding(Problem::Value { expected }, message);
        self.findings
            .add(finding.hint(format!("names match {NAME_PATTERN}")));
        false
    }

    fn shape(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        place: &Place,
        owner: Position,
    ) -> Option<Item> {
        let Content::Map(nodes) = &node.content else {
            let keys: Vec<String> = shape
                .fields
                .iter()
                .map(|field| format!("`{}`", field.key))
                .collect();
            let expected = if keys.len() > 4 {
                "a map".to_owned()
            } else {
                format!("a map with {}", keys.join(", "))
            };
            // A value in place of a reference may be the secret itself.
            let is_secret = shape.field("secret").is_some();
            self.mistyped_secret(node, place, &expected, None, is_secret);
            return None;
        };
        let mut object = Object::default();
        for (key, node) in nodes {
            self.field(key, node, shape, place, &mut object);
        }
        let owner = place.at(owner);
        for field in shape.fields {
            if !object.is_written(field.key) {
                self.absent(field, &owner, &mut object);
            }
        }
        for case in shape.cases {
            self.case(case, &owner, &object);
        }
        Some(Item {
            place: place.clone(),
            value: Value::Object(object),
        })
    }

    fn field(
        &mut self,
        key: &Key,
        node: &Node,
        shape: &'static Shape,
        place: &Place,
        object: &mut Object,
    ) {
        let key_place = place.key(&key.text, key.at);
        let Some(field) = shape.field(&key.text) else {
            if self.findings.is_full() {
                return self.findings.count();
            }
            let near = near(&key.text, shape.fields.iter().map(|field| field.key));
            let meant = near.first().and_then(|key| shape.field(key));
            object.meant.extend(meant.map(|field| field.key));
            let problem = Problem::UnknownKey {
                key: shorten(&key.text),
            };
            let mut finding = key_place.finding(problem, "unknown key").near(near);
            if key.text == "<<" {
                finding.hint =
                    Some("YAML merge keys are not supported; write the keys out".to_owned());
            } else if finding.near.is_empty() {
                let known = shape
                    .fields
                    .iter()
                    .filter(|field| !matches!(field.kind, Kind::Later));
                let known: Vec<String> = known.map(|field| format!("`{}`", field.key)).collect();
                finding.hint = Some(format!("known here: {}", known.join(", ")));
            }
            return self.findings.add(finding);
        };
        object.written.insert(field.key, key.at);
        if matches!(field.kind, Kind::Later) {
            return self.later(&key_place, field.key);
        }
        if let Some(item) = self.value(node, &field.kind, &key_place.at(node.at), key.at) {
            object.fields.insert(field.key, item);
        }
    }

    fn absent(&mut self, field: &'static Field, owner: &Place, object: &mut Object) {
        match field.need {
            Need::Optional => {}
            Need::Required if object.meant.contains(field.key) => {}
            Need::Required => self.missing(field.key, owner, ""),
            Need::Default(json) => {
                let place = owner.key(field.key, owner.at);
                if let Some(value) = default(&field.kind, json, &place) {
                    object.fields.insert(field.key, Item { place, value });
                }
            }
        }
    }

    fn missing(&mut self, key: &'static str, owner: &Place, why: &str) {
        if self.findings.is_cut() {
            return;
        }
        let message = format!("the key `{key}` is missing{why}");
        self.findings
            .add(owner.finding(Problem::MissingKey { key }, message));
    }

    fn case(&mut self, case: &'static Case, owner: &Place, object: &Object) {
        let Some(word) = object
            .text(case.key)
            .filter(|word| case.words.contains(word))
        else {
            return;
        };
        for &key in case.required {
            if !object.is_written(key) && !object.meant.contains(key) {
                self.missing(key, owner, &format!("; {} `{word}` needs it", case.key));
            }
        }
        for &key in case.refused {
            if let Some(at) = object.key_at(key) {
                let message = format!("`{key}` means nothing for {} `{word}`", case.key);
                let finding = owner.key(key, at).finding(Problem::Conflict, message);
                self.findings.add(finding.hint("leave it out"));
            }
        }
    }

    fn tagged(&mut self, node: &Node, variants: &'static [Variant], place: &Place) -> Option<Item> {
        let supported = variants
            .iter()
            .filter(|v| !matches!(v.options, Some(Kind::Later)));
        let spelling = |v: &Variant| match v.is_bare {
            true => format!("`{}`", v.word),
            false => format!("`{{{}: …}}`", v.word),
        };
        let spellings: Vec<String> = supported.map(spelling).collect();
        let expected = spellings.join(" or ");
        let (word, at, options) = match &node.content {
            Content::Scalar { text, is_plain }
                if !is_plain || matches!(plain(text), Plain::Text) =>
            {
                (text, node.at, None)
            }
            Content::Map(entries) if entries.len() == 1 => {
                let (key, options) = &entries[0];
                (&key.text, key.at, Some((key, options)))
            }
            _ => {
                let is_secret = !variants.iter().any(|variant| variant.is_bare);
                self.mistyped_secret(node, place, &expected, None, is_secret);
                return None;
            }
        };
        let place = place.at(at);
        let Some(variant) = variants.iter().find(|variant| variant.word == word) else {
            // Where no bare word is possible, the text may be the secret itself.
            let is_secret = options.is_none() && !variants.iter().any(|v| v.is_bare);
            if is_secret {
                self.mistyped_secret(node, &place, &expected, None, true);
                return None;
            }
            let near = near(word, variants.iter().map(|variant| variant.word));
            let message = format!(
                "expected {expected}, found `{}`",
                shorten(word).escape_debug()
            );
            let problem = Problem::Value { expected };
            self.findings
                .add(place.finding(problem, message).near(near));
            return None;
        };
        let value = self.variant(variant, options, &place)?;
        Some(Item { place, value })
    }

    fn variant(
        &mut self,
        variant: &'static Variant,
        options: Option<(&Key, &Node)>,
        place: &Place,
    ) -> Option<Value> {
        let word = variant.word;
        match (&variant.options, options) {
            (Some(Kind::Later), _) => {
                self.later(place, word);
                None
            }
            (_, None) if variant.is_bare => Some(Value::Tagged(word, None)),
            (Some(kind), Some((key, node))) => {
                let inner = place.key(word, node.at);
                let item = self.value(node, kind, &inner, key.at)?;
                Some(Value::Tagged(word, Some(Box::new(item))))
            }
            (None, Some(_)) => {
                let message = format!("`{word}` has no options");
                let finding = place.finding(Problem::Conflict, message);
                self.findings.add(finding.hint(format!("write `{word}`")));
                None
            }
            (_, None) => {
                let expected = format!("`{{{word}: …}}`");
                let message = format!("expected {expected}, found the bare word");
                self.findings
                    .add(place.finding(Problem::Value { expected }, message));
                None
            }
        }
    }
}

fn quotes(text: &str) -> Option<String> {
    match plain(text) {
        Plain::Nothing => None,
        Plain::Unclear => Some(format!(
            "some YAML readers take `{text}` for a boolean; put it in quotes: \"{text}\""
        )),
        Plain::Boolean | Plain::Number | Plain::Text => Some("put it in quotes".to_owned()),
    }
}

/// The value that stands in for an absent key.
fn default(kind: &'static Kind, json: &str, place: &Place) -> Option<Value> {
    let unquoted = json.trim_matches('"');
    match kind {
        Kind::Format(format) => (format.read)(unquoted).ok(),
        Kind::Integer { .. } => json.parse().ok().map(Value::Integer),
        Kind::Boolean => json.parse().ok().map(Value::Boolean),
        Kind::Choice(words) => {
            let word = words.iter().find(|word| word.word == unquoted)?;
            Some(Value::Word(word.word))
        }
        Kind::List { of, .. } | Kind::OneOrMany(of) => {
            let inner = json.trim_matches(['[', ']']);
            if inner.is_empty() {
                return Some(Value::List(Vec::new()));
            }
            let value = default(of, inner, place)?;
            let place = place.clone();
            Some(Value::List(vec![Item { place, value }]))
        }
        Kind::Map(_) => Some(Value::Map(Vec::new())),
        Kind::Object(shape) => {
            let mut object = Object::default();
            for field in shape.fields {
                if let Need::Default(json) = field.need {
                    let place = place.key(field.key, place.at);
                    let value = default(&field.kind, json, &place)?;
                    object.fields.insert(field.key, Item { place, value });
                }
            }
            Some(Value::Object(object))
        }
        Kind::Text | Kind::Tagged(_) | Kind::Later => None,
    }
}
