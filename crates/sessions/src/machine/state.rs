//! What the records of a session add up to.

use crate::{CallRef, ToolStatus, TurnConfig, TurnState, WorkspaceMode};
use mainstay_contract::{
    AgentName, Digest, ErrorReport, Seq, Spent, StepId, Timestamp, TurnId, Usage, Usd,
};
use std::collections::{HashMap, VecDeque};

/// The whole durable state of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) last_seq: Seq,
    pub(super) turns: Vec<Turn>,
    pub(super) by_id: HashMap<TurnId, usize>,
    /// The turn that holds the session: running or parked.
    pub(super) current: Option<usize>,
    /// Accepted turns, in the order they will start.
    pub(super) queue: VecDeque<usize>,
    /// The conversation, oldest first; every call is followed by its result.
    pub(super) transcript: Vec<Digest>,
    pub(super) workspace: Option<(Digest, WorkspaceMode)>,
}

/// One turn.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) id: TurnId,
    pub(super) agent: AgentName,
    pub(super) config_digest: Digest,
    pub(super) config: TurnConfig,
    pub(super) input: Digest,
    pub(super) state: TurnState,
    pub(super) accepted_at: Timestamp,
    pub(super) changed_at: Timestamp,
    pub(super) steps: Vec<Step>,
    /// The first step that may still be waiting for its result.
    pub(super) settled: usize,
    pub(super) model_calls: u32,
    pub(super) usage: Usage,
    pub(super) usd: Usd,
    pub(super) attempt: u32,
    pub(super) is_cancelling: bool,
    /// Whether a node stopped in good order and none took the turn up again.
    pub(super) is_suspended: bool,
    /// Whether it ended with a call of which nobody knows whether it took effect.
    pub(super) has_unknown: bool,
    /// Inputs handed over while it ran, not yet in the conversation.
    pub(super) steered: Vec<Digest>,
    pub(super) answer: Option<Digest>,
    pub(super) is_answered: bool,
    pub(super) error: Option<ErrorReport>,
}

/// One step of a turn.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Model(ModelStep),
    Tool(ToolStep),
}

#[derive(Debug, Clone, Default)]
pub(super) struct ModelStep {
    pub(super) failures: u32,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) message: Option<Digest>,
}

#[derive(Debug, Clone)]
pub(super) struct ToolStep {
    /// The assistant message that holds the call.
    pub(super) message: Digest,
    pub(super) call: CallRef,
    /// Whether an earlier call of the same answer has the same id.
    pub(super) is_duplicate: bool,
    /// Whether an intent is recorded and no outcome.
    pub(super) is_intended: bool,
    pub(super) is_in_doubt: bool,
    pub(super) status: Option<ToolStatus>,
    pub(super) result: Option<Digest>,
}

impl State {
    pub(super) fn turn(&self, id: &TurnId) -> Option<&Turn> {
        self.by_id.get(id).and_then(|&at| self.turns.get(at))
    }

    pub(super) fn current(&self) -> Option<&Turn> {
        self.current.and_then(|at| self.turns.get(at))
    }

    pub(super) fn add(&mut self, turn: Turn) -> usize {
        let at = self.turns.len();
        self.by_id.insert(turn.id.clone(), at);
        self.turns.push(turn);
        at
    }
}

impl Turn {
    pub(super) fn new(
        id: TurnId,
        config: TurnConfig,
        config_digest: Digest,
        input: Digest,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            agent: config.agent.clone(),
            config_digest,
            config,
            input,
            state: TurnState::Accepted,
            accepted_at: now,
            changed_at: now,
            steps: Vec::new(),
            settled: 0,
            model_calls: 0,
            usage: Usage::default(),
            usd: Usd::ZERO,
            attempt: 0,
            is_cancelling: false,
            is_suspended: false,
            has_unknown: false,
            steered: Vec::new(),
            answer: None,
            is_answered: false,
            error: None,
        }
    }

    /// Whether it is worked on now.
    pub(super) fn is_running(&self) -> bool {
        self.state == TurnState::Running && !self.is_suspended
    }

    /// The step that comes next: an unsettled tool call, a model call to repeat, or a new one.
    pub(super) fn open_step(&self) -> Option<(u32, &Step)> {
        let step = self.steps.get(self.settled)?;
        Some((number(self.settled), step))
    }

    /// The tool call that comes next.
    pub(super) fn open_tool(&self) -> Option<(u32, &ToolStep)> {
        match self.open_step()? {
            (number, Step::Tool(step)) => Some((number, step)),
            (_, Step::Model(_)) => None,
        }
    }

    /// The number of the next model call.
    pub(super) fn model_step(&self) -> (u32, ModelStep) {
        match self.open_step() {
            Some((number, Step::Model(step))) => (number, step.clone()),
            _ => (number(self.steps.len()), ModelStep::default()),
        }
    }

    pub(super) fn step_id(&self, number: u32) -> StepId {
        StepId::of(&self.id, number)
    }

    pub(super) fn step(&self, id: &StepId) -> Option<&Step> {
        let (turn, number) = id.parts()?;
        // Only the canonical form is an id: `t.02` parses, and is no step.
        if turn != self.id || number == 0 || *id != self.step_id(number) {
            return None;
        }
        self.steps.get(usize::try_from(number).ok()? - 1)
    }

    pub(super) fn spent(&self, now: Timestamp) -> Spent {
        Spent {
            input_tokens: self.usage.input_tokens,
            output_tokens: self.usage.output_tokens,
            usd: self.usd,
            ms: u64::try_from(now.since(self.accepted_at).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX - 1) + 1
}
