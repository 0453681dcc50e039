//! What a conversation ends with, on wires that know no empty messages.

use crate::{Message, Role, Unsupported};

/// Refuses a conversation whose last message of the user is empty, or that says nothing at all: the model would go on
/// with its own words, or have nothing to answer. `left` is the role of the last turn that has anything to say.
///
/// # Errors
/// The message is to blame, by its place.
pub(super) fn refuse_silence(messages: &[Message], left: Option<Role>) -> Result<(), Unsupported> {
    let is_said =
        |(_, message): &(usize, &Message)| matches!(message.role, Role::User | Role::Assistant);
    let last = messages.iter().enumerate().rfind(is_said);
    let Some((at, message)) = last else {
        return Ok(());
    };
    let is_lost = match message.role {
        Role::User => left != Some(Role::User),
        _ => left.is_none(),
    };
    if !is_lost {
        return Ok(());
    }
    Err(Unsupported {
        param: format!("messages[{at}].content"),
        message: "the model's provider takes no empty message at the end".to_owned(),
    })
}
