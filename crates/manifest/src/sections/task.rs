//! Projects, tasks, how many run at once, and the cache of their results.

use crate::format::{DURATION, NAME, PART, PATH, PATTERN, REMOTE_URL, SIZE, TASK, VARIABLE};
use crate::shape::{Field, Kind, Shape, Word};

const PATTERNS: Kind = Kind::List {
    of: &Kind::Format(&PATTERN),
    min: 0,
};
const TASKS: Kind = Kind::OneOrMany(&Kind::Format(&TASK));
const VARIABLES: Kind = Kind::List {
    of: &Kind::Format(&VARIABLE),
    min: 0,
};

static PROJECT_NAME: Kind = Kind::Format(&PART);
static ONE_TASK: Kind = Kind::Object(&TASK_SHAPE);

/// A `mainstay.yaml` below the workspace's root.
pub(crate) static PROJECT: Shape = Shape {
    title: "project",
    doc: "The manifest of one project of a workspace: its name and its tasks.",
    fields: &[
        Field::optional(
            "version",
            Kind::Integer { min: 1, max: 1 },
            "The version of this format; always 1.",
        ),
        Field::optional(
            "name",
            Kind::Format(&PART),
            "The project's name; by default the name of its folder.",
        ),
        DEPENDS_ON,
        TASKS_FIELD,
    ],
    cases: &[],
};

pub(super) const DEPENDS_ON: Field = Field::optional(
    "depends_on",
    Kind::OneOrMany(&PROJECT_NAME),
    "The projects that this one builds on; `^task` in `after` means their tasks.",
)
.example(r#"["ui"]"#);

pub(super) const TASKS_FIELD: Field = Field::default(
    "tasks",
    Kind::Map(&ONE_TASK),
    "{}",
    "Commands with declared inputs and outputs, by name.",
);

static TASK_SHAPE: Shape = Shape {
    title: "task",
    doc: "A command with declared inputs and outputs. The same inputs are not worked on twice.",
    fields: &[
        Field::optional(
            "command",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "The program and its arguments.",
        )
        .example(r#"["cargo", "test"]"#),
        Field::optional("shell", Kind::Text, "A script for `sh -c`, in place of `command`."),
        Field::optional(
            "workdir",
            Kind::Format(&PATH),
            "Where it runs; relative to the project, which is the default.",
        ),
        Field::optional(
            "inputs",
            PATTERNS,
            "The files that it reads: patterns relative to the project, from the workspace's root with a leading `/`, excluded with `!`. By default every file of the project that git does not ignore.",
        )
        .example(r#"["src/**", "!src/**/*.md"]"#),
        Field::optional(
            "outputs",
            PATTERNS,
            "The files that it makes. A name without wildcard must be there afterwards.",
        )
        .example(r#"["dist/**"]"#),
        Field::optional(
            "env",
            VARIABLES,
            "Environment variables that it gets and that its result depends on: `NAME` from the caller, or `NAME=value`.",
        )
        .example(r#"["PATH", "MODE=release"]"#),
        Field::optional(
            "pass_env",
            VARIABLES,
            "Environment variables that it gets although its result does not depend on them.",
        ),
        Field::optional(
            "tools",
            Kind::OneOrMany(&Kind::Text),
            "Programs that its result depends on, by name or path; their content is part of the key.",
        )
        .example(r#"["cargo"]"#),
        Field::optional(
            "after",
            TASKS,
            "Tasks that have to succeed first: `task`, `project:task`, or `^task` for the projects that this one depends on.",
        )
        .example(r#"["build"]"#),
        Field::optional(
            "follows",
            TASKS,
            "Tasks that, where they run too, have to be over first, well or badly.",
        ),
        Field::optional(
            "mutex",
            Kind::OneOrMany(&Kind::Format(&NAME)),
            "Names of which only one task at a time holds each.",
        ),
        Field::optional(
            "mutex_shared",
            Kind::OneOrMany(&Kind::Format(&NAME)),
            "Names that tasks hold together, but not beside one that has it as `mutex`.",
        ),
        Field::optional(
            "weight",
            Kind::Integer { min: 1, max: 65_535 },
            "How many of `--jobs` it takes; 1 by default, never more than there are.",
        ),
        Field::optional(
            "tags",
            Kind::OneOrMany(&Kind::Format(&NAME)),
            "Tags, of which `concurrency.tags` says how many tasks may run at once.",
        ),
        Field::optional(
            "timeout",
            Kind::Format(&DURATION),
            "The most time for one try. Unlimited by default.",
        ),
        Field::optional(
            "grace",
            Kind::Format(&DURATION),
            "The time between SIGTERM and SIGKILL; 5 s by default.",
        ),
        Field::optional(
            "retries",
            Kind::Integer { min: 0, max: 100 },
            "How often it is tried again where it fails; 0 by default.",
        ),
        Field::optional(
            "cache",
            Kind::Boolean,
            "Whether its result is kept. By default it is where inputs or outputs are declared.",
        ),
        Field::optional(
            "jobserver",
            Kind::Boolean,
            "Whether the command, such as make, ninja or cargo, is told by GNU make's protocol to run as many jobs as `weight` says.",
        ),
        Field::optional(
            "persistent",
            Kind::Boolean,
            "Whether it stays up, such as a development server: never cached, and ended with the run.",
        ),
        Field::optional(
            "ready",
            Kind::Object(&READY),
            "For `persistent`: when those after it may begin. At once by default.",
        ),
    ],
    cases: &[],
};

static READY: Shape = Shape {
    title: "readiness",
    doc: "How a task that stays up shows that it is ready.",
    fields: &[
        Field::optional(
            "line",
            Kind::Text,
            "A text that a line of its output holds.",
        ),
        Field::optional(
            "port",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            "A port of 127.0.0.1 that accepts connections.",
        ),
        Field::optional(
            "timeout",
            Kind::Format(&DURATION),
            "The most time until then; 1 minute by default.",
        ),
    ],
    cases: &[],
};

pub(super) static CONCURRENCY: Shape = Shape {
    title: "concurrency",
    doc: "How many tasks run at once.",
    fields: &[
        Field::optional(
            "jobs",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            "How many by default; otherwise as many as there are processors.",
        ),
        Field::optional(
            "tags",
            Kind::Map(&Kind::Integer {
                min: 1,
                max: 65_535,
            }),
            "How many of each tag.",
        )
        .example(r#"{"heavy": 2}"#),
    ],
    cases: &[],
};

pub(super) static CACHE: Shape = Shape {
    title: "cache",
    doc: "The results of tasks: how outputs are brought back, how long results are kept, with whom they are shared.",
    fields: &[
        Field::optional(
            "restore",
            Kind::Choice(RESTORE),
            "How outputs are brought back; `copy` by default.",
        ),
        Field::optional(
            "max_size",
            Kind::Format(&SIZE),
            "The most that is kept; 10 GiB by default.",
        ),
        Field::optional(
            "max_age",
            Kind::Format(&DURATION),
            "How long a result is kept after its last use; 30 days by default.",
        ),
        Field::optional(
            "remote",
            Kind::Object(&REMOTE),
            "A cache that others share.",
        ),
    ],
    cases: &[],
};

static RESTORE: &[Word] = &[
    super::word(
        "copy",
        "A copy, that shares its blocks with the cache where the file system can do that.",
    ),
    super::word(
        "hardlink",
        "A read-only hard link to the cache: fast, and no task may write into it in place.",
    ),
];

static REMOTE: Shape = Shape {
    title: "remote cache",
    doc: "A server of the remote execution API, version 2, such as `mainstay cache serve`.",
    fields: &[
        Field::required("url", Kind::Format(&REMOTE_URL), "Where it listens.")
            .example("\"grpc://cache.example:9092\""),
        Field::optional(
            "instance",
            Kind::Text,
            "The instance name; empty by default.",
        ),
        Field::optional(
            "token",
            Kind::Object(&super::SECRET_REF),
            "The bearer token.",
        ),
        Field::optional(
            "sign",
            Kind::Object(&super::SECRET_REF),
            "The key that results are signed with; others are not believed.",
        ),
        Field::optional("read_only", Kind::Boolean, "Whether nothing is sent there."),
        Field::optional(
            "timeout",
            Kind::Format(&DURATION),
            "The most time for one call; 10 s by default.",
        ),
    ],
    cases: &[],
};
