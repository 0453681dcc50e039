//! Batches that a session could really write: an accepted turn, then steps of one model answer and one
//! tool result each.

#![expect(
    clippy::unwrap_used,
    reason = "the ids are made here and are well formed"
)]

use mainstay_contract::{AgentName, Seq, SessionId, Spent, StepId, Timestamp, TurnId, Usage, Usd};
use mainstay_resilience::RetryPolicy;
use mainstay_sessions::{
    Blob, CallRef, EffectClass, JournalBatch, OnBusy, Price, Record, RecordKind, ToolPolicy,
    ToolStatus, TurnConfig, TurnRow, TurnState, digest,
};

/// Makes the batches of one turn of one session.
#[derive(Debug, Clone)]
pub struct Steps {
    session: SessionId,
    turn: TurnId,
    agent: AgentName,
    begun: Timestamp,
    now: Timestamp,
    seq: u64,
    step: u32,
}

impl Steps {
    /// A session that does not exist yet. The first two batches accept and start its turn.
    ///
    /// # Panics
    /// Where the text is no id.
    #[must_use]
    pub fn new(session: &str) -> Self {
        Self {
            session: SessionId::new(session).unwrap(),
            turn: TurnId::new(format!("{session}.turn")).unwrap(),
            agent: AgentName::new("agent").unwrap(),
            begun: Timestamp(1),
            now: Timestamp(1),
            seq: 0,
            step: 0,
        }
    }

    /// The same with another turn.
    #[must_use]
    pub fn with_turn(self, turn: TurnId) -> Self {
        Self { turn, ..self }
    }

    /// The same, begun at another time.
    #[must_use]
    pub fn starting_at(self, now: Timestamp) -> Self {
        Self {
            begun: now,
            now,
            ..self
        }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The turn.
    #[must_use]
    pub fn turn(&self) -> TurnId {
        self.turn.clone()
    }

    /// The next batch: two records with their small blobs.
    pub fn step(&mut self) -> JournalBatch {
        let text = format!(
            "{{\"role\":\"tool\",\"text\":\"line {} of {} came out as expected\"}}",
            self.seq, self.session
        );
        self.step_with(text.as_bytes())
    }

    /// The next batch, whose last blob has this content.
    pub fn step_with(&mut self, content: &[u8]) -> JournalBatch {
        if self.seq == 0 {
            return self.begin(content);
        }
        let (model, tool) = (self.step + 1, self.step + 2);
        self.step = tool;
        let call = format!("call_{tool}");
        let answer = format!(
            "{{\"role\":\"assistant\",\"text\":\"\",\"tool_calls\":[{{\"id\":\"{call}\",\"name\":\"shell\",\
             \"input\":{{\"command\":\"echo {tool} of {}\"}}}}]}}",
            self.session
        );
        let answer = Blob::bytes(answer.into_bytes());
        let result = Blob::bytes(content.to_vec());
        let answered = RecordKind::ModelAnswered {
            step: StepId::of(&self.turn, model),
            message: answer.digest,
            calls: vec![CallRef {
                id: call.clone(),
                name: "shell".to_owned(),
            }],
            usage: Usage::default(),
            cost: Usd::ZERO,
        };
        let completed = RecordKind::ToolCompleted {
            step: StepId::of(&self.turn, tool),
            call,
            status: ToolStatus::Succeeded,
            result: result.digest,
            workspace: None,
        };
        self.batch(vec![answered, completed], vec![answer, result], Vec::new())
    }

    fn begin(&mut self, content: &[u8]) -> JournalBatch {
        let policy = ToolPolicy {
            class: EffectClass::Pure,
            has_probe: false,
        };
        let config = TurnConfig {
            agent: self.agent.clone(),
            steps_max: u32::MAX,
            budget: None,
            price: Price::default(),
            retry: RetryPolicy::default(),
            attempts_max: 3,
            tools: [("shell".to_owned(), policy)].into(),
            has_workspace: false,
            shell: serde_json::Value::Null,
        };
        let config = Blob::bytes(serde_json::to_vec(&config).unwrap());
        let input = Blob::bytes(content.to_vec());
        let accepted = RecordKind::TurnAccepted {
            config: config.digest,
            input: digest(content),
            on_busy: OnBusy::Queue,
        };
        let kinds = vec![accepted, RecordKind::TurnStarted {}];
        let turns = vec![self.row(TurnState::Running)];
        self.batch(kinds, vec![config, input], turns)
    }

    /// The batch that ends the turn.
    pub fn end(&mut self, now: Timestamp) -> JournalBatch {
        self.now = now;
        let spent = Spent::default();
        let kinds = vec![
            RecordKind::CancelRequested {},
            RecordKind::TurnCancelled { spent },
        ];
        let turns = vec![self.row(TurnState::Cancelled)];
        self.batch(kinds, Vec::new(), turns)
    }

    fn row(&self, state: TurnState) -> TurnRow {
        TurnRow {
            turn: self.turn.clone(),
            session: self.session.clone(),
            agent: self.agent.clone(),
            state,
            accepted_at: self.begun,
            changed_at: self.now,
        }
    }

    fn batch(
        &mut self,
        kinds: Vec<RecordKind>,
        blobs: Vec<Blob>,
        turns: Vec<TurnRow>,
    ) -> JournalBatch {
        let mut records = Vec::new();
        for kind in kinds {
            self.seq += 1;
            records.push(Record {
                seq: Seq(self.seq),
                at: self.now,
                turn: self.turn.clone(),
                kind,
            });
        }
        JournalBatch {
            session: self.session.clone(),
            agent: self.agent.clone(),
            records,
            blobs,
            turns,
        }
    }
}
