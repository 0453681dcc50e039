//! The command line, as data. Names are fixed by the interface document; help texts live here.

mod model;
mod quantity;

pub(crate) use model::{By, ModelCall, ModelCommand, ModelUsage};

use clap::{Args, Parser, Subcommand, ValueEnum};
use mainstay_node::api::HostName;
use mainstay_sessions::OnBusy;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Run AI agents like you run databases: kill it, and it comes back with the truth.
#[derive(Debug, Parser)]
#[command(
    name = "mainstay",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 the work itself failed, 2 usage or invalid manifest, \
    3 not found, 4 conflict or busy, 5 not permitted, 6 limited, 7 timed out, 8 a provider or peer \
    failed, 9 storage failed, 10 unsupported on this host, 70 internal, 78 configuration, \
    128+N ended by signal N. `mainstay codes` lists every error; `mainstay explain CODE` tells more."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The manifest; by default `mainstay.yaml` here or in a parent folder
    #[arg(short = 'f', long = "file", value_name = "FILE", global = true)]
    pub(crate) file: Option<PathBuf>,
    /// Where the node keeps its data; by default `.mainstay` beside the manifest
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where rebuildable data goes; by default `$XDG_CACHE_HOME/mainstay`
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Talk to the node at this address instead; its key comes from `MAINSTAY_KEY`
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) url: Option<String>,
    /// Print one JSON value, or JSON lines for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only
    #[arg(long, short = 'q', global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See an agent repair a real repository, then see it killed again and again, and recover
    Demo(Demo),
    /// Write a first manifest
    Init(Init),
    /// Report everything that is wrong with the manifest, and with the files that its models need, with line and
    /// column
    Check,
    /// Print the JSON Schema of the manifest, for editors
    Schema,
    /// Say what this host can and cannot do, and whether the stored data is sound
    Doctor,
    /// Explain one error code
    Explain {
        /// The code, such as `runtime.session_execution_busy`
        code: String,
    },
    /// List every error code
    Codes,
    /// Run a node that others talk to
    Serve(Serve),
    /// Run one turn of an agent here and follow it
    Run(Run),
    /// Run tasks and look at them
    #[command(subcommand)]
    Task(TaskCommand),
    /// Look after the results of tasks that this machine keeps
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Look at models, ask them, and see what they cost
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at sessions and act on them
    #[command(subcommand)]
    Session(Session),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Unpack here and keep it; by default a temporary folder that goes away
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How often to pull the plug
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) kills: u32,
    /// Which moments to pull it at
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Use the scripted model, which needs no key and no network
    #[arg(long)]
    pub(crate) script: bool,
    /// Take over the tasks of another runner, and say what could not be
    #[arg(long, value_enum, value_name = "RUNNER", conflicts_with = "script")]
    pub(crate) from: Option<From>,
    /// The folder
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// Turborepo: turbo.json and package.json
    Turbo,
    /// GNU make: a Makefile
    Make,
    /// npm, pnpm, yarn or bun: the scripts of package.json
    Npm,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7447")]
    pub(crate) listen: SocketAddr,
    /// A name that callers reach it by, beside its address and localhost, without port; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<HostName>,
    /// The session store, `sqlite:PATH`; by default `mainstay.db` in the data directory
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// Where large blobs go; by default `blobs` in the data directory
    #[arg(long, value_name = "PATH")]
    pub(crate) blobs: Option<String>,
    /// How long requests under way may take to end at SIGTERM, SIGINT or SIGHUP; a second one cuts them
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = quantity::read_drain)]
    pub(crate) drain: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The agent, as the manifest names it
    pub(crate) agent: String,
    /// What it is to do; `-` reads it from standard input
    pub(crate) input: String,
    /// The session to continue; by default a new one
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// The id of this turn; the same id resumes or reports the same turn
    #[arg(long, value_name = "ID")]
    pub(crate) turn: Option<String>,
    /// What to do if the session is busy
    #[arg(long, value_enum, default_value_t = Busy::Reject)]
    pub(crate) on_busy: Busy,
    /// Record the model's answers into a script
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Busy {
    /// Refuse this turn
    Reject,
    /// Run it after the others
    Queue,
    /// Cancel the running turn first
    Interrupt,
    /// Hand the input to the running turn
    Steer,
}

impl std::convert::From<Busy> for OnBusy {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Reject => Self::Reject,
            Busy::Queue => Self::Queue,
            Busy::Interrupt => Self::Interrupt,
            Busy::Steer => Self::Steer,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Run tasks, and before them what they need
    Run(TaskRun),
    /// Say what a run would do with a task, and why
    Why {
        /// The task: `project:task`, `:task` in all projects, or `task`
        target: String,
    },
    /// List the tasks that changes since a revision of git affect, and why
    Affected {
        /// The revision, such as `origin/main`
        #[arg(long, value_name = "REV")]
        since: String,
    },
    /// List the tasks
    Ls,
    /// Print which task waits for which, as a graph for `dot`
    Graph(TaskGraph),
}

#[derive(Debug, Args)]
pub(crate) struct TaskRun {
    /// The tasks: `project:task`, `:task` in all projects, or `task`
    #[arg(required = true, value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// How many at once; by default as many as there are processors
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) jobs: Option<u32>,
    /// Run commands even where the cache has their results
    #[arg(long)]
    pub(crate) force: bool,
    /// Go on with what does not depend on a task that failed
    #[arg(long, short = 'k')]
    pub(crate) keep_going: bool,
    /// Run again what changed, until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    /// Watch commands: `trace` lists what they read and write undeclared, and runs them in any case;
    /// `enforce` lets them see what is declared, and nothing else
    #[arg(long, value_enum, default_value_t = Sandboxing::Off)]
    pub(crate) sandbox: Sandboxing,
    /// Write a profile for a browser's tracing view (chrome://tracing, ui.perfetto.dev)
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandboxing {
    /// Commands run as they are
    Off,
    /// What they read and write is told
    Trace,
    /// They see what is declared
    Enforce,
}

#[derive(Debug, Args)]
pub(crate) struct TaskGraph {
    /// Only these tasks and what they need
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Say how much there is
    Info,
    /// Remove what was not used for longest
    Gc(CacheGc),
    /// Remove everything
    Purge,
    /// Serve a cache to others: the remote execution API and Turborepo's protocol
    Serve(CacheServe),
}

#[derive(Debug, Args)]
pub(crate) struct CacheServe {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    pub(crate) listen: SocketAddr,
    /// Where to keep what is sent; by default `served` in the cache folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The most to keep, such as 50GiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::read_size)]
    pub(crate) max_size: Option<u64>,
    /// How long to keep what nobody asks for, such as 30d
    #[arg(long, value_name = "AGE", value_parser = quantity::read_age)]
    pub(crate) max_age: Option<u64>,
    /// Take nothing new
    #[arg(long)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CacheGc {
    /// The most to keep, such as 10GiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::read_size)]
    pub(crate) max_size: Option<u64>,
    /// How long to keep a result after its last use, such as 30d
    #[arg(long, value_name = "AGE", value_parser = quantity::read_age)]
    pub(crate) max_age: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List sessions, the latest change first
    Ls,
    /// Show a session: its turns, their steps and what they cost
    Show {
        /// The session
        id: String,
    },
    /// Print the event tape of a session
    Events {
        /// The session
        id: String,
        /// Begin after this sequence
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u64,
        /// Keep printing what happens
        #[arg(long)]
        follow: bool,
    },
    /// End a turn, whatever it is doing
    Cancel {
        /// The session
        id: String,
        /// The turn; by default the one that runs
        #[arg(long, value_name = "ID")]
        turn: Option<String>,
    },
    /// Say what became of a step in doubt, or release a quarantined turn with --retry
    Resolve(Resolve),
    /// Show what the agent changed in its private view of the workspace
    Diff {
        /// The session
        id: String,
    },
    /// Bring the agent's changes home; refuses where the folder changed meanwhile
    Apply {
        /// The session
        id: String,
        /// Another folder with the same beginnings
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Print a session as JSON lines: records, messages and a hash chain over them
    Export {
        /// The session
        id: String,
    },
    /// Decide a turn again from its journal, offline, and name the first divergence
    Replay {
        /// The turn
        turn: String,
    },
    /// Remove a session and what only it stored
    Rm {
        /// The session
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("word").required(true))]
pub(crate) struct Resolve {
    /// The step
    pub(crate) step: String,
    /// It took effect, and this is its result
    #[arg(long, group = "word", value_name = "TEXT")]
    pub(crate) result: Option<String>,
    /// It did not; run it again
    #[arg(long, group = "word")]
    pub(crate) retry: bool,
    /// Treat it as failed, and tell the model this
    #[arg(long, group = "word", value_name = "TEXT")]
    pub(crate) fail: Option<String>,
}
