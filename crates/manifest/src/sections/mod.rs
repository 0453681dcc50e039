//! The one description of the manifest: every key, what it holds, whether it must be there, what it
//! defaults to, and what it is for. Decoding and the JSON Schema both follow it.

mod agent;
mod health;
mod key;
mod limit;
mod model;
mod price;
mod route;
mod task;

pub(crate) use task::PROJECT;

use crate::format::{ENVIRONMENT_VARIABLE, PATH, SECRET_NAME};
use crate::shape::{Field, Kind, Shape, Variant, Word};

const fn word(word: &'static str, doc: &'static str) -> Word {
    Word { word, doc }
}

/// The whole file.
pub(crate) static MANIFEST: Shape = Shape {
    title: "manifest",
    doc: "A Mainstay manifest (mainstay.yaml): models, agents, keys and secrets.",
    fields: &[
        Field::required(
            "version",
            Kind::Integer { min: 1, max: 1 },
            "The version of this format; always 1.",
        ),
        Field::optional("name", Kind::Text, "What people call this project.")
            .example("\"repo-fixer\""),
        Field::default(
            "models",
            Kind::Map(&Kind::Object(&model::MODEL)),
            "{}",
            "The models that agents use, by name.",
        ),
        Field::default(
            "agents",
            Kind::Map(&Kind::Object(&agent::AGENT)),
            "{}",
            "The agents, by name.",
        ),
        Field::default(
            "secrets",
            Kind::Map(&Kind::Tagged(SECRET_SOURCE)),
            "{}",
            "Where secrets come from, by name. Their values never stand in this file.",
        )
        .example(r#"{"openai": {"env": "OPENAI_API_KEY"}}"#),
        Field::later("mcp", "MCP servers."),
        Field::later("plugins", "Plugins."),
        Field::default(
            "keys",
            Kind::Map(&Kind::Object(&key::KEY)),
            "{}",
            "Who may use the gateway, by name.",
        ),
        Field::optional(
            "prices",
            Kind::Format(&PATH),
            "A file of prices, relative to the manifest, that goes on top of the built-in table.",
        )
        .example("\"prices.json\""),
        Field::optional(
            "projects",
            Kind::OneOrMany(&Kind::Format(&PATH)),
            "The folders of the workspace's projects, with wildcards; each may have a mainstay.yaml with tasks of its own.",
        )
        .example(r#"[".", "apps/*"]"#),
        task::DEPENDS_ON,
        task::TASKS_FIELD,
        Field::optional(
            "concurrency",
            Kind::Object(&task::CONCURRENCY),
            "How many tasks run at once.",
        ),
        Field::optional(
            "cache",
            Kind::Object(&task::CACHE),
            "What becomes of the results of tasks.",
        ),
        Field::later("services", "Containers that stay up."),
        Field::later("triggers", "Schedules and webhooks."),
    ],
    cases: &[],
};

static SECRET_SOURCE: &[Variant] = &[
    Variant {
        word: "env",
        doc: "An environment variable of the node.",
        is_bare: false,
        options: Some(Kind::Format(&ENVIRONMENT_VARIABLE)),
    },
    Variant {
        word: "file",
        doc: "A file whose content, without the last line break, is the secret; relative to the manifest.",
        is_bare: false,
        options: Some(Kind::Format(&PATH)),
    },
];

static SECRET_REF: Shape = Shape {
    title: "secret reference",
    doc: "A secret declared under `secrets`.",
    fields: &[Field::required(
        "secret",
        Kind::Format(&SECRET_NAME),
        "Its name under `secrets`.",
    )
    .example("\"openai\"")],
    cases: &[],
};
