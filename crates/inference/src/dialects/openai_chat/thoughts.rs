//! Thoughts beside a message's content.

use super::super::openai::{Object, Path, array, object, optional_text};
use super::details;
use crate::{InvalidRequest, Part};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

const DETAILS: &str = "reasoning_details";

/// A thought with what has to come back unchanged: an entry of `reasoning_blocks`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Block<'a> {
    /// In deltas: which block it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    /// The thought, or a piece of it.
    #[serde(skip_serializing_if = "str::is_empty", borrow)]
    pub(super) text: Cow<'a, str>,
    /// Its proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
    /// Its sealed form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

impl<'a> Block<'a> {
    /// The block of a thought; absent for another part.
    pub(super) fn of(part: &'a Part) -> Option<Self> {
        let Part::Reasoning {
            text,
            signature,
            sealed,
            id,
        } = part
        else {
            return None;
        };
        Some(Self {
            index: None,
            text: Cow::Borrowed(text),
            signature: signature.clone(),
            sealed: sealed.clone(),
            id: id.clone(),
        })
    }

    /// Whether thoughts have to be written as blocks, because text alone would lose something of them.
    pub(super) fn are_needed(blocks: &[Self]) -> bool {
        blocks.len() > 1 || blocks.iter().any(Self::is_more_than_text)
    }

    /// Whether it says more than its text.
    pub(super) const fn is_more_than_text(&self) -> bool {
        self.signature.is_some() || self.sealed.is_some() || self.id.is_some()
    }

    /// The thought.
    pub(super) fn into_part(self) -> Part {
        Part::Reasoning {
            text: self.text.into_owned(),
            signature: self.signature,
            sealed: self.sealed,
            id: self.id,
        }
    }
}

/// A thought of text alone.
pub(super) fn plain(text: String) -> Part {
    Part::Reasoning {
        text,
        signature: None,
        sealed: None,
        id: None,
    }
}

/// Takes the thoughts out of a message of a caller.
///
/// # Errors
/// They are of another type.
pub(super) fn of_message(fields: &mut Object, at: &Path<'_>) -> Result<Vec<Part>, InvalidRequest> {
    let mut take = |key: &str| fields.get_mut(key).map(Value::take).unwrap_or_default();
    let text = optional_text(take("reasoning_content"), &at.key("reasoning_content"))?;
    // Where both stand there, they say the same.
    let other = optional_text(take("reasoning"), &at.key("reasoning"))?;
    let blocks = take("reasoning_blocks");
    if !blocks.is_null() {
        let at = at.key("reasoning_blocks");
        return array(blocks, &at)?
            .into_iter()
            .enumerate()
            .map(|(index, value)| block(value, &at.index(index)))
            .collect();
    }
    let text = text.or(other).filter(|text| !text.is_empty()).map(plain);
    let details = details::entries(fields.get(DETAILS).cloned());
    if !details.is_empty() {
        fields.shift_remove(DETAILS);
        return Ok(details::thoughts(details, text));
    }
    Ok(text.into_iter().collect())
}

fn block(value: Value, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut fields = object(value, at)?;
    let mut take = |key: &str| {
        let value = fields.get_mut(key).map(Value::take).unwrap_or_default();
        optional_text(value, &at.key(key))
    };
    Ok(Part::Reasoning {
        text: take("text")?.unwrap_or_default(),
        signature: take("signature")?,
        sealed: take("sealed")?,
        id: take("id")?,
    })
}
