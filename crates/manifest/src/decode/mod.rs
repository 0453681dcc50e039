//! From the tree to values, as [`crate::sections`] describes them; everything that differs is reported.

mod either;
mod object;
mod scalar;

use crate::finding::{Findings, Place, Position, Problem, shorten};
use crate::format::NAME_PATTERN;
use crate::near::near;
use crate::sections::{MANIFEST, PROJECT};
use crate::shape::{Kind, Variant};
use crate::value::{Entry, Item, Value};
use crate::yaml::{Content, Key, Node};
use mainstay_contract::AgentName;
use scalar::{Plain, found, plain};

/// Decodes the whole file.
pub(crate) fn manifest(root: &Node, findings: &mut Findings) -> Option<Item> {
    let place = Place::START.at(root.at);
    Decoder { findings }.shape(root, &MANIFEST, &place, root.at)
}

/// Decodes the manifest of a project.
pub(crate) fn project(root: &Node, findings: &mut Findings) -> Option<Item> {
    let place = Place::START.at(root.at);
    Decoder { findings }.shape(root, &PROJECT, &place, root.at)
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
            Kind::Or(first, second) => return self.either(node, (first, second), place, owner),
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
