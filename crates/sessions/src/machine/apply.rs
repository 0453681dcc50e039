//! How each record changes the state. Deciding and replaying both go through here, so the state that
//! a crash rebuilds is the state that was lost.

use super::state::{ModelStep, State, Step, ToolStep, Turn};
use crate::{
    CallRef, EffectClass, OnBusy, Record, RecordKind, Resolution, ToolStatus, TurnConfig, TurnState,
};
use mainstay_contract::{Code, Digest, EffectState, ErrorReport, StepId, Timestamp, TurnId};
use std::collections::HashSet;

/// Why a record cannot follow.
pub(super) type Impossible = String;

impl State {
    /// Takes a record in. `config` is the snapshot that an accepted turn names.
    pub(super) fn apply(
        &mut self,
        record: &Record,
        config: Option<TurnConfig>,
    ) -> Result<(), Impossible> {
        match &record.kind {
            RecordKind::TurnAccepted {
                config: digest,
                input,
                on_busy,
            } => {
                let config = config.ok_or("its configuration is not at hand")?;
                let waits = matches!(on_busy, OnBusy::Queue | OnBusy::Interrupt);
                if !waits && (self.current.is_some() || !self.queue.is_empty()) {
                    return Err("the session was busy".to_owned());
                }
                let is_first = *on_busy == OnBusy::Interrupt;
                self.accept(record, config, *digest, *input, is_first)?;
            }
            RecordKind::TurnStarted {} => self.start(record)?,
            RecordKind::TurnCancelled { .. } if self.queued(&record.turn).is_some() => {
                self.leave_queue(record)?;
            }
            _ => self.apply_to_current(record)?,
        }
        self.last_seq = record.seq;
        Ok(())
    }

    fn accept(
        &mut self,
        record: &Record,
        config: TurnConfig,
        config_digest: Digest,
        input: Digest,
        is_first: bool,
    ) -> Result<(), Impossible> {
        if self.by_id.contains_key(&record.turn) {
            return Err("the turn was accepted before".to_owned());
        }
        let turn = record.turn.clone();
        let at = self.add(Turn::new(turn, config, config_digest, input, record.at));
        if is_first {
            self.queue.push_front(at);
        } else {
            self.queue.push_back(at);
        }
        Ok(())
    }

    fn start(&mut self, record: &Record) -> Result<(), Impossible> {
        if self.current.is_some() {
            return Err("another turn holds the session".to_owned());
        }
        let at = *self.queue.front().ok_or("no turn waits")?;
        let turn = self.turns.get_mut(at).filter(|turn| turn.id == record.turn);
        let turn = turn.ok_or("it is not the turn that comes next")?;
        turn.state = TurnState::Running;
        turn.changed_at = record.at;
        self.transcript.push(turn.input);
        self.queue.pop_front();
        self.current = Some(at);
        Ok(())
    }

    fn queued(&self, id: &TurnId) -> Option<usize> {
        let at = *self.by_id.get(id)?;
        self.queue.iter().position(|&waiting| waiting == at)
    }

    fn leave_queue(&mut self, record: &Record) -> Result<(), Impossible> {
        let place = self.queued(&record.turn).ok_or("the turn does not wait")?;
        let at = self.queue.remove(place).ok_or("the turn does not wait")?;
        let turn = self.turns.get_mut(at).ok_or("the turn is unknown")?;
        turn.end(TurnState::Cancelled, record.at, Some(cancelled(turn)));
        Ok(())
    }

    fn apply_to_current(&mut self, record: &Record) -> Result<(), Impossible> {
        let at = self.current.ok_or("no turn holds the session")?;
        let turn = self.turns.get_mut(at).filter(|turn| turn.id == record.turn);
        let turn = turn.ok_or("another turn holds the session")?;
        let now = record.at;
        turn.must_fit(&record.kind)?;
        match &record.kind {
            RecordKind::TurnSuspended {} => turn.is_suspended = true,
            RecordKind::TurnResumed { attempt } => turn.resumed(*attempt)?,
            RecordKind::WorkspaceOpened { state, mode } => {
                self.workspace = Some((*state, *mode));
                turn.attempt = 0;
            }
            RecordKind::InputSteered { from, input } => {
                if self.by_id.contains_key(from) {
                    return Err("the steering turn was accepted before".to_owned());
                }
                turn.steered.push(*input);
                let steered = turn.steering(from.clone(), *input, now);
                self.add(steered);
            }
            RecordKind::ModelCallFailed {
                step,
                attempt,
                retry_at,
                ..
            } => {
                turn.model_failed(step, *attempt, *retry_at)?;
            }
            RecordKind::ModelAnswered {
                step,
                message,
                calls,
                usage,
                cost,
            } => {
                turn.answered(step, *message, calls)?;
                turn.usage = turn.usage.plus(*usage);
                turn.usd = turn.usd.plus(*cost);
                self.transcript.push(*message);
                turn.flush_steered(&mut self.transcript);
            }
            RecordKind::ToolIntended { step, call, class } => turn.intended(step, call, *class)?,
            RecordKind::ToolInDoubt { step, error } => {
                turn.tool_in_flight(step)?.is_in_doubt = true;
                turn.park(TurnState::InDoubt, now, error);
            }
            RecordKind::ToolResolved {
                step,
                resolution,
                by_probe,
            } => turn.resolved(step, resolution, *by_probe, now)?,
            RecordKind::ToolCompleted {
                step,
                call,
                status,
                result,
                workspace,
            } => {
                turn.completed(step, call, status, *result)?;
                self.transcript.push(*result);
                turn.flush_steered(&mut self.transcript);
                if let (Some(state), Some(held)) = (workspace, self.workspace.as_mut()) {
                    held.0 = *state;
                }
            }
            _ => return self.apply_to_course(record, at),
        }
        Ok(())
    }

    /// Records about where the turn is going rather than what its steps did.
    fn apply_to_course(&mut self, record: &Record, at: usize) -> Result<(), Impossible> {
        let now = record.at;
        let turn = self.turns.get_mut(at).ok_or("the turn is unknown")?;
        match &record.kind {
            RecordKind::CancelRequested {} => {
                turn.is_cancelling = true;
                turn.error = None;
                turn.run(now);
            }
            RecordKind::TurnReleased {} => {
                turn.attempt = 0;
                turn.error = None;
                turn.run(now);
            }
            RecordKind::TurnQuarantined { error } => turn.park(TurnState::Quarantined, now, error),
            RecordKind::TurnCompleted { message, .. } => {
                turn.must_have_no_open_call()?;
                if !turn.is_answered || turn.answer != Some(*message) {
                    return Err("it is not the last answer of the model".to_owned());
                }
                turn.end(TurnState::Completed, now, None);
                self.current = None;
            }
            RecordKind::TurnFailed { error } => {
                turn.must_have_no_open_call()?;
                self.transcript.append(&mut turn.steered);
                turn.end(TurnState::Failed, now, Some((**error).clone()));
                self.current = None;
            }
            RecordKind::TurnCancelled { spent } => {
                turn.must_have_no_open_call()?;
                self.transcript.append(&mut turn.steered);
                let mut error = cancelled(turn);
                error.spent = *spent;
                turn.end(TurnState::Cancelled, now, Some(error));
                self.current = None;
            }
            _ => return Err("it does not belong to a turn that runs".to_owned()),
        }
        Ok(())
    }
}

impl Turn {
    /// Whether a record of this kind can come where the turn stands.
    fn must_fit(&self, kind: &RecordKind) -> Result<(), Impossible> {
        let is_running = self.is_running();
        let is_free = is_running && !self.is_cancelling;
        let fits = match kind {
            RecordKind::WorkspaceOpened { .. } => is_running && self.config.has_workspace,
            RecordKind::TurnQuarantined { .. }
            | RecordKind::ToolInDoubt { .. }
            | RecordKind::ToolIntended { .. } => is_free,
            RecordKind::InputSteered { .. }
            | RecordKind::TurnFailed { .. }
            | RecordKind::ModelCallFailed { .. } => is_free && !self.is_answered,
            RecordKind::TurnCompleted { .. } => is_free && self.is_answered,
            RecordKind::ModelAnswered { .. } => {
                is_running && self.model_calls < self.config.steps_max
            }
            RecordKind::ToolResolved { by_probe, .. } => {
                is_running == *by_probe && self.state != TurnState::Quarantined
            }
            RecordKind::TurnResumed { .. } => self.state == TurnState::Running,
            RecordKind::TurnReleased {} => self.state == TurnState::Quarantined,
            RecordKind::CancelRequested {} => !self.is_cancelling,
            RecordKind::TurnCancelled { .. } => is_running && self.is_cancelling,
            _ => is_running,
        };
        if fits {
            Ok(())
        } else {
            Err(format!("the turn is {:?} and cannot take it", self.state))
        }
    }

    /// A crash counts, a store that refused or a stop in good order does not.
    fn resumed(&mut self, attempt: u32) -> Result<(), Impossible> {
        let counted = self.attempt.checked_add(1).filter(|_| !self.is_suspended);
        if attempt != self.attempt && Some(attempt) != counted {
            return Err(format!("attempt {attempt} cannot follow {}", self.attempt));
        }
        self.attempt = attempt;
        self.is_suspended = false;
        Ok(())
    }

    fn intended(
        &mut self,
        step: &StepId,
        call: &str,
        class: EffectClass,
    ) -> Result<(), Impossible> {
        let tools = &self.config.tools;
        let declared = |name: &str| tools.get(name).map(|policy| policy.class);
        let open = self
            .open_tool()
            .and_then(|(_, tool)| declared(&tool.call.name));
        if class != EffectClass::Once || open != Some(class) {
            return Err("the tool needs no intent".to_owned());
        }
        let tool = self.tool(step, Some(call))?;
        if tool.is_duplicate || tool.is_intended {
            return Err("the call was intended before".to_owned());
        }
        tool.is_intended = true;
        Ok(())
    }

    /// The tool call whose intent is recorded and whose outcome is not.
    fn tool_in_flight(&mut self, step: &StepId) -> Result<&mut ToolStep, Impossible> {
        let tool = self.tool(step, None)?;
        if tool.is_intended {
            Ok(tool)
        } else {
            Err("the step is not waiting for an outcome".to_owned())
        }
    }

    fn model_failed(
        &mut self,
        step: &StepId,
        attempt: u32,
        retry_at: Timestamp,
    ) -> Result<(), Impossible> {
        let model = self.model(step)?;
        if model.failures.checked_add(1) != Some(attempt) {
            return Err(format!(
                "failure {attempt} cannot follow {}",
                model.failures
            ));
        }
        model.failures = attempt;
        model.retry_at = Some(retry_at);
        self.attempt = 0;
        Ok(())
    }

    fn answered(
        &mut self,
        step: &StepId,
        message: Digest,
        calls: &[CallRef],
    ) -> Result<(), Impossible> {
        let model = self.model(step)?;
        model.message = Some(message);
        model.retry_at = None;
        self.settled = self.steps.len();
        self.model_calls += 1;
        self.attempt = 0;
        let mut seen = HashSet::new();
        for call in calls {
            self.steps.push(Step::Tool(ToolStep {
                message,
                is_duplicate: !seen.insert(call.id.as_str()),
                call: call.clone(),
                is_intended: false,
                is_in_doubt: false,
                status: None,
                result: None,
            }));
        }
        self.answer = Some(message);
        self.is_answered = calls.is_empty() && self.steered.is_empty();
        Ok(())
    }

    fn resolved(
        &mut self,
        step: &StepId,
        resolution: &Resolution,
        by_probe: bool,
        now: Timestamp,
    ) -> Result<(), Impossible> {
        let tool = self.tool_in_flight(step)?;
        if tool.is_in_doubt == by_probe {
            return Err("somebody else has the word on it".to_owned());
        }
        tool.is_in_doubt = false;
        if *resolution == Resolution::Retry {
            tool.is_intended = false;
        }
        self.attempt = 0;
        self.error = None;
        self.run(now);
        Ok(())
    }

    fn completed(
        &mut self,
        step: &StepId,
        call: &str,
        status: &ToolStatus,
        result: Digest,
    ) -> Result<(), Impossible> {
        let name = self.open_tool().map(|(_, tool)| tool.call.name.as_str());
        let policy = name.and_then(|name| self.config.tools.get(name));
        let class = policy.map(|policy| policy.class);
        let tool = self.tool(step, Some(call))?;
        let needs_intent = class == Some(EffectClass::Once) && !tool.is_duplicate;
        let is_given_up = *status == ToolStatus::Cancelled;
        if needs_intent && !tool.is_intended && !is_given_up {
            return Err("the call was never intended".to_owned());
        }
        if *status == ToolStatus::Succeeded && (class.is_none() || tool.is_duplicate) {
            return Err("the call cannot have run".to_owned());
        }
        let is_unknown = tool.is_intended && is_given_up;
        tool.status = Some(status.clone());
        tool.result = Some(result);
        tool.is_intended = false;
        tool.is_in_doubt = false;
        self.has_unknown |= is_unknown;
        self.settled += 1;
        self.attempt = 0;
        Ok(())
    }

    /// The model call that comes next, made where it is new.
    fn model(&mut self, step: &StepId) -> Result<&mut ModelStep, Impossible> {
        let (number, _) = self.model_step();
        if self.open_tool().is_some() || *step != self.step_id(number) || self.is_answered {
            return Err(format!("{step} is not the model call that comes next"));
        }
        if self.settled == self.steps.len() {
            self.steps.push(Step::Model(ModelStep::default()));
        }
        match self.steps.get_mut(self.settled) {
            Some(Step::Model(model)) => Ok(model),
            _ => Err(format!("{step} is no model call")),
        }
    }

    /// The tool call that comes next.
    fn tool(&mut self, step: &StepId, call: Option<&str>) -> Result<&mut ToolStep, Impossible> {
        let expected = self.open_tool().map(|(number, _)| self.step_id(number));
        if expected.as_ref() != Some(step) {
            return Err(format!("{step} is not the tool call that comes next"));
        }
        match self.steps.get_mut(self.settled) {
            Some(Step::Tool(tool)) if call.is_none_or(|call| call == tool.call.id) => Ok(tool),
            _ => Err(format!("{step} is another call")),
        }
    }

    fn flush_steered(&mut self, transcript: &mut Vec<Digest>) {
        if self.open_tool().is_none() {
            transcript.append(&mut self.steered);
        }
    }

    /// The row of a turn whose input this one took.
    fn steering(&self, id: TurnId, input: Digest, now: Timestamp) -> Self {
        let mut turn = Self::new(id, self.config.clone(), self.config_digest, input, now);
        turn.state = TurnState::Steered;
        turn
    }

    fn must_have_no_open_call(&self) -> Result<(), Impossible> {
        match self.open_tool() {
            Some((number, _)) => Err(format!("{} has no result", self.step_id(number))),
            None => Ok(()),
        }
    }

    fn run(&mut self, now: Timestamp) {
        self.is_suspended = false;
        if self.state != TurnState::Running {
            self.state = TurnState::Running;
            self.changed_at = now;
        }
    }

    fn park(&mut self, state: TurnState, now: Timestamp, error: &ErrorReport) {
        self.state = state;
        self.changed_at = now;
        self.error = Some(error.clone());
    }

    fn end(&mut self, state: TurnState, now: Timestamp, error: Option<ErrorReport>) {
        self.state = state;
        self.changed_at = now;
        self.error = error;
    }
}

fn cancelled(turn: &Turn) -> ErrorReport {
    let report = ErrorReport::new(
        Code::TurnCancelled,
        format!("turn {} was cancelled", turn.id),
    )
    .about("turn", turn.id.as_str());
    if turn.has_unknown {
        return report
            .effect(EffectState::Unknown)
            .hint("a tool call was under way; see its result, and look at its target");
    }
    report
}
