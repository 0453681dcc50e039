//! What comes next, given the state alone. A crash loses no decision: asked again, it is the same.

use super::state::{Step, ToolStep, Turn};
use super::{Awaited, Session, words};
use crate::{Effect, EffectClass, RecordKind, ToolStatus, TurnState};
use mainstay_contract::{Code, Digest, ErrorReport, StepId, Timestamp, TurnId};
use std::time::Duration;

/// Why a turn has to be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The process ended; perhaps because of the turn, so it counts towards its quarantine, unless
    /// the turn had been suspended before.
    Crash,
    /// The store refused to write, which is no fault of the turn.
    Store,
}

/// What comes next in a turn.
enum Move {
    OpenWorkspace,
    /// A call gets its result from the machine itself.
    Answer {
        step: StepId,
        call: String,
        code: Code,
        text: String,
    },
    RunTool {
        step: StepId,
        tool: ToolStep,
        class: EffectClass,
    },
    /// An intent without an outcome.
    FindOut {
        step: StepId,
        tool: ToolStep,
        has_probe: bool,
    },
    CallModel {
        step: StepId,
        failures: u32,
    },
    WaitToRetry {
        step: StepId,
        at: Timestamp,
    },
    Complete {
        message: Digest,
    },
    Fail(Box<ErrorReport>),
    Cancel,
}

impl Session {
    /// Takes up an interrupted turn, once, after the replay of a whole journal.
    pub fn resume(&mut self, now: Timestamp, interruption: Interruption) {
        self.is_taken_up = true;
        if let Some(turn) = self.state.current()
            && turn.state == TurnState::Running
        {
            let id = turn.id.clone();
            let is_crash = interruption == Interruption::Crash && !turn.is_suspended;
            let counted = u32::from(is_crash);
            let attempt = turn.attempt.saturating_add(counted);
            if attempt > turn.config.attempts_max && !turn.is_cancelling {
                let error = Box::new(words::quarantined(turn, attempt, now));
                self.record(now, &id, RecordKind::TurnQuarantined { error });
            } else {
                self.record(now, &id, RecordKind::TurnResumed { attempt });
            }
        }
        self.advance(now);
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if matches!(&self.awaited, Some(Awaited::Retry(_, at)) if *at <= now) {
            self.awaited = None;
            self.advance(now);
        }
    }

    /// Decides until an outcome or a command is needed.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while self.awaited.is_none() && self.decide(now) {}
    }

    /// Takes one decision; `false` where there is none to take.
    fn decide(&mut self, now: Timestamp) -> bool {
        let before = self.state.last_seq;
        let Some(turn) = self.state.current() else {
            let next = self
                .state
                .queue
                .front()
                .and_then(|&at| self.state.turns.get(at));
            let Some(next) = next.map(|turn| turn.id.clone()) else {
                return false;
            };
            self.record(now, &next, RecordKind::TurnStarted {});
            return self.state.last_seq > before;
        };
        // Turns behind one that is parked wait for its operator.
        if !turn.is_running() {
            return false;
        }
        let id = turn.id.clone();
        let next = match turn.is_cancelling {
            true => self.last_move(turn),
            false => self.next_move(turn, now),
        };
        self.take(now, &id, next);
        self.awaited.is_some() || self.state.last_seq > before
    }

    /// What comes next in a turn that is to end: what a crash left unknown is looked into, where a
    /// probe can answer and did not yet.
    fn last_move(&self, turn: &Turn) -> Move {
        if turn.attempt <= turn.config.attempts_max
            && self.unknown.is_none()
            && let Some((number, tool)) = turn.open_tool()
            && tool.is_intended
            && !tool.is_in_doubt
            && has_probe(turn, tool)
        {
            return Move::FindOut {
                step: turn.step_id(number),
                tool: tool.clone(),
                has_probe: true,
            };
        }
        Move::Cancel
    }

    fn next_move(&self, turn: &Turn, now: Timestamp) -> Move {
        if turn.is_answered
            && let Some(message) = turn.answer
        {
            return Move::Complete { message };
        }
        // What became of an effect outside does not depend on the view, and must not be lost with it.
        if let Some((number, tool)) = turn.open_tool()
            && tool.is_intended
        {
            return Move::FindOut {
                step: turn.step_id(number),
                tool: tool.clone(),
                has_probe: has_probe(turn, tool),
            };
        }
        if turn.config.has_workspace && !self.is_workspace_open {
            return Move::OpenWorkspace;
        }
        if let Some((number, tool)) = turn.open_tool() {
            return next_tool(turn, turn.step_id(number), tool);
        }
        if turn.model_calls >= turn.config.steps_max {
            return Move::Fail(Box::new(words::step_limit(turn)));
        }
        if let Some(budget) = turn.config.budget
            && turn.usd >= budget
        {
            return Move::Fail(Box::new(words::budget(turn, budget)));
        }
        let (number, model) = turn.model_step();
        let step = turn.step_id(number);
        match model.retry_at {
            Some(at) if at > now => Move::WaitToRetry { step, at },
            _ => Move::CallModel {
                step,
                failures: model.failures,
            },
        }
    }

    fn take(&mut self, now: Timestamp, turn: &TurnId, next: Move) {
        let config = self.state.turn(turn).map(|turn| turn.config_digest);
        let Some(config) = config else { return };
        match next {
            Move::OpenWorkspace => {
                let at = self.state.workspace.map(|(digest, _)| digest);
                self.effects.push_back(Effect::OpenWorkspace {
                    turn: turn.clone(),
                    config,
                    at,
                });
                self.awaited = Some(Awaited::Workspace);
            }
            Move::Answer {
                step,
                call,
                code,
                text,
            } => {
                let result = self.own_result(&call, &text);
                self.complete_tool(
                    now,
                    turn,
                    step,
                    call,
                    ToolStatus::Failed(code),
                    result,
                    None,
                );
            }
            Move::RunTool { step, tool, class } => {
                self.run_tool(now, turn, config, step, tool, class);
            }
            Move::FindOut {
                step,
                tool,
                has_probe: true,
            } => {
                self.probe_tool(turn, config, step, tool);
            }
            Move::FindOut {
                step,
                has_probe: false,
                ..
            } => self.doubt(now, turn, step),
            Move::CallModel { step, failures } => {
                self.effects.push_back(Effect::CallModel {
                    turn: turn.clone(),
                    step: step.clone(),
                    config,
                    messages: self.state.transcript.clone(),
                    attempt: failures,
                });
                self.awaited = Some(Awaited::Model(step));
            }
            Move::WaitToRetry { step, at } => self.awaited = Some(Awaited::Retry(step, at)),
            Move::Complete { message } => {
                let spent = self.spent(turn, now);
                self.record(now, turn, RecordKind::TurnCompleted { message, spent });
            }
            Move::Fail(error) => self.fail(now, turn, *error),
            Move::Cancel => self.finish_cancel(now, turn),
        }
    }

    fn run_tool(
        &mut self,
        now: Timestamp,
        turn: &TurnId,
        config: Digest,
        step: StepId,
        tool: ToolStep,
        class: EffectClass,
    ) {
        let call = tool.call.id;
        self.unknown = None;
        if class == EffectClass::Once {
            let (step, call) = (step.clone(), call.clone());
            self.record(now, turn, RecordKind::ToolIntended { step, call, class });
        }
        let key = self.key(&step);
        self.effects.push_back(Effect::RunTool {
            turn: turn.clone(),
            step: step.clone(),
            config,
            message: tool.message,
            call,
            class,
            key,
        });
        self.awaited = Some(Awaited::Tool(step));
    }

    fn probe_tool(&mut self, turn: &TurnId, config: Digest, step: StepId, tool: ToolStep) {
        let key = self.key(&step);
        self.effects.push_back(Effect::ProbeTool {
            turn: turn.clone(),
            step: step.clone(),
            config,
            message: tool.message,
            call: tool.call.id,
            key,
        });
        self.awaited = Some(Awaited::Probe(step));
    }

    /// Parks the turn: nobody knows whether the step took effect.
    pub(super) fn doubt(&mut self, now: Timestamp, turn: &TurnId, step: StepId) {
        let why = self.unknown.take();
        let Some(state) = self.state.turn(turn) else {
            return;
        };
        let error = Box::new(words::in_doubt(state, &step, why.as_deref(), now));
        self.record(now, turn, RecordKind::ToolInDoubt { step, error });
    }

    /// Ends the turn badly. Calls without a result get one that says so.
    pub(super) fn fail(&mut self, now: Timestamp, turn: &TurnId, mut error: ErrorReport) {
        self.answer_open_calls(now, turn, words::NOT_RUN);
        error.spent = self.spent(turn, now);
        self.record(
            now,
            turn,
            RecordKind::TurnFailed {
                error: Box::new(error),
            },
        );
    }

    fn finish_cancel(&mut self, now: Timestamp, turn: &TurnId) {
        self.answer_open_calls(now, turn, words::CANCELLED);
        let spent = self.spent(turn, now);
        self.record(now, turn, RecordKind::TurnCancelled { spent });
    }

    fn answer_open_calls(&mut self, now: Timestamp, turn: &TurnId, text: &str) {
        while let Some((step, call, is_intended)) = self.state.turn(turn).and_then(|state| {
            let (number, tool) = state.open_tool()?;
            Some((
                state.step_id(number),
                tool.call.id.clone(),
                tool.is_intended,
            ))
        }) {
            let text = if is_intended { words::UNKNOWN } else { text };
            let result = self.own_result(&call, text);
            self.complete_tool(now, turn, step, call, ToolStatus::Cancelled, result, None);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one record")]
    pub(super) fn complete_tool(
        &mut self,
        now: Timestamp,
        turn: &TurnId,
        step: StepId,
        call: String,
        status: ToolStatus,
        result: Digest,
        workspace: Option<Digest>,
    ) {
        self.unknown = None;
        let kind = RecordKind::ToolCompleted {
            step,
            call,
            status,
            result,
            workspace,
        };
        self.record(now, turn, kind);
    }

    /// How long to wait before a failed model call is repeated; `None` to give up.
    pub(super) fn retry_wait(
        turn: &Turn,
        step: &StepId,
        failures: u32,
        error: &ErrorReport,
    ) -> Option<Duration> {
        use mainstay_contract::RetryAdvice;
        let advised = match error.retry.advice {
            RetryAdvice::Now => None,
            RetryAdvice::After => error.retry.after_ms.map(Duration::from_millis),
            RetryAdvice::Never | RetryAdvice::Elsewhere | RetryAdvice::AfterFix => return None,
        };
        let seed = blake3::hash(format!("{step}:{failures}").as_bytes());
        let [a, b, c, d, ..] = *seed.as_bytes();
        turn.config
            .retry
            .wait(failures, advised, u32::from_le_bytes([a, b, c, d]))
    }

    pub(super) fn spent(&self, turn: &TurnId, now: Timestamp) -> mainstay_contract::Spent {
        self.state
            .turn(turn)
            .map(|turn| turn.spent(now))
            .unwrap_or_default()
    }

    /// The idempotency key of a step, the same for every repetition.
    fn key(&self, step: &StepId) -> String {
        let hash = blake3::hash(format!("{}\n{step}", self.id).as_bytes()).to_hex();
        format!("mainstay_{}", &hash.as_str()[..32])
    }
}

fn next_tool(turn: &Turn, step: StepId, tool: &ToolStep) -> Move {
    if turn.model_calls >= turn.config.steps_max {
        return Move::Fail(Box::new(words::step_limit(turn)));
    }
    let answer = |code, text: String| Move::Answer {
        step: step.clone(),
        call: tool.call.id.clone(),
        code,
        text,
    };
    if tool.is_duplicate {
        return answer(Code::ToolInvalidArguments, words::DUPLICATE_CALL.to_owned());
    }
    let Some(policy) = turn.config.tools.get(&tool.call.name) else {
        return answer(
            Code::ToolUnknown,
            words::unknown_tool(turn, &tool.call.name),
        );
    };
    Move::RunTool {
        step,
        tool: tool.clone(),
        class: policy.class,
    }
}

fn has_probe(turn: &Turn, tool: &ToolStep) -> bool {
    let policy = turn.config.tools.get(&tool.call.name);
    policy.is_some_and(|policy| policy.has_probe)
}

/// Whether the step is the tool call that comes next and waits for a word.
pub(super) fn is_in_doubt(turn: &Turn, step: &StepId) -> bool {
    matches!(turn.step(step), Some(Step::Tool(tool)) if tool.is_in_doubt)
}
