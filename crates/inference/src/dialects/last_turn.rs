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

#[cfg(test)]
mod tests {
    use crate::{Dialect, Message, Request, Role, WriteOptions};

    const USER: Role = Role::User;
    const ASSISTANT: Role = Role::Assistant;

    /// Messages by role and text, `_` for one that the dialect takes for empty, and which of them is refused.
    type Case = (&'static [(Role, &'static str)], Option<usize>);

    const CASES: [Case; 6] = [
        (&[(USER, "x"), (ASSISTANT, "hello"), (USER, "_")], Some(2)),
        (&[(Role::System, "s"), (USER, "_")], Some(1)),
        (&[(USER, "_")], Some(0)),
        (&[(ASSISTANT, "_")], Some(0)),
        (&[(USER, "x"), (USER, "_")], None),
        (
            &[(USER, "x"), (USER, "_"), (ASSISTANT, "a"), (USER, "y")],
            None,
        ),
    ];

    #[test]
    fn what_a_user_leaves_unsaid_is_no_last_word() {
        let empty = [
            (Dialect::Anthropic, ""),
            (Dialect::Anthropic, " \n"),
            (Dialect::Gemini, ""),
        ];
        for (dialect, empty) in empty {
            for (at, (messages, refused)) in CASES.into_iter().enumerate() {
                let messages = messages.iter().map(|(role, text)| match *text {
                    "_" => Message::text(*role, empty),
                    text => Message::text(*role, text),
                });
                let request = Request {
                    messages: messages.collect(),
                    ..Request::default()
                };
                let options = WriteOptions {
                    model: "m",
                    is_compatible: false,
                };
                let written = dialect.write_request(&request, &options);
                let param = refused.map(|at| format!("messages[{at}].content"));
                let found = written.err().map(|error| error.param);
                assert_eq!(found, param, "{dialect:?} {empty:?}, case {at}");
            }
        }
    }
}
