//! Every failure's stable name, and the answers that follow from the name alone.
//!
//! The table below is the single source: a code cannot be added without answering every question,
//! and `docs/errors/` must hold its page. A code is declared only together with the end-to-end test
//! that provokes it (`cargo xtask tidy` compares the two).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The layer where a failure began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The request itself.
    Caller,
    /// The session machine.
    Session,
    /// A model or its provider.
    Inference,
    /// A task.
    Task,
    /// The sandbox around a tool.
    Sandbox,
    /// A container.
    Container,
    /// The node: configuration, API, transport.
    Node,
    /// The journal or the blobs.
    Store,
    /// A plugin.
    Plugin,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAdvice {
    /// The same request fails the same way.
    Never,
    /// At once.
    Now,
    /// After a while.
    After,
    /// On another node.
    Elsewhere,
    /// Once somebody has repaired the cause.
    AfterFix,
}

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Responsible {
    /// Who sent the request.
    Caller,
    /// Who runs the node.
    Operator,
    /// The agent, task or container itself.
    Workload,
    /// A model provider.
    Provider,
    /// Another node, registry or network.
    Peer,
    /// Us.
    Bug,
}

/// All that a code alone answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CodeInfo {
    /// One line for people.
    pub title: &'static str,
    /// Where such a failure begins.
    pub layer: Layer,
    /// The HTTP status.
    pub http: u16,
    /// The exit code of the command line.
    pub exit: u8,
    /// The usual advice; a report may know better.
    pub retry: RetryAdvice,
    /// Who must act.
    pub responsible: Responsible,
    /// Whether it counts against the agent's own work.
    pub scored: bool,
}

/// A text that claims to be one of our own codes and is not declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` lies in a namespace of Mainstay's own and cannot be claimed")]
pub struct UnknownBuiltin(pub String);

macro_rules! codes {
    ($($variant:ident $text:literal: $layer:ident $http:literal $exit:literal $retry:ident $who:ident $scored:ident $title:literal;)*) => {
        /// The stable name of a failure.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $variant,)*
            /// A code of somebody else (a plugin, a newer node), kept byte for byte.
            Foreign(String),
        }

        impl Code {
            /// Every declared code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Code::$variant => $text,)*
                    Code::Foreign(text) => text,
                }
            }

            /// All that the code alone answers. A foreign code gets the cautious answers.
            #[must_use]
            pub fn info(&self) -> CodeInfo {
                match self {
                    $(Code::$variant => CodeInfo {
                        title: $title,
                        layer: Layer::$layer,
                        http: $http,
                        exit: $exit,
                        retry: RetryAdvice::$retry,
                        responsible: Responsible::$who,
                        scored: $scored,
                    },)*
                    Code::Foreign(_) => CodeInfo {
                        title: "A failure that this version does not know",
                        layer: Layer::Plugin,
                        http: 500,
                        exit: 1,
                        retry: RetryAdvice::Never,
                        responsible: Responsible::Operator,
                        scored: false,
                    },
                }
            }

            /// Reads a code; whatever is not declared is kept as it is.
            #[must_use]
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => Code::$variant,)*
                    _ => Code::Foreign(text.to_owned()),
                }
            }
        }
    };
}

codes! {
    MissingExecutionScopeId "runtime.missing_execution_scope_id":
        Caller 400 2 Never Caller false "A session, turn or step id is blank or unusable";
    ExecutionScopeTurnIdMismatch "runtime.execution_scope_turn_id_mismatch":
        Caller 400 2 Never Caller false "The turn id and the scope id of one request differ";
    SessionExecutionBusy "runtime.session_execution_busy":
        Session 409 4 After Caller false "The session is running another turn";
    DurableStoreRequiredSessionStore "runtime.durable_store_required:session_store":
        Node 422 78 AfterFix Operator false "The node was given a session store that forgets";
    StoreCommitFailed "runtime.store_commit_failed":
        Store 503 9 AfterFix Operator false "A record could not be made durable";
    ProtocolTurnExtension "runtime.protocol_turn_extension":
        Caller 422 2 Never Caller false "The turn's options are not understood";
    IdempotencyConflict "runtime.idempotency_conflict":
        Caller 422 4 Never Caller false "The id or key was used before for something else";
    InvalidRequest "runtime.invalid_request":
        Caller 400 2 Never Caller false "The request is malformed";
    RequestTooLarge "runtime.request_too_large":
        Caller 413 2 Never Caller false "The request is larger than the node accepts";
    Unauthorized "runtime.unauthorized":
        Node 401 5 Never Caller false "The request carries no valid key";
    Forbidden "runtime.forbidden":
        Node 403 5 Never Caller false "The request comes from a place that is not allowed";
    NotFound "runtime.not_found":
        Caller 404 3 Never Caller false "There is no such session, turn, step, agent, task, run or route";
    StepNotInDoubt "runtime.step_not_in_doubt":
        Caller 422 4 Never Caller false "The step is not waiting to be resolved";
    EffectInDoubt "runtime.effect_in_doubt":
        Session 422 4 AfterFix Operator false "A crash left it unknown whether an effect happened";
    EffectPanicked "runtime.effect_panicked":
        Node 500 70 Never Bug false "Code that performs an effect panicked";
    TurnCancelled "runtime.turn_cancelled":
        Session 422 1 Never Caller false "The turn was cancelled";
    TurnQuarantined "runtime.turn_quarantined":
        Session 500 1 AfterFix Operator false "The turn was started again and again without progress";
    StepLimitReached "runtime.step_limit_reached":
        Session 422 1 Never Workload true "The agent used all the steps it was given";
    BudgetExceeded "runtime.budget_exceeded":
        Session 402 6 AfterFix Operator true "The agent used all the money it was given";
    SecretUnavailable "runtime.secret_unavailable":
        Node 422 78 AfterFix Operator false "A secret that the manifest names cannot be read";
    WorkspaceUnavailable "runtime.workspace_unavailable":
        Node 422 78 AfterFix Operator false "The workspace of a session cannot be opened";
    WorkspaceConflict "runtime.workspace_conflict":
        Session 422 4 AfterFix Caller false "The folder changed where the agent changed it too";
    ReplayDiverged "runtime.replay_diverged":
        Session 422 1 Never Bug false "A replay did not decide what the journal says";
    StoreDiskFull "store.disk_full":
        Store 503 9 AfterFix Operator false "The disk of the data directory is full";
    StoreIoFailed "store.io_failed":
        Store 503 9 AfterFix Operator false "The disk of the data directory failed";
    StoreReadOnly "store.read_only":
        Store 503 9 AfterFix Operator false "The data directory cannot be written";
    StoreLocked "store.locked":
        Store 503 4 After Operator false "Another node owns the data directory";
    StoreNewer "store.newer_version":
        Store 422 78 AfterFix Operator false "A newer version wrote the data directory";
    StoreCorrupt "store.corrupt":
        Store 500 9 AfterFix Operator false "The data directory holds damaged data";
    SandboxUnsupported "sandbox.unsupported":
        Sandbox 422 10 AfterFix Operator false "This host cannot enforce what the manifest asks for";
    SandboxFailed "sandbox.failed":
        Sandbox 500 70 AfterFix Operator false "The sandbox could not be set up";
    ToolUnknown "tool.unknown":
        Session 422 1 Never Workload true "The model called a tool that the agent does not have";
    ToolInvalidArguments "tool.invalid_arguments":
        Session 422 1 Never Workload true "The model called a tool with unusable arguments";
    ToolNotPermitted "tool.not_permitted":
        Sandbox 403 5 Never Workload true "A tool asked for something that is not allowed";
    ToolFailed "tool.failed":
        Session 422 1 Never Workload true "A tool reported a failure";
    ToolTimedOut "tool.timed_out":
        Sandbox 422 7 Never Workload true "A tool ran out of time and was stopped";
    ToolResourcesExhausted "tool.resources_exhausted":
        Sandbox 422 9 Never Workload true "A tool used more memory or processes than it was given";
    ManifestInvalid "manifest.invalid":
        Caller 422 2 AfterFix Caller false "The manifest is not valid";
    ManifestNotFound "manifest.not_found":
        Caller 404 3 AfterFix Caller false "There is no manifest here";
    NodeUnreachable "node.unreachable":
        Node 502 8 After Peer false "The node does not answer";
    NodeBusy "node.busy":
        Node 429 6 After Caller false "The node has as much under way as it takes";
    Internal "runtime.internal":
        Node 500 70 Never Bug false "Mainstay broke a promise of its own";
    RateLimited "inference.rate_limited":
        Inference 429 6 After Provider false "The provider limits the rate of requests";
    QuotaExhausted "inference.quota_exhausted":
        Inference 402 6 AfterFix Operator false "The provider's quota or credit is used up";
    ContentFiltered "inference.content_filtered":
        Inference 422 8 Never Workload false "The provider refused the content";
    ContextLengthExceeded "inference.context_length_exceeded":
        Inference 422 6 Never Workload true "The conversation is longer than the model accepts";
    BadRequest "inference.bad_request":
        Inference 422 8 Never Operator false "The provider refused the request as malformed";
    BadResponse "inference.bad_response":
        Inference 502 8 Now Provider false "The provider answered with something that is no answer";
    ModelNotFound "inference.model_not_found":
        Inference 422 3 AfterFix Operator false "The provider does not have the model";
    ProviderUnauthorized "inference.unauthorized":
        Inference 422 78 AfterFix Operator false "The provider refused the node's key";
    ProviderForbidden "inference.forbidden":
        Inference 422 5 AfterFix Operator false "The provider does not allow the request";
    Backpressure "inference.backpressure":
        Inference 503 6 After Provider false "The provider is overloaded";
    NetworkError "inference.network_error":
        Inference 502 8 Now Peer false "The provider could not be reached, or the connection broke";
    ServerError "inference.server_error":
        Inference 502 8 After Provider false "The provider failed";
    Timeout "inference.timeout":
        Inference 504 7 Now Provider false "The provider did not answer in time";
    CircuitOpen "inference.circuit_open":
        Inference 503 6 After Provider false "The provider failed too often and is left alone for a while";
    ModelBudgetExceeded "inference.budget_exceeded":
        Inference 402 6 AfterFix Operator false "A budget for model calls is used up";
    CudaContextPoisoned "inference.cuda_context_poisoned":
        Inference 503 8 AfterFix Operator false "The worker of a local model was lost and is started anew";
    InferenceInternal "inference.internal":
        Inference 500 70 Never Bug false "The model gateway broke a promise of its own";
    PriceUnknown "inference.price_unknown":
        Inference 422 78 AfterFix Operator false "A budget counts a model whose price nobody knows";
    BuildKeyFailed "task.build_key_failed":
        Task 422 1 AfterFix Caller true "The key of a task cannot be built";
    RestoreFailed "task.restore_failed":
        Task 422 9 AfterFix Operator false "The outputs of a task cannot be restored";
    SpawnFailed "task.spawn_failed":
        Task 422 1 AfterFix Workload true "The command of a task cannot be started";
    WaitFailed "task.wait_failed":
        Task 500 70 AfterFix Operator false "How the command of a task ended cannot be learned";
    CapturedStreamReadFailed "task.captured_stream_read_failed":
        Task 500 9 AfterFix Operator false "What the command of a task said cannot be read";
    OutputPatternResolutionFailed "task.output_pattern_resolution_failed":
        Task 422 1 AfterFix Workload true "The outputs of a task cannot be looked up";
    OutputModeReadFailed "task.output_mode_read_failed":
        Task 422 1 AfterFix Workload true "The permissions of a task's output cannot be read";
    OutputNotARegularFile "task.output_not_a_regular_file":
        Task 422 1 AfterFix Workload true "An output of a task is a pipe, a socket or a device";
    OutputDeclaredButNotProduced "task.output_declared_but_not_produced":
        Task 422 1 AfterFix Workload true "A task succeeded without making what it declares";
    StoreFailed "task.store_failed":
        Task 503 9 AfterFix Operator false "The result of a task could not be cached";
    MaterialisedOutputPathInvalid "task.materialised_output_path_invalid":
        Task 422 1 AfterFix Workload true "An output of a task has a path that cannot be kept";
    TaskFailed "task.failed":
        Task 422 1 Never Workload true "The command of a task failed";
    TaskTimedOut "task.timed_out":
        Task 422 7 Never Workload true "The command of a task ran out of time and was stopped";
    TaskSkipped "task.skipped":
        Task 422 1 AfterFix Caller false "A task did not run because one before it failed";
    TaskCancelled "task.cancelled":
        Task 422 1 Never Caller false "A task was stopped because its run was";
    ScriptExhausted "inference.script_exhausted":
        Inference 422 1 AfterFix Caller false "The scripted model has no step left for this call";
}

/// The first segment of every code of our own; nobody else may use them.
const NAMESPACES: &[&str] = &[
    "runtime",
    "inference",
    "task",
    "container",
    "store",
    "sandbox",
    "tool",
    "manifest",
    "node",
];

impl Code {
    /// Reads a code that comes from a plugin: it must lie in a namespace of its own.
    ///
    /// # Errors
    /// [`UnknownBuiltin`] where the text claims a namespace of Mainstay.
    pub fn from_plugin(text: &str) -> Result<Self, UnknownBuiltin> {
        let namespace = text.split_once('.').map_or("", |(first, _)| first);
        if namespace.is_empty() || NAMESPACES.contains(&namespace) {
            return Err(UnknownBuiltin(text.to_owned()));
        }
        Ok(Code::Foreign(text.to_owned()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Code::parse(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_in_our_namespaces() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            let namespace = code.as_str().split('.').next().unwrap();
            assert!(NAMESPACES.contains(&namespace), "{code}");
            assert_eq!(&Code::parse(code.as_str()), code);
        }
    }

    #[test]
    fn what_must_not_be_retried_has_no_status_that_clients_retry() {
        for code in Code::ALL {
            let info = code.info();
            let is_hopeless = matches!(info.retry, RetryAdvice::Never | RetryAdvice::AfterFix);
            let is_retried = matches!(info.http, 408 | 409 | 429 | 502 | 504);
            assert!(!(is_hopeless && is_retried), "{code}");
        }
    }

    #[test]
    fn infrastructure_is_never_scored() {
        for code in Code::ALL {
            let info = code.info();
            if matches!(info.layer, Layer::Store | Layer::Node | Layer::Caller) {
                assert!(!info.scored, "{code}");
            }
        }
    }

    #[test]
    fn foreign_codes_round_trip_and_cannot_forge_ours() {
        for text in ["acme.quota/é", "later.thing", "x"] {
            let json = serde_json::to_string(&Code::parse(text)).unwrap();
            let back: Code = serde_json::from_str(&json).unwrap();
            assert_eq!(back.as_str(), text);
        }
        assert!(Code::from_plugin("acme.quota/é").is_ok());
        for text in [
            "runtime.session_execution_busy",
            "inference.anything",
            "bare",
            ".x",
        ] {
            assert!(Code::from_plugin(text).is_err(), "{text}");
        }
    }
}
