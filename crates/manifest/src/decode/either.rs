//! Values that may be written in two ways, of which the second is a map.

use super::Decoder;
use crate::finding::{Place, Position};
use crate::shape::Kind;
use crate::value::Item;
use crate::yaml::{Content, Node};

impl Decoder<'_> {
    pub(super) fn either(
        &mut self,
        node: &Node,
        (first, second): (&'static Kind, &'static Kind),
        place: &Place,
        owner: Position,
    ) -> Option<Item> {
        let is_first = match &node.content {
            Content::Map(_) => return self.value(node, second, place, owner),
            Content::List(_) => matches!(first, Kind::List { .. }),
            _ => !matches!(first, Kind::List { .. }),
        };
        if is_first {
            return self.value(node, first, place, owner);
        }
        let expected = format!("{} or {}", described(first), described(second));
        self.mistyped_secret(node, place, &expected, None, is_secret(first));
        None
    }
}

fn described(kind: &Kind) -> String {
    match kind {
        Kind::Format(format) => format.expected.to_owned(),
        Kind::List { .. } => "a list".to_owned(),
        Kind::Map(_) => "a map of names".to_owned(),
        Kind::Object(shape) => {
            let keys = shape.fields.iter().map(|field| format!("`{}`", field.key));
            format!("a map with {}", keys.collect::<Vec<_>>().join(", "))
        }
        _ => "a text".to_owned(),
    }
}

const fn is_secret(kind: &Kind) -> bool {
    matches!(kind, Kind::Format(format) if format.is_secret)
}
