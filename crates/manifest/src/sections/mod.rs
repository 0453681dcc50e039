//! The one description of the manifest: every key, what it holds, whether it must be there, what it
//! defaults to, and what it is for. Decoding and the JSON Schema both follow it.

mod task;

pub(crate) use task::PROJECT;

use crate::format::{
    DURATION, ENVIRONMENT_VARIABLE, HEADER, HOST, MONEY, NAME, PATH, PRIVATE, PROBE_URL, RULE,
    SECRET_NAME, SIZE, STATUS, URL,
};
use crate::shape::{Case, Field, Kind, Shape, Variant, Word};

const fn word(word: &'static str, doc: &'static str) -> Word {
    Word {
        word,
        doc,
        is_later: false,
    }
}

const fn later(word: &'static str, doc: &'static str) -> Word {
    Word {
        word,
        doc,
        is_later: true,
    }
}

/// The whole file.
pub(crate) static MANIFEST: Shape = Shape {
    title: "manifest",
    doc: "A Mainstay manifest (mainstay.yaml): models, agents and secrets.",
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
            Kind::Map(&Kind::Object(&MODEL)),
            "{}",
            "The models that agents use, by name.",
        ),
        Field::default(
            "agents",
            Kind::Map(&Kind::Object(&AGENT)),
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
        Field::later("keys", "Who may use the gateway."),
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

static MODEL: Shape = Shape {
    title: "model",
    doc: "A name behind which a provider answers.",
    fields: &[
        Field::required("provider", Kind::Choice(PROVIDERS), "Who answers."),
        Field::optional(
            "file",
            Kind::Format(&PATH),
            "For `script`: the file of steps, relative to the manifest.",
        )
        .example("\"fix.script.yaml\""),
        Field::optional(
            "base_url",
            Kind::Format(&URL),
            "Where the server's API begins. `openai` has its own.",
        )
        .example("\"http://127.0.0.1:11434/v1\""),
        Field::optional("model", Kind::Text, "What the provider calls the model.")
            .example("\"gpt-4.1-mini\""),
        Field::optional(
            "api_key",
            Kind::Object(&SECRET_REF),
            "The secret sent as bearer token.",
        )
        .example(r#"{"secret": "openai"}"#),
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
            "price",
            Kind::Object(&PRICE),
            "What tokens cost, in US dollars. Without it calls count as free.",
        ),
        Field::later("limits", "Requests, tokens and concurrency."),
        Field::later("breaker", "When to stop calling a failing provider."),
        Field::later("context_window", "The most tokens of a conversation."),
        Field::later("budget", "The most money for the model."),
        Field::later("fallback", "Models to use instead."),
    ],
    cases: &[
        Case {
            key: "provider",
            words: &["script"],
            required: &["file"],
            refused: &["base_url", "model", "api_key"],
        },
        Case {
            key: "provider",
            words: &["openai_compatible"],
            required: &["base_url", "model"],
            refused: &["file"],
        },
        Case {
            key: "provider",
            words: &["openai"],
            required: &["model"],
            refused: &["file"],
        },
    ],
};

static PROVIDERS: &[Word] = &[
    word(
        "script",
        "Answers from a file of steps; needs no key and no network.",
    ),
    word(
        "openai_compatible",
        "Any server that speaks OpenAI's chat completions.",
    ),
    word(
        "openai",
        "OpenAI: `openai_compatible` at https://api.openai.com/v1.",
    ),
    later("anthropic", "Anthropic."),
    later("gemini", "Google Gemini."),
    later("azure_openai", "Azure OpenAI."),
    later("local", "A worker on this machine."),
];

static TIMEOUT: Shape = Shape {
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

static RETRY: Shape = Shape {
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

static PRICE: Shape = Shape {
    title: "price",
    doc: "What a million tokens cost, in US dollars.",
    fields: &[
        Field::required("input_per_million", Kind::Format(&MONEY), "Tokens sent.").example("0.4"),
        Field::required(
            "output_per_million",
            Kind::Format(&MONEY),
            "Tokens received.",
        )
        .example("1.6"),
    ],
    cases: &[],
};

static AGENT: Shape = Shape {
    title: "agent",
    doc: "A model with instructions, tools and bounds.",
    fields: &[
        Field::required(
            "model",
            Kind::Format(&NAME),
            "The name of a model under `models`.",
        )
        .example("\"main\""),
        Field::optional(
            "instructions",
            Kind::Text,
            "What the agent is told before everything else.",
        ),
        Field::default(
            "tools",
            Kind::List {
                of: &Kind::Tagged(TOOLS),
                min: 0,
            },
            "[]",
            "What it may use.",
        )
        .example(r#"["shell", "files"]"#),
        Field::default(
            "sandbox",
            Kind::Object(&SANDBOX),
            "{}",
            "What its tools may touch and use.",
        ),
        Field::optional(
            "workspace",
            Kind::Format(&PATH),
            "The folder it works on, through a private view; relative to the manifest.",
        )
        .example("\".\""),
        Field::default(
            "max_steps",
            Kind::Integer {
                min: 1,
                max: 100_000,
            },
            "50",
            "The most model calls one turn may make.",
        ),
        Field::default(
            "max_attempts",
            Kind::Integer { min: 1, max: 1000 },
            "5",
            "How often a turn may be started without progress before it is quarantined.",
        ),
        Field::optional(
            "budget",
            Kind::Object(&BUDGET),
            "The most one turn may spend.",
        ),
        Field::later("approvals", "Tools that wait for a human."),
        Field::later("plugins", "Plugins of the agent."),
    ],
    cases: &[],
};

static BUDGET: Shape = Shape {
    title: "budget",
    doc: "The most money.",
    fields: &[Field::required("usd", Kind::Format(&MONEY), "US dollars.").example("1.00")],
    cases: &[],
};

static NETWORKS: &[Word] = &[
    word("none", "No network, not even the host's loopback."),
    word("host", "The host's network."),
];

static SANDBOX: Shape = Shape {
    title: "sandbox",
    doc: "What sandboxed tools may touch and use. The workspace is writable, the host's system folders are read-only, everything else is hidden.",
    fields: &[
        Field::default("read", PATHS, "[]", "Further folders to read.").example(r#"["~/.cargo"]"#),
        Field::default(
            "write",
            PATHS,
            "[]",
            "Folders outside the workspace to write. What is written there is not rolled back.",
        ),
        Field::default(
            "network",
            Kind::Choice(NETWORKS),
            "\"none\"",
            "The network.",
        ),
        Field::optional("memory", Kind::Format(&SIZE), "The most memory.").example("\"1GiB\""),
        Field::optional(
            "pids",
            Kind::Integer {
                min: 1,
                max: 4_194_304,
            },
            "The most processes.",
        )
        .example("256"),
        Field::default(
            "timeout",
            Kind::Format(&DURATION),
            "\"60s\"",
            "The most time for one call.",
        ),
        Field::default(
            "output",
            Kind::Format(&SIZE),
            "\"64KiB\"",
            "The most output handed to the model; the full text stays stored.",
        ),
        Field::default(
            "weaker",
            Kind::Boolean,
            "false",
            "Go on, with an announcement, where the host cannot enforce everything.",
        ),
        Field::later(
            "image",
            "A container image in place of the host's system folders.",
        ),
    ],
    cases: &[],
};

const PATHS: Kind = Kind::List {
    of: &Kind::Format(&PATH),
    min: 0,
};

static TOOLS: &[Variant] = &[
    Variant {
        word: "shell",
        doc: "Runs commands in the sandbox.",
        is_bare: true,
        options: Some(Kind::Object(&SHELL)),
    },
    Variant {
        word: "files",
        doc: "Reads, writes, edits, lists and searches files of the workspace.",
        is_bare: true,
        options: None,
    },
    Variant {
        word: "http",
        doc: "Sends HTTP requests, from the node and outside the sandbox.",
        is_bare: false,
        options: Some(Kind::Object(&HTTP)),
    },
    Variant {
        word: "task",
        doc: "Runs a task of the workspace, in the agent's view and with the same cache: `name` or `project:name`.",
        is_bare: false,
        options: Some(Kind::Text),
    },
    Variant {
        word: "mcp",
        doc: "Tools of an MCP server.",
        is_bare: false,
        options: Some(Kind::Later),
    },
    Variant {
        word: "agent",
        doc: "Starts another agent.",
        is_bare: false,
        options: Some(Kind::Later),
    },
];

static EFFECTS: &[Word] = &[
    word(
        "pure",
        "Touches nothing outside the workspace: repeated freely after a crash.",
    ),
    word(
        "idempotent",
        "Repeated with the same key, which the other side honours.",
    ),
    word(
        "once",
        "Never repeated unasked: an unknown outcome is probed or resolved by an operator.",
    ),
];

static SHELL: Shape = Shape {
    title: "shell tool",
    doc: "Options of the `shell` tool.",
    fields: &[
        Field::optional(
            "network",
            Kind::Choice(NETWORKS),
            "The network; otherwise the sandbox's.",
        ),
        Field::optional(
            "effect",
            Kind::Choice(EFFECTS),
            "How its effect relates to repetition; otherwise `pure` without network and writable folders, `once` with either.",
        ),
        Field::optional(
            "timeout",
            Kind::Format(&DURATION),
            "The most time for one call; otherwise the sandbox's.",
        ),
    ],
    cases: &[],
};

static HTTP: Shape = Shape {
    title: "http tool",
    doc: "Options of the `http` tool.",
    fields: &[
        Field::required("allow", Kind::List { of: &Kind::Format(&RULE), min: 1 }, "What may be requested: method, scheme, host and path. `*` stands for anything in one path segment, at the end for anything below; `**` for anything.")
            .example(r#"["POST https://tracker.example/issues/*"]"#),
        Field::default("effect", Kind::Choice(EFFECTS), "\"once\"", "How its effect relates to repetition."),
        Field::optional("probe", Kind::Object(&PROBE), "For `once`: a request that tells whether an unknown call took effect."),
        Field::default("secret", Kind::OneOrMany(&Kind::Object(&HTTP_SECRET)), "[]", "Secrets that the node adds to requests; neither sandbox nor model see them."),
        Field::default("private", Kind::List { of: &Kind::Format(&PRIVATE), min: 0 }, "[]", "Hosts and addresses that may be loopback or private.").example(r#"["127.0.0.1"]"#),
        Field::default("timeout", Kind::Format(&DURATION), "\"30s\"", "The most time for one request."),
        Field::default("response_bytes_max", Kind::Format(&SIZE), "\"1MiB\"", "The most bytes of an answer that are read."),
    ],
    cases: &[],
};

static PROBE_METHODS: &[Word] = &[
    word("GET", "Asks for the thing."),
    word("HEAD", "Asks whether the thing is there."),
];

static PROBE: Shape = Shape {
    title: "probe",
    doc: "A request that tells whether an unknown call took effect. Any other status leaves it unknown.",
    fields: &[
        Field::default(
            "method",
            Kind::Choice(PROBE_METHODS),
            "\"GET\"",
            "The method.",
        ),
        Field::required(
            "url",
            Kind::Format(&PROBE_URL),
            "Where to ask; `{key}` stands for the idempotency key.",
        )
        .example("\"https://tracker.example/issues?key={key}\""),
        Field::default(
            "applied",
            Kind::List {
                of: &Kind::Format(&STATUS),
                min: 1,
            },
            "[\"200..299\"]",
            "Statuses that mean it did.",
        ),
        Field::default(
            "absent",
            Kind::List {
                of: &Kind::Format(&STATUS),
                min: 1,
            },
            "[404]",
            "Statuses that mean it did not.",
        ),
    ],
    cases: &[],
};

static HTTP_SECRET: Shape = Shape {
    title: "http secret",
    doc: "A secret that becomes the value of a header.",
    fields: &[
        Field::required("header", Kind::Format(&HEADER), "The header.")
            .example("\"Authorization\""),
        Field::required(
            "secret",
            Kind::Format(&SECRET_NAME),
            "Its name under `secrets`.",
        ),
        Field::optional(
            "host",
            Kind::Format(&HOST),
            "The only host that gets it; needed where `allow` names several.",
        ),
    ],
    cases: &[],
};
