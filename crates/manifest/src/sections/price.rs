//! What models cost.

use super::word;
use crate::format::MONEY;
use crate::shape::{Case, Field, Kind, Shape, When, Word};

pub(super) static PRICE: Shape = Shape {
    title: "price",
    doc: "What a million tokens cost, in US dollars, or that they cost nothing.",
    fields: &[
        Field::optional("free", Kind::Boolean, "`true` where calls cost nothing.").example("true"),
        Field::optional("input_per_million", Kind::Format(&MONEY), "Tokens sent.").example("0.4"),
        Field::optional(
            "output_per_million",
            Kind::Format(&MONEY),
            "Tokens received.",
        )
        .example("1.6"),
        Field::optional(
            "cache_read_per_million",
            Kind::Format(&MONEY),
            "Tokens sent that the provider had kept; otherwise as those sent.",
        )
        .example("0.1"),
        Field::optional(
            "cache_write_per_million",
            Kind::Format(&MONEY),
            "Tokens sent that the provider keeps; otherwise as those sent.",
        )
        .example("0.5"),
    ],
    cases: &[
        Case {
            when: When::Absent("free"),
            required: &["input_per_million", "output_per_million"],
            refused: &[],
        },
        Case {
            when: When::Present("free"),
            required: &[],
            refused: &[
                "input_per_million",
                "output_per_million",
                "cache_read_per_million",
                "cache_write_per_million",
            ],
        },
    ],
};

pub(super) static IF_PRICE_UNKNOWN: &[Word] = &[
    word("refuse", "The request is refused."),
    word("allow", "The request passes, and counts as free."),
];
