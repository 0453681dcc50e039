//! Models and who answers for them.

use super::health::HEALTH;
use super::limit::{BREAKER, BUDGET, LIMITS, RETRY, TIMEOUT};
use super::price::{IF_PRICE_UNKNOWN, PRICE};
use super::route::{CACHE, FALLBACK, HEDGE, POOL};
use super::{SECRET_REF, word};
use crate::format::{API_VERSION, HEADER_VALUE, PATH, PROXY_URL, URL};
use crate::shape::{Case, Field, Kind, Shape, When, Word};

/// The most tokens that a field may speak of.
const TOKENS_MAX: u64 = 1_000_000_000;

pub(super) static MODEL: Shape = Shape {
    title: "model",
    doc: "A name behind which a provider answers, or several models in turn.",
    fields: &[
        Field::optional(
            "provider",
            Kind::Choice(PROVIDERS),
            "Who answers; needed but for a pool.",
        ),
        Field::optional(
            "file",
            Kind::Format(&PATH),
            "For `script`: the file of steps, relative to the manifest.",
        )
        .example("\"fix.script.yaml\""),
        Field::optional(
            "base_url",
            Kind::Format(&URL),
            "Where the server's API begins. `openai`, `anthropic` and `gemini` have their own.",
        )
        .example("\"http://127.0.0.1:11434/v1\""),
        Field::later("service", "The service of this manifest that answers."),
        Field::optional(
            "model",
            Kind::Text,
            "What the provider calls the model; for `azure_openai` the deployment.",
        )
        .example("\"gpt-4.1-mini\""),
        Field::optional(
            "api_key",
            Kind::Object(&SECRET_REF),
            "The secret that is sent as the provider wants it, mostly as bearer token.",
        )
        .example(r#"{"secret": "openai"}"#),
        Field::optional(
            "headers",
            Kind::Map(&Kind::Or(
                &Kind::Format(&HEADER_VALUE),
                &Kind::Object(&SECRET_REF),
            )),
            "Headers that go with every request, by name: a value, or a secret.",
        )
        .example(r#"{"OpenAI-Project": "proj_1", "X-Gateway-Key": {"secret": "gateway"}}"#),
        Field::optional(
            "ca_file",
            Kind::Format(&PATH),
            "Certificates in PEM whose holders may vouch for the server, beside the public authorities; relative to the manifest.",
        )
        .example("\"internal-ca.pem\""),
        Field::optional(
            "proxy_url",
            Kind::Format(&PROXY_URL),
            "The proxy that tunnels to the server.",
        )
        .example("\"http://proxy.internal:3128\""),
        Field::optional(
            "api_version",
            Kind::Format(&API_VERSION),
            "For `azure_openai`: the version of its API; 2024-10-21 by default.",
        )
        .example("\"2024-10-21\""),
        Field::optional(
            "path",
            Kind::Format(&PATH),
            "For `local`: the model's GGUF file, relative to the manifest.",
        )
        .example("\"models/qwen3-4b-q4_k_m.gguf\""),
        Field::optional(
            "context_length",
            Kind::Integer {
                min: 1,
                max: TOKENS_MAX,
            },
            "For `local`: the tokens that memory is kept for; as many as the file says by default.",
        )
        .example("8192"),
        Field::optional(
            "threads",
            Kind::Integer { min: 1, max: 4096 },
            "For `local`: the threads that compute; as many as there are cores by default.",
        ),
        Field::optional(
            "device",
            Kind::Choice(DEVICES),
            "For `local`: what computes. By default a GPU where there is one.",
        ),
        Field::optional(
            "pool",
            POOL,
            "Models that share the requests, by weight, in place of a provider; zero: only where no other can.",
        )
        .example(r#"{"main": 3, "backup": 1}"#),
        Field::default(
            "timeout",
            Kind::Object(&TIMEOUT),
            "{}",
            "How long a call may take.",
        ),
        Field::default(
            "retry",
            Kind::Object(&RETRY),
            "{}",
            "How failed calls are repeated.",
        ),
        Field::optional(
            "limits",
            Kind::Object(&LIMITS),
            "How many requests and tokens, in a minute and at once.",
        ),
        Field::optional(
            "breaker",
            Kind::Object(&BREAKER),
            "When to stop calling a failing provider.",
        ),
        Field::optional(
            "health",
            Kind::Object(&HEALTH),
            "How its server is asked whether it takes requests; by default it is taken to.",
        )
        .example(r#"{"http": "/health"}"#),
        Field::optional(
            "context_window",
            Kind::Integer {
                min: 1,
                max: TOKENS_MAX,
            },
            "The most tokens of a conversation and its answer; otherwise what the table of prices says.",
        )
        .example("128000"),
        Field::optional(
            "output_tokens_max",
            Kind::Integer {
                min: 1,
                max: TOKENS_MAX,
            },
            "The most tokens of an answer; otherwise what the table of prices says.",
        )
        .example("16384"),
        Field::optional(
            "budget",
            Kind::Object(&BUDGET),
            "The most money for the model, whoever asks.",
        ),
        Field::optional(
            "price",
            Kind::Object(&PRICE),
            "What tokens cost, in US dollars; otherwise what the table of prices says. `script` and `local` are free without it.",
        )
        .example(r#"{"input_per_million": 0.4, "output_per_million": 1.6}"#),
        Field::default(
            "if_price_unknown",
            Kind::Choice(IF_PRICE_UNKNOWN),
            "\"refuse\"",
            "What happens where a budget counts and nobody knows the price.",
        ),
        Field::optional(
            "fallback",
            FALLBACK,
            "Models that answer where this one cannot, in order.",
        )
        .example(r#"["backup", {"to": "large", "on": ["context_length"]}]"#),
        Field::optional(
            "hedge",
            Kind::Object(&HEDGE),
            "When a second call is begun beside a slow one; whichever answers first is taken.",
        ),
        Field::default(
            "idempotent",
            Kind::Boolean,
            "true",
            "Whether a call that may have reached the provider may be repeated.",
        ),
        Field::optional(
            "cache",
            Kind::Object(&CACHE),
            "Answers that are kept, for requests that are the same to the byte.",
        ),
    ],
    cases: CASES,
};

static CASES: &[Case] = &[
    Case {
        when: When::Absent("pool"),
        required: &["provider"],
        refused: &[],
    },
    Case {
        when: When::Present("pool"),
        required: &[],
        refused: &[
            "provider",
            "file",
            "base_url",
            "model",
            "api_key",
            "headers",
            "ca_file",
            "proxy_url",
            "api_version",
            "path",
            "context_length",
            "threads",
            "device",
            "timeout",
            "retry",
            "limits",
            "breaker",
            "health",
            "context_window",
            "output_tokens_max",
            "budget",
            "price",
            "if_price_unknown",
            "hedge",
            "idempotent",
        ],
    },
    Case {
        when: provider(&["script"]),
        required: &["file"],
        refused: &[
            "base_url",
            "model",
            "api_key",
            "headers",
            "ca_file",
            "proxy_url",
            "api_version",
            "path",
            "context_length",
            "threads",
            "device",
            "health",
            "if_price_unknown",
        ],
    },
    Case {
        when: When::Is {
            key: "provider",
            words: &["openai_compatible"],
            without: Some("service"),
        },
        required: &["base_url"],
        refused: &[],
    },
    Case {
        when: provider(&["openai_compatible", "openai", "anthropic", "gemini"]),
        required: &["model"],
        refused: &[
            "file",
            "api_version",
            "path",
            "context_length",
            "threads",
            "device",
        ],
    },
    Case {
        when: provider(&["azure_openai"]),
        required: &["base_url", "model"],
        refused: &["file", "path", "context_length", "threads", "device"],
    },
    Case {
        when: provider(&["local"]),
        required: &["path"],
        refused: &[
            "file",
            "base_url",
            "model",
            "api_key",
            "headers",
            "ca_file",
            "proxy_url",
            "api_version",
            "health",
            "context_window",
            "if_price_unknown",
        ],
    },
];

const fn provider(words: &'static [&'static str]) -> When {
    When::Is {
        key: "provider",
        words,
        without: None,
    }
}

static PROVIDERS: &[Word] = &[
    word(
        "script",
        "Answers from a file of steps; needs no key and no network.",
    ),
    word(
        "openai_compatible",
        "Any server that speaks OpenAI's chat completions.",
    ),
    word("openai", "OpenAI, at https://api.openai.com/v1."),
    word("anthropic", "Anthropic, at https://api.anthropic.com."),
    word(
        "gemini",
        "Google Gemini, at https://generativelanguage.googleapis.com/v1beta.",
    ),
    word(
        "azure_openai",
        "Azure OpenAI, at an address of one's own such as https://NAME.openai.azure.com.",
    ),
    word("local", "A worker on this machine, with a GGUF file."),
];

static DEVICES: &[Word] = &[
    word("cpu", "The processor."),
    word("cuda", "An NVIDIA GPU; an error where there is none."),
];
