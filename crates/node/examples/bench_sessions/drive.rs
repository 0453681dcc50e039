//! Drives one session as the node's actor does, with effects that are done at once.

use mainstay_contract::{AgentName, Message, Role, SessionId, Timestamp, ToolCall, TurnId, Usage};
use mainstay_resilience::RetryPolicy;
use mainstay_sessions::{
    Blob, BlobContent, CallRef, Effect, EffectClass, Input, Interruption, Journal, JournalBatch,
    ModelOutcome, OnBusy, Price, RecordKind, Session, StartTurn, ToolOutcome, ToolPolicy,
    ToolStatus, TurnConfig, encode_message,
};
use mainstay_storage::{OpenParams, SqliteJournal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) fn journal(folder: &Path) -> Arc<SqliteJournal> {
    let params = OpenParams {
        database: folder.join("mainstay.db"),
        blobs: folder.join("blobs"),
    };
    Arc::new(SqliteJournal::open(params).unwrap())
}

pub(crate) struct Drive {
    journal: Arc<SqliteJournal>,
    machine: Session,
    turn: TurnId,
    steps: u32,
    blobs: Vec<Blob>,
}

impl Drive {
    pub(crate) fn new(journal: Arc<SqliteJournal>, session: &str, steps: u32) -> Self {
        let session = SessionId::new(session).unwrap();
        Self {
            journal,
            turn: TurnId::new(format!("{session}-turn")).unwrap(),
            machine: Session::new(session),
            steps,
            blobs: Vec::new(),
        }
    }

    /// Runs one turn of so many steps; how long each took.
    pub(crate) async fn run(mut self) -> Vec<Duration> {
        let mut times = Vec::new();
        self.machine.resume(now(), Interruption::Crash);
        self.start(EffectClass::Pure);
        let mut begun = Instant::now();
        loop {
            let has_result = self.write().await;
            if has_result {
                times.push(begun.elapsed());
                begun = Instant::now();
            }
            let Some(effect) = self.machine.poll_effect() else {
                return times;
            };
            let steps = self.steps;
            let performed = tokio::spawn(async move { perform(effect, steps) });
            let (input, blob) = performed.await.unwrap();
            self.blobs.push(blob);
            self.machine.handle(now(), input).unwrap();
        }
    }

    /// Runs one turn until its tool's outcome is unknown, so that it waits for an operator.
    pub(crate) async fn park(mut self) {
        self.start(EffectClass::Once);
        self.write().await;
        while let Some(effect) = self.machine.poll_effect() {
            if let Effect::RunTool { step, .. } = &effect {
                let code = mainstay_contract::Code::ToolFailed;
                let error = mainstay_contract::ErrorReport::new(code, "the answer was lost");
                let outcome = ToolOutcome::Unknown(Box::new(error));
                let input = Input::Tool {
                    step: step.clone(),
                    outcome,
                };
                self.machine.handle(now(), input).unwrap();
            } else {
                let (input, blob) = perform(effect, self.steps);
                self.blobs.push(blob);
                self.machine.handle(now(), input).unwrap();
            }
            self.write().await;
        }
    }

    fn start(&mut self, class: EffectClass) {
        let config = config(class, self.steps);
        let blob = Blob::bytes(serde_json::to_vec(&config).unwrap());
        let (input, bytes) = encode_message(&Message::text(Role::User, "go"));
        let start = StartTurn {
            turn: self.turn.clone(),
            config_digest: blob.digest,
            config,
            input,
            on_busy: OnBusy::Reject,
        };
        self.blobs.push(blob);
        self.blobs.push(Blob {
            digest: input,
            content: BlobContent::Bytes(bytes),
        });
        self.machine
            .handle(now(), Input::StartTurn(Box::new(start)))
            .unwrap();
    }

    /// Writes what was decided; whether it holds the result of a tool.
    async fn write(&mut self) -> bool {
        let Some(outbox) = self.machine.poll_outbox() else {
            return false;
        };
        let has_result = outbox
            .records
            .iter()
            .any(|record| matches!(record.kind, RecordKind::ToolCompleted { .. }));
        let mut blobs = std::mem::take(&mut self.blobs);
        blobs.extend(outbox.blobs);
        let batch = JournalBatch {
            session: self.machine.id().clone(),
            agent: AgentName::new("bench").unwrap(),
            records: outbox.records,
            blobs,
            turns: outbox.turns,
        };
        self.journal.append(batch).await.unwrap();
        self.machine.written(self.machine.last_seq());
        has_result
    }
}

fn perform(effect: Effect, steps: u32) -> (Input, Blob) {
    match effect {
        Effect::CallModel { step, messages, .. } => {
            let number = u32::try_from(messages.len() / 2).unwrap();
            let calls = if number < steps {
                vec![ToolCall {
                    id: format!("call_{number}"),
                    name: "tool".to_owned(),
                    arguments: format!("{{\"line\": {number}}}"),
                }]
            } else {
                Vec::new()
            };
            let reference = |call: &ToolCall| CallRef {
                id: call.id.clone(),
                name: call.name.clone(),
            };
            let references = calls.iter().map(reference).collect();
            let text = format!("Step {number}: the next line has to be written.");
            let message = Message {
                tool_calls: calls,
                ..Message::text(Role::Assistant, text)
            };
            let (digest, bytes) = encode_message(&message);
            let usage = Usage {
                input_tokens: 100,
                output_tokens: 20,
            };
            let outcome = ModelOutcome::Answered {
                message: digest,
                calls: references,
                usage,
            };
            let blob = Blob {
                digest,
                content: BlobContent::Bytes(bytes),
            };
            (Input::Model { step, outcome }, blob)
        }
        Effect::RunTool { step, call, .. } => {
            let message = Message::tool_result(&call, format!("wrote the line of {step}"));
            let (digest, bytes) = encode_message(&message);
            let status = ToolStatus::Succeeded;
            let outcome = ToolOutcome::Finished {
                status,
                result: digest,
                workspace: None,
            };
            let blob = Blob {
                digest,
                content: BlobContent::Bytes(bytes),
            };
            (Input::Tool { step, outcome }, blob)
        }
        other => panic!("nothing else is asked for: {other:?}"),
    }
}

fn config(class: EffectClass, steps: u32) -> TurnConfig {
    let policy = ToolPolicy {
        class,
        has_probe: false,
    };
    TurnConfig {
        agent: AgentName::new("bench").unwrap(),
        steps_max: steps + 1,
        budget: None,
        price: Price::default(),
        retry: RetryPolicy::default(),
        attempts_max: 5,
        tools: BTreeMap::from([("tool".to_owned(), policy)]),
        has_workspace: false,
        shell: serde_json::Value::Null,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}
