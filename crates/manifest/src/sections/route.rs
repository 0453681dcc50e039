//! Which model answers in the end: pools, fallbacks, hedges and kept answers.

use super::word;
use crate::format::{DURATION, NAME};
use crate::shape::{Field, Kind, Shape, Word};

/// Models with equal shares, or each with its own.
pub(super) const POOL: Kind = Kind::Or(
    &Kind::List {
        of: &Kind::Format(&NAME),
        min: 1,
    },
    &Kind::Map(&Kind::Integer {
        min: 0,
        max: 1_000_000,
    }),
);

pub(super) const FALLBACK: Kind = Kind::List {
    of: &Kind::Or(&Kind::Format(&NAME), &Kind::Object(&FALLBACK_TO)),
    min: 0,
};

static FALLBACK_TO: Shape = Shape {
    title: "fallback",
    doc: "A model that answers after certain failures.",
    fields: &[
        Field::required("to", Kind::Format(&NAME), "Its name under `models`.")
            .example("\"backup\""),
        Field::default(
            "on",
            Kind::List {
                of: &Kind::Choice(FAILURES),
                min: 1,
            },
            r#"["limited", "failed", "context_length", "access"]"#,
            "After which failures.",
        ),
    ],
    cases: &[],
};

static FAILURES: &[Word] = &[
    word(
        "limited",
        "A limit of the provider or of our own, overload, or an open breaker.",
    ),
    word(
        "failed",
        "The provider failed, did not answer in time, could not be reached, or has no word for the request.",
    ),
    word(
        "context_length",
        "The conversation is too long for the model.",
    ),
    word("content_filtered", "The content was refused."),
    word(
        "access",
        "The key or the account was refused, or its quota is used up.",
    ),
    word("budget", "The model's budget is used up."),
];

pub(super) static HEDGE: Shape = Shape {
    title: "hedge",
    doc: "A second call beside a slow one.",
    fields: &[Field::required(
        "after",
        Kind::Format(&DURATION),
        "After so long without a token.",
    )
    .example("\"2s\"")],
    cases: &[],
};

pub(super) static CACHE: Shape = Shape {
    title: "response cache",
    doc: "Answers that are kept, for requests that are the same to the byte.",
    fields: &[Field::required(
        "ttl",
        Kind::Format(&DURATION),
        "How long an answer is kept.",
    )
    .example("\"10m\"")],
    cases: &[],
};
