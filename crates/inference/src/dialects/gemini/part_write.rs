//! Parts, written.

use crate::dialects::arguments::Input;
use crate::dialects::foreign::foreign_part;
use crate::dialects::{proof, url_base64};
use crate::{Dialect, FileSource, Part, ToolCall, Unsupported};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// The text with which Google's documentation waives the proof of a call from another model.
const WAIVER: &str = "skip_thought_signature_validator";

/// A part on the wire.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Written<'a> {
    Said(Said<'a>),
    Opaque(&'a Value),
}

impl Written<'_> {
    pub(super) const fn is_result(&self) -> bool {
        matches!(
            self,
            Self::Said(Said {
                what: What::FunctionResponse(_),
                ..
            })
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said<'a> {
    #[serde(flatten)]
    what: What<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum What<'a> {
    Text(&'a str),
    FunctionCall(FunctionCall<'a>),
    FunctionResponse(FunctionResponse<'a>),
    #[serde(untagged)]
    Bytes(Bytes<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Bytes<'a> {
    #[serde(rename_all = "camelCase")]
    InlineData { mime_type: String, data: &'a str },
    #[serde(rename_all = "camelCase")]
    FileData {
        file_uri: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<&'static str>,
    },
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    args: Input<'a>,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    response: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Bytes<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Output(String),
    Error(String),
}

/// Writes parts; remembers the names of calls for their results.
pub(super) struct Parts<'a, 'd> {
    pub(super) dropped: &'d mut Vec<String>,
    pub(super) names: HashMap<&'a str, &'a str>,
    /// Whether the model insists on proofs.
    pub(super) needs_proofs: bool,
}

impl<'a> Parts<'a, '_> {
    /// Adds one part, which stands at `place` in the request.
    pub(super) fn add(
        &mut self,
        part: &'a Part,
        place: &dyn Fn() -> String,
        written: &mut Vec<Written<'a>>,
    ) -> Result<(), Unsupported> {
        let mut is_thought = false;
        let mut own_proof = None;
        let what = match part {
            Part::Text { text, .. } | Part::Refusal { text } if text.is_empty() => return Ok(()),
            Part::Text { text, .. } | Part::Refusal { text } => What::Text(text),
            Part::Image { source, .. } => What::Bytes(bytes(source, place)?),
            Part::File { source, name } => {
                if name.is_some() {
                    self.dropped.push(format!("{}.name", place()));
                }
                What::Bytes(bytes(source, place)?)
            }
            Part::Audio { data, format } => What::Bytes(Bytes::InlineData {
                mime_type: format!("audio/{format}"),
                data,
            }),
            Part::Reasoning {
                text, signature, ..
            } => {
                own_proof = signature.as_deref().and_then(proof::to_gemini);
                if text.is_empty() && own_proof.is_none() {
                    self.dropped.push(place());
                    return Ok(());
                }
                is_thought = !text.is_empty();
                What::Text(text)
            }
            Part::ToolCall(call) => {
                own_proof = self.proof(call, written);
                let _ = self.names.insert(&call.id, &call.name);
                What::FunctionCall(FunctionCall {
                    id: &call.id,
                    name: &call.name,
                    args: Input::of(&call.arguments),
                })
            }
            Part::ToolResult {
                call_id,
                content,
                is_error,
            } => What::FunctionResponse(self.result(call_id, content, *is_error, place)?),
            Part::CacheMark { .. } => return Ok(()),
            Part::Opaque(opaque) if opaque.dialect == Dialect::Gemini => {
                written.push(Written::Opaque(&opaque.value));
                return Ok(());
            }
            Part::Opaque(opaque) => match foreign_part(opaque, &place(), self.dropped)? {
                Some(text) if !text.is_empty() => What::Text(text),
                _ => return Ok(()),
            },
        };
        written.push(Written::Said(Said {
            what,
            thought: is_thought,
            thought_signature: own_proof,
        }));
        Ok(())
    }

    /// The proof of a call. Only the first call of a turn has one.
    fn proof(&self, call: &'a ToolCall, written: &[Written<'a>]) -> Option<&'a str> {
        let own = call.signature.as_deref().and_then(proof::to_gemini);
        let is_call = |part: &Written<'_>| matches!(part, Written::Said(said) if matches!(said.what, What::FunctionCall(_)));
        let is_waived = self.needs_proofs && !written.iter().any(is_call);
        own.or_else(|| is_waived.then_some(WAIVER))
    }

    fn result(
        &mut self,
        call_id: &'a str,
        content: &'a [Part],
        is_error: bool,
        place: &dyn Fn() -> String,
    ) -> Result<FunctionResponse<'a>, Unsupported> {
        let name = self.names.get(call_id).copied();
        let name = name.ok_or_else(|| cannot(place, "the result answers no call"))?;
        let mut texts: Vec<&str> = Vec::new();
        let mut parts = Vec::new();
        for (at, part) in content.iter().enumerate() {
            match part {
                Part::Text { text, .. } | Part::Refusal { text } => texts.push(text),
                Part::Image { source, .. } | Part::File { source, .. } => {
                    parts.push(bytes(source, place)?);
                }
                Part::CacheMark { .. } => {}
                Part::Opaque(opaque) => {
                    let param = format!("{}.content[{at}]", place());
                    texts.extend(foreign_part(opaque, &param, self.dropped)?);
                }
                _ => {
                    let place = || format!("{}.content[{at}]", place());
                    return Err(cannot(&place, "a result is text, images and documents"));
                }
            }
        }
        let text = texts.join("\n");
        Ok(FunctionResponse {
            id: call_id,
            name,
            response: if is_error {
                Outcome::Error(text)
            } else {
                Outcome::Output(text)
            },
            parts,
        })
    }
}

pub(super) fn cannot(place: &dyn Fn() -> String, message: &str) -> Unsupported {
    Unsupported {
        param: place(),
        message: message.to_owned(),
    }
}

fn bytes<'a>(source: &'a FileSource, place: &dyn Fn() -> String) -> Result<Bytes<'a>, Unsupported> {
    Ok(match source {
        FileSource::Base64 { media_type, data } => Bytes::InlineData {
            mime_type: media_type.clone(),
            data,
        },
        FileSource::Url(url) => match url_base64(url) {
            Some((media_type, data)) => Bytes::InlineData {
                mime_type: media_type.to_owned(),
                data,
            },
            None if url.starts_with("data:") => {
                return Err(cannot(place, "a `data:` address has to be base64"));
            }
            None => Bytes::FileData {
                file_uri: url,
                mime_type: media_type_of(url),
            },
        },
        FileSource::Id(id) => Bytes::FileData {
            file_uri: id,
            mime_type: media_type_of(id),
        },
    })
}

/// What the name of a file says of its type; Google wants to be told.
fn media_type_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
