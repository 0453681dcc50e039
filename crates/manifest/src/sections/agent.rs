//! Agents, their sandbox and their tools.

use super::word;
use crate::format::{
    DURATION, HEADER, HOST, MONEY, NAME, PATH, PRIVATE, PROBE_URL, RULE, SECRET_NAME, SIZE, STATUS,
};
use crate::shape::{Field, Kind, Shape, Variant, Word};

pub(super) static AGENT: Shape = Shape {
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
            Kind::OneOrMany(&Kind::Object(&BUDGET)),
            "The most that may be spent: one, or several of different times.",
        ),
        Field::later("approvals", "Tools that wait for a human."),
        Field::later("plugins", "Plugins of the agent."),
    ],
    cases: &[],
};

static BUDGET: Shape = Shape {
    title: "budget",
    doc: "The most money in a time.",
    fields: &[
        Field::required("usd", Kind::Format(&MONEY), "US dollars.").example("1.00"),
        Field::default("per", Kind::Choice(PERIODS), "\"turn\"", "In which time."),
    ],
    cases: &[],
};

static PERIODS: &[Word] = &[
    word("turn", "In one turn."),
    word("session", "In one session."),
    word("hour", "In an hour by the clock, in all sessions."),
    word("day", "In a day in UTC, in all sessions."),
    word("month", "In a month in UTC, in all sessions."),
    word("total", "For ever, in all sessions."),
];

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
