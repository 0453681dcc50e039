//! What commands and outcomes mean.

use super::decide::is_in_doubt;
use super::state::Turn;
use super::{Awaited, Session, words};
use crate::{
    Effect, EffectClass, Input, ModelOutcome, OnBusy, ProbeOutcome, RecordKind, Rejected, Reply,
    Resolution, StartTurn, ToolOutcome, ToolStatus, TurnState, WorkspaceMode,
};
use mainstay_contract::{Code, Digest, ErrorReport, StepId, Timestamp, TurnId};

impl Session {
    /// Handles a command or an outcome. An outcome that nobody waits for changes nothing.
    ///
    /// # Errors
    /// [`Rejected`]; then nothing changed.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<Reply, Rejected> {
        match input {
            Input::StartTurn(start) => return self.start_turn(now, *start),
            Input::Cancel { turn } => return self.cancel(now, turn),
            Input::Resolve { step, resolution } => return self.resolve(now, step, resolution),
            Input::Suspend => {
                self.suspend(now);
                return Ok(Reply::Done);
            }
            Input::WorkspaceOpened { turn, state, mode } => {
                self.workspace_opened(now, &turn, state, mode);
            }
            Input::WorkspaceFailed { turn, error } => {
                if self.take_awaited(&Awaited::Workspace, &turn) {
                    self.fail_unless_cancelling(now, &turn, *error);
                }
            }
            Input::Model { step, outcome } => {
                if let Some(turn) = self.outcome_of(Awaited::Model(step.clone()), &step) {
                    self.model_ended(now, &turn, step, outcome);
                }
            }
            Input::Tool { step, outcome } => {
                if let Some(turn) = self.outcome_of(Awaited::Tool(step.clone()), &step) {
                    self.tool_ended(now, &turn, step, outcome);
                }
            }
            Input::Probe { step, outcome } => {
                if let Some(turn) = self.outcome_of(Awaited::Probe(step.clone()), &step) {
                    self.probe_ended(now, &turn, step, outcome);
                }
            }
        }
        self.advance(now);
        Ok(Reply::Done)
    }

    /// Notes that what is under way was given up on purpose, so that it does not count as a crash.
    fn suspend(&mut self, now: Timestamp) {
        let is_under_way = self.is_taken_up && self.awaited.is_some();
        let running = self.state.current().filter(|_| is_under_way);
        if let Some(turn) = running.map(|turn| turn.id.clone()) {
            self.record(now, &turn, RecordKind::TurnSuspended {});
        }
        self.awaited = None;
        self.effects.clear();
    }

    fn start_turn(&mut self, now: Timestamp, start: StartTurn) -> Result<Reply, Rejected> {
        if let Some(known) = self.state.turn(&start.turn) {
            let conflict = |what| Rejected::Conflict {
                turn: start.turn.clone(),
                what,
            };
            if known.input != start.input {
                return Err(conflict("input"));
            }
            if known.agent != start.config.agent {
                return Err(conflict("agent"));
            }
            return Ok(Reply::Known);
        }
        let waiting = || {
            self.state
                .queue
                .front()
                .and_then(|&at| self.state.turns.get(at))
        };
        let holder = self.state.current().or_else(waiting);
        match (start.on_busy, holder) {
            (OnBusy::Reject, Some(turn)) => Err(busy(turn)),
            (OnBusy::Steer, Some(turn)) => {
                let is_other = turn.agent != start.config.agent;
                if turn.state != TurnState::Running || turn.is_cancelling || is_other {
                    return Err(busy(turn));
                }
                let into = turn.id.clone();
                let kind = RecordKind::InputSteered {
                    from: start.turn,
                    input: start.input,
                };
                self.record(now, &into, kind);
                Ok(Reply::Steered { into })
            }
            (OnBusy::Interrupt, Some(turn)) => {
                let holder = turn.id.clone();
                let seq = self.accept(now, start);
                self.request_cancel(now, &holder);
                self.advance(now);
                Ok(Reply::Accepted {
                    seq,
                    is_queued: true,
                })
            }
            (_, held) => {
                let is_queued = held.is_some();
                let seq = self.accept(now, start);
                self.advance(now);
                Ok(Reply::Accepted { seq, is_queued })
            }
        }
    }

    fn accept(&mut self, now: Timestamp, start: StartTurn) -> mainstay_contract::Seq {
        let kind = RecordKind::TurnAccepted {
            config: start.config_digest,
            input: start.input,
            on_busy: start.on_busy,
        };
        self.record_with(now, &start.turn, kind, Some(start.config))
    }

    fn cancel(&mut self, now: Timestamp, turn: Option<TurnId>) -> Result<Reply, Rejected> {
        let id = match turn {
            Some(id) => id,
            None => match self.state.current() {
                Some(turn) => turn.id.clone(),
                None => return Ok(Reply::Done),
            },
        };
        let state = self
            .turn_state(&id)
            .ok_or(Rejected::UnknownTurn { turn: id.clone() })?;
        if state == TurnState::Accepted {
            let spent = self.spent(&id, now);
            self.record(now, &id, RecordKind::TurnCancelled { spent });
        } else if !state.is_final() {
            self.request_cancel(now, &id);
        }
        self.advance(now);
        Ok(Reply::Done)
    }

    /// Ends the turn that holds the session: at once where nothing is under way, otherwise when what
    /// is under way has been stopped.
    fn request_cancel(&mut self, now: Timestamp, turn: &TurnId) {
        let Some(state) = self.state.turn(turn) else {
            return;
        };
        if state.is_cancelling && state.is_suspended {
            // Its end was asked for before a stop: this takes it up.
            let attempt = state.attempt;
            self.record(now, turn, RecordKind::TurnResumed { attempt });
            return;
        }
        if state.is_cancelling
            || self
                .state
                .current()
                .is_none_or(|current| current.id != *turn)
        {
            if state.state == TurnState::Accepted {
                let spent = self.spent(turn, now);
                self.record(now, turn, RecordKind::TurnCancelled { spent });
            }
            return;
        }
        self.record(now, turn, RecordKind::CancelRequested {});
        match &self.awaited {
            Some(Awaited::Retry(..)) => self.awaited = None,
            Some(_) => self.effects.push_back(Effect::Abort { turn: turn.clone() }),
            None => {}
        }
    }

    fn resolve(
        &mut self,
        now: Timestamp,
        step: StepId,
        resolution: Resolution,
    ) -> Result<Reply, Rejected> {
        let unknown = || Rejected::UnknownStep { step: step.clone() };
        let (id, _) = step.parts().ok_or_else(unknown)?;
        let turn = self.state.turn(&id).ok_or_else(unknown)?;
        if turn.state == TurnState::Quarantined && resolution == Resolution::Retry {
            self.record(now, &id, RecordKind::TurnReleased {});
            self.advance(now);
            return Ok(Reply::Done);
        }
        if turn.step(&step).is_none() {
            return Err(unknown());
        }
        if turn.state != TurnState::InDoubt || !is_in_doubt(turn, &step) {
            return Err(Rejected::NotInDoubt { step });
        }
        self.settle(now, &id, step, resolution, false);
        self.advance(now);
        Ok(Reply::Done)
    }

    /// Records what became of a step whose outcome was unknown.
    fn settle(
        &mut self,
        now: Timestamp,
        turn: &TurnId,
        step: StepId,
        resolution: Resolution,
        by_probe: bool,
    ) {
        let Some((_, tool)) = self.state.turn(turn).and_then(|turn| turn.open_tool()) else {
            return;
        };
        let call = tool.call.id.clone();
        let ended = match &resolution {
            Resolution::Result(result) => Some((ToolStatus::Succeeded, *result)),
            Resolution::Fail(result) => Some((ToolStatus::Failed(Code::ToolFailed), *result)),
            Resolution::Retry => None,
        };
        let kind = RecordKind::ToolResolved {
            step: step.clone(),
            resolution,
            by_probe,
        };
        self.record(now, turn, kind);
        if let Some((status, result)) = ended {
            self.complete_tool(now, turn, step, call, status, result, None);
        }
    }

    fn workspace_opened(
        &mut self,
        now: Timestamp,
        turn: &TurnId,
        state: Digest,
        mode: WorkspaceMode,
    ) {
        if !self.take_awaited(&Awaited::Workspace, turn) {
            return;
        }
        self.is_workspace_open = true;
        if self.state.workspace != Some((state, mode)) {
            self.record(now, turn, RecordKind::WorkspaceOpened { state, mode });
        }
    }

    fn model_ended(&mut self, now: Timestamp, turn: &TurnId, step: StepId, outcome: ModelOutcome) {
        match outcome {
            ModelOutcome::Answered {
                message,
                calls,
                usage,
            } => {
                let cost = self
                    .state
                    .turn(turn)
                    .map(|turn| turn.config.price.cost(usage));
                let cost = cost.unwrap_or_default();
                let kind = RecordKind::ModelAnswered {
                    step,
                    message,
                    calls,
                    usage,
                    cost,
                };
                self.record(now, turn, kind);
            }
            ModelOutcome::Failed(error) => self.model_failed(now, turn, step, error),
            ModelOutcome::Aborted => {}
        }
    }

    fn model_failed(
        &mut self,
        now: Timestamp,
        turn: &TurnId,
        step: StepId,
        error: Box<ErrorReport>,
    ) {
        let Some(state) = self.state.turn(turn) else {
            return;
        };
        let failures = state.model_step().1.failures + 1;
        match Self::retry_wait(state, &step, failures, &error) {
            Some(wait) if !state.is_cancelling => {
                let retry_at = now.after(wait);
                let kind = RecordKind::ModelCallFailed {
                    step,
                    attempt: failures,
                    error,
                    retry_at,
                };
                self.record(now, turn, kind);
            }
            _ => self.fail_unless_cancelling(now, turn, *error),
        }
    }

    fn tool_ended(&mut self, now: Timestamp, turn: &TurnId, step: StepId, outcome: ToolOutcome) {
        let Some(state) = self.state.turn(turn) else {
            return;
        };
        let Some((_, tool)) = state.open_tool() else {
            return;
        };
        let call = tool.call.id.clone();
        let class = state
            .config
            .tools
            .get(&tool.call.name)
            .map(|policy| policy.class);
        let is_cancelling = state.is_cancelling;
        match outcome {
            ToolOutcome::Finished {
                status,
                result,
                workspace,
            } => {
                self.complete_tool(now, turn, step, call, status, result, workspace);
            }
            ToolOutcome::Failed(error) => {
                let result = self.own_result(&call, &error.message);
                let status = ToolStatus::Failed(error.code.clone());
                self.complete_tool(now, turn, step, call, status, result, None);
                self.fail_unless_cancelling(now, turn, *error);
            }
            ToolOutcome::Unknown(error) if class == Some(EffectClass::Once) => {
                self.unknown = Some(error);
            }
            ToolOutcome::Unknown(error) => {
                let result = self.own_result(&call, &error.message);
                let status = ToolStatus::Failed(error.code.clone());
                self.complete_tool(now, turn, step, call, status, result, None);
            }
            ToolOutcome::Aborted if is_cancelling => {
                let text = if class == Some(EffectClass::Once) {
                    words::UNKNOWN
                } else {
                    words::CANCELLED
                };
                let result = self.own_result(&call, text);
                self.complete_tool(now, turn, step, call, ToolStatus::Cancelled, result, None);
            }
            ToolOutcome::Aborted => {}
        }
    }

    fn probe_ended(&mut self, now: Timestamp, turn: &TurnId, step: StepId, outcome: ProbeOutcome) {
        match outcome {
            ProbeOutcome::Applied(result) => {
                self.settle(now, turn, step, Resolution::Result(result), true);
            }
            ProbeOutcome::Absent => self.settle(now, turn, step, Resolution::Retry, true),
            ProbeOutcome::Unknown(error) => {
                let is_cancelling = self.state.turn(turn).is_some_and(|turn| turn.is_cancelling);
                self.unknown = Some(error);
                if !is_cancelling {
                    self.doubt(now, turn, step);
                }
            }
        }
    }

    fn fail_unless_cancelling(&mut self, now: Timestamp, turn: &TurnId, error: ErrorReport) {
        if self
            .state
            .turn(turn)
            .is_some_and(|turn| !turn.is_cancelling)
        {
            self.fail(now, turn, error);
        }
    }

    /// Whether this outcome was waited for, and for which turn.
    fn outcome_of(&mut self, awaited: Awaited, step: &StepId) -> Option<TurnId> {
        let (turn, _) = step.parts()?;
        self.take_awaited(&awaited, &turn).then_some(turn)
    }

    fn take_awaited(&mut self, awaited: &Awaited, turn: &TurnId) -> bool {
        let is_current = self
            .state
            .current()
            .is_some_and(|current| current.id == *turn);
        let is_awaited = is_current && self.awaited.as_ref() == Some(awaited);
        if is_awaited {
            self.awaited = None;
        }
        is_awaited
    }
}

fn busy(turn: &Turn) -> Rejected {
    Rejected::Busy {
        holder: turn.id.clone(),
        is_parked: turn.state.is_parked(),
    }
}
