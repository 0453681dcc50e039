//! Text in what a provider sends, borrowed where it holds no escapes.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;

/// Text. (`Cow` itself is always copied inside of an `Option`.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Words)
    }
}

/// The content of an answer: text, or (of some servers) an array of pieces with texts and thoughts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content<'a> {
    /// What is said.
    pub(crate) text: Cow<'a, str>,
    /// What is thought.
    pub(crate) thought: String,
    /// What is drawn: pieces with an `image_url`, as they came.
    pub(crate) images: Vec<Value>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Content<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("text or an array of pieces")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content {
                    text: Cow::Borrowed(text),
                    ..Content::default()
                })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content {
                    text: Cow::Owned(text.to_owned()),
                    ..Content::default()
                })
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Content::default())
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut pieces: S) -> Result<Self::Value, S::Error> {
                let mut whole = Content::default();
                while let Some(piece) = pieces.next_element::<Piece>()? {
                    whole.text.to_mut().push_str(&piece.text);
                    whole.thought.push_str(&piece.thought);
                    let image = |url| json!({"type": "image_url", "image_url": url});
                    whole.images.extend(piece.image_url.map(image));
                }
                Ok(whole)
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

/// `{"type": "text", "text": "…"}` or `{"type": "thinking", "thinking": …}`.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    thought: String,
    image_url: Option<Value>,
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Piece;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a piece of content")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<Self::Value, M::Error> {
                let mut piece = Piece::default();
                while let Some(key) = fields.next_key::<Text<'de>>()? {
                    match key.as_str() {
                        "text" => piece.text = fields.next_value::<Content<'de>>()?.text.into(),
                        "thinking" => {
                            piece.thought = fields.next_value::<Content<'de>>()?.text.into();
                        }
                        "image_url" => piece.image_url = Some(fields.next_value()?),
                        _ => drop(fields.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(piece)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_unless_it_has_escapes() {
        let plain: Option<Text<'_>> = serde_json::from_str("\"plain\"").unwrap();
        assert!(matches!(plain, Some(Text(Cow::Borrowed("plain")))));
        let escaped: Text<'_> = serde_json::from_str("\"a\\nb\"").unwrap();
        assert_eq!(escaped.as_str(), "a\nb");
    }

    #[test]
    fn content_in_pieces_keeps_thoughts_and_pictures_apart() {
        let content: Content<'_> = serde_json::from_str(
            r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
                {"type":"text","text":"yes"},{"type":"image_url","image_url":{"url":"u"}}]"#,
        )
        .unwrap();
        assert_eq!(content.text, "yes");
        assert_eq!(content.thought, "hm");
        assert_eq!(content.images[0]["image_url"]["url"], "u");
    }
}
