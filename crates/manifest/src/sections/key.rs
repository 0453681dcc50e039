//! Who may use the gateway.

use super::limit::{BUDGET, KEY_LIMITS};
use super::word;
use crate::format::{NAME, SECRET_NAME};
use crate::shape::{Field, Kind, Shape, Word};

pub(super) static KEY: Shape = Shape {
    title: "key",
    doc: "A caller of the gateway.",
    fields: &[
        Field::required(
            "secret",
            Kind::Format(&SECRET_NAME),
            "The name under `secrets` of what the caller shows.",
        )
        .example("\"alice_key\""),
        Field::optional(
            "models",
            Kind::List {
                of: &Kind::Format(&NAME),
                min: 1,
            },
            "The models that it may use; all by default.",
        )
        .example(r#"["main"]"#),
        Field::optional(
            "agents",
            Kind::List {
                of: &Kind::Format(&NAME),
                min: 0,
            },
            "The agents that it may speak for; all by default.",
        )
        .example(r#"["coder"]"#),
        Field::default(
            "limits",
            Kind::Object(&KEY_LIMITS),
            "{}",
            "How much it may use in a minute and at once.",
        ),
        Field::optional(
            "budget",
            Kind::Object(&BUDGET),
            "The most money that it may spend.",
        ),
        Field::default(
            "priority",
            Kind::Choice(PRIORITIES),
            "\"normal\"",
            "Whose requests come first where requests wait.",
        ),
    ],
    cases: &[],
};

static PRIORITIES: &[Word] = &[
    word("high", "Before the others."),
    word("normal", "The usual."),
    word("low", "After the others; nobody waits for ever."),
];
