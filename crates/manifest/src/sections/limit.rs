//! What holds calls back: limits, breakers, budgets, timeouts and repetition.

use super::word;
use crate::format::{DURATION, MONEY};
use crate::shape::{Field, Kind, Shape, Word};

const RATE: Kind = Kind::Integer {
    min: 1,
    max: 1_000_000_000_000,
};
const PLACES: Kind = Kind::Integer {
    min: 1,
    max: 1_000_000,
};

const REQUESTS: Field = Field::optional("requests_per_minute", RATE, "Requests in a minute.");
const TOKENS: Field = Field::optional(
    "tokens_per_minute",
    RATE,
    "Tokens in a minute, sent and received.",
);
const CONCURRENCY: Field = Field::optional("concurrency", PLACES, "Requests at once.");

pub(super) static LIMITS: Shape = Shape {
    title: "model limits",
    doc: "How much of a model is used. A minute's allotment may be used at once after a pause.",
    fields: &[
        REQUESTS,
        TOKENS,
        CONCURRENCY,
        Field::default(
            "queue",
            Kind::Integer {
                min: 0,
                max: 1_000_000,
            },
            "32",
            "How many may wait for a limit to pass; others are turned away.",
        ),
        Field::default(
            "queue_timeout",
            Kind::Format(&DURATION),
            "\"30s\"",
            "How long they may wait.",
        ),
    ],
    cases: &[],
};

pub(super) static KEY_LIMITS: Shape = Shape {
    title: "key limits",
    doc: "How much one key may use; nobody waits for these.",
    fields: &[REQUESTS, TOKENS, CONCURRENCY],
    cases: &[],
};

pub(super) static BREAKER: Shape = Shape {
    title: "breaker",
    doc: "When a provider that fails is no longer called, and when it is tried again.",
    fields: &[
        Field::default(
            "failures",
            Kind::Integer {
                min: 1,
                max: 10_000,
            },
            "5",
            "This many failures open it, if they are a large enough share.",
        ),
        Field::default(
            "failure_percent",
            Kind::Integer { min: 1, max: 100 },
            "50",
            "The share: so many of a hundred calls in the window, or all in its last thirtieth.",
        ),
        Field::default(
            "window",
            Kind::Format(&DURATION),
            "\"30s\"",
            "How recent calls must be to count.",
        ),
        Field::default(
            "open_for",
            Kind::Format(&DURATION),
            "\"15s\"",
            "How long it stays open at first.",
        ),
        Field::default(
            "probes",
            Kind::Integer { min: 1, max: 1000 },
            "1",
            "How many calls try the provider then, and have to succeed.",
        ),
    ],
    cases: &[],
};

pub(super) static BUDGET: Shape = Shape {
    title: "spending budget",
    doc: "The most money in a time.",
    fields: &[
        Field::required("usd", Kind::Format(&MONEY), "US dollars.").example("5.00"),
        Field::default(
            "per",
            Kind::Choice(PERIODS),
            "\"total\"",
            "In which time, by the calendar, in UTC.",
        ),
        Field::default(
            "action",
            Kind::Choice(ACTIONS),
            "\"reject\"",
            "What happens to a request that does not fit.",
        ),
    ],
    cases: &[],
};

static PERIODS: &[Word] = &[
    word("hour", "Anew at every full hour."),
    word("day", "Anew at midnight."),
    word("month", "Anew at midnight before the first of a month."),
    word("total", "Never anew."),
];

static ACTIONS: &[Word] = &[
    word("reject", "It is refused."),
    word("warn", "It passes, with a warning."),
    word(
        "throttle",
        "It waits until the budget begins anew, as far as its time allows.",
    ),
];

pub(super) static TIMEOUT: Shape = Shape {
    title: "model timeouts",
    doc: "How long the phases of a model call may take.",
    fields: &[
        Field::default(
            "connect",
            Kind::Format(&DURATION),
            "\"3s\"",
            "Until the connection stands.",
        ),
        Field::default(
            "first_token",
            Kind::Format(&DURATION),
            "\"30s\"",
            "Until the first token.",
        ),
        Field::default(
            "idle",
            Kind::Format(&DURATION),
            "\"15s\"",
            "Between tokens.",
        ),
        Field::default(
            "total",
            Kind::Format(&DURATION),
            "\"120s\"",
            "For the whole call.",
        ),
    ],
    cases: &[],
};

pub(super) static RETRY: Shape = Shape {
    title: "retry",
    doc: "How failed model calls are repeated: exponential backoff with full jitter.",
    fields: &[
        Field::default(
            "max",
            Kind::Integer { min: 0, max: 100 },
            "3",
            "The most repetitions after the first call.",
        ),
        Field::default(
            "base",
            Kind::Format(&DURATION),
            "\"200ms\"",
            "The upper bound of the first wait; doubled each time.",
        ),
        Field::default(
            "cap",
            Kind::Format(&DURATION),
            "\"10s\"",
            "The upper bound of every wait.",
        ),
    ],
    cases: &[],
};
