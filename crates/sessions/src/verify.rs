//! Decides a journal again, offline: the outcomes that it recorded go in, and what comes out must be
//! the journal. Reports are compared by their code, since their words may improve between versions; and
//! times are not compared, since what a record waited for (a view to be open again) may have none.

use crate::{
    ConfigOf, Divergence, Input, Interruption, ModelOutcome, OnBusy, ProbeOutcome, Record,
    RecordKind, Resolution, Session, StartTurn, ToolOutcome, ToolStatus,
};
use mainstay_contract::{ErrorReport, SessionId, Timestamp};
use std::cell::Cell;

/// The first place where deciding again gave something else.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FirstDivergence {
    /// The journal itself does not hold together.
    #[error(transparent)]
    Journal(#[from] Divergence),
    /// The machine decided something else.
    #[error("record {} is {}, and deciding again gives {}", .expected.seq.0, .expected.kind.name(),
        .found.as_ref().map_or("nothing", |found| found.kind.name()))]
    Decision {
        /// What the journal says.
        expected: Box<Record>,
        /// What the machine decides.
        found: Option<Box<Record>>,
    },
}

/// Decides a whole session again from its journal.
///
/// # Errors
/// [`FirstDivergence`].
pub fn verify(
    session: &SessionId,
    records: &[Record],
    config_of: ConfigOf<'_>,
) -> Result<(), FirstDivergence> {
    let driver = Driver {
        machine: Session::new(session.clone()),
        decided: Vec::new(),
        records,
        config_of,
    };
    // A crash can fall between deciding and writing, so the machine may be ahead of the journal.
    driver.run(0, &Cell::new(BRANCHES_MAX))
}

/// How often both orders of a command and of something that leaves no record are tried.
const BRANCHES_MAX: u32 = 1000;

#[derive(Clone)]
struct Driver<'a> {
    machine: Session,
    decided: Vec<Record>,
    records: &'a [Record],
    config_of: ConfigOf<'a>,
}

impl Driver<'_> {
    /// Reaches every record from a place on. That a view was open again, that a wait was over or that
    /// a tool's outcome was lost has no record; where a command came, all orders are tried.
    fn run(mut self, from: usize, branches: &Cell<u32>) -> Result<(), FirstDivergence> {
        for at in from..self.records.len() {
            if self.is_command(at) && self.decided.len() <= at {
                for settled in self.settled(at) {
                    if branches.get() == 0 {
                        break;
                    }
                    branches.set(branches.get() - 1);
                    if settled.run_command(at, branches).is_ok() {
                        return Ok(());
                    }
                }
            }
            self.reach(at)?;
        }
        Ok(())
    }

    fn run_command(mut self, at: usize, branches: &Cell<u32>) -> Result<(), FirstDivergence> {
        self.reach(at)?;
        self.run(at + 1, branches)
    }

    /// The other states that the machine may have been in when a command came.
    fn settled(&self, at: usize) -> Vec<Self> {
        let now = self.records[at].at;
        let mut others = Vec::new();
        if self.machine.is_idle() {
            // A session at rest may have left memory, and the process may have ended, without a word.
            let mut rested = self.clone();
            rested.machine.close_workspace();
            others.push(rested);
        }
        if self.can_settle(now) {
            let mut settled = self.clone();
            settled.settle(now);
            settled.collect();
            others.push(settled);
        }
        let with_loss = |driver: &Self| {
            let step = driver.machine.awaited_probed_tool()?;
            let mut driver = driver.clone();
            driver.lose(at, step);
            driver.collect();
            Some(driver)
        };
        let lost: Vec<Self> = others.iter().chain([self]).filter_map(with_loss).collect();
        others.extend(lost);
        others
    }

    /// Whether a caller asked for it; that can come at any moment.
    fn is_command(&self, at: usize) -> bool {
        let record = &self.records[at];
        let is_waiting = self.machine.current_turn() != Some(&record.turn);
        is_command(&record.kind)
            || (is_waiting && matches!(record.kind, RecordKind::TurnCancelled { .. }))
    }

    /// Lets the outcome of a tool be lost.
    fn lose(&mut self, at: usize, step: mainstay_contract::StepId) {
        let error = ErrorReport::new(mainstay_contract::Code::ToolFailed, "unknown");
        let outcome = ToolOutcome::Unknown(Box::new(error));
        self.feed(at, Input::Tool { step, outcome });
    }

    fn reach(&mut self, at: usize) -> Result<(), FirstDivergence> {
        let expected = &self.records[at];
        if matches!(expected.kind, RecordKind::TurnResumed { .. })
            || (matches!(expected.kind, RecordKind::TurnQuarantined { .. }))
        {
            self.crash(at, expected.at)?;
        } else if self.decided.len() <= at
            && self.machine.is_opening()
            && let Some(error) = self.failure_to_open(at)
        {
            self.feed(
                at,
                Input::WorkspaceFailed {
                    turn: expected.turn.clone(),
                    error,
                },
            );
            self.collect();
        } else if self.decided.len() <= at && !self.is_command(at) {
            self.settle(expected.at);
            self.collect();
        }
        if self.decided.len() <= at {
            self.cause(at);
            self.collect();
        }
        match self.decided.get(at) {
            Some(found) if is_same(expected, found) => Ok(()),
            found => Err(FirstDivergence::Decision {
                expected: Box::new(expected.clone()),
                found: found.cloned().map(Box::new),
            }),
        }
    }

    /// Starts over from the records so far, as a node does after a crash.
    fn crash(&mut self, at: usize, now: Timestamp) -> Result<(), FirstDivergence> {
        let mut machine = Session::new(self.machine.id().clone());
        for record in &self.records[..at] {
            machine.replay(record, self.config_of)?;
        }
        let attempt = machine
            .current_turn()
            .and_then(|turn| machine.turn_view(turn));
        let attempt = attempt.map_or(0, |turn| turn.attempt);
        let interruption = match self.records[at].kind {
            RecordKind::TurnResumed { attempt: recorded } if recorded == attempt => {
                Interruption::Store
            }
            _ => Interruption::Crash,
        };
        machine.resume(now, interruption);
        self.machine = machine;
        self.decided = self.records[..at].to_vec();
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        while let Some(outbox) = self.machine.poll_outbox() {
            self.machine.written(self.machine.last_seq());
            self.decided.extend(outbox.records);
        }
        while self.machine.poll_effect().is_some() {}
    }

    fn can_settle(&self, now: Timestamp) -> bool {
        let is_due = self.machine.poll_timeout().is_some_and(|at| at <= now);
        is_due || (self.machine.is_opening() && self.machine.workspace().is_some())
    }

    /// Opens the view again where that leaves no record, and lets due retries begin.
    fn settle(&mut self, now: Timestamp) {
        if let Some(at) = self.machine.poll_timeout() {
            self.machine.handle_timeout(at.max(now));
        }
        let (Some(turn), Some((state, mode))) = (
            self.machine.current_turn().cloned(),
            self.machine.workspace(),
        ) else {
            return;
        };
        let opened = Input::WorkspaceOpened { turn, state, mode };
        let _stale_is_fine = self.machine.handle(now, opened);
    }

    /// Feeds the machine what must have led to a record.
    fn cause(&mut self, at: usize) {
        let record = &self.records[at];
        if let RecordKind::ToolInDoubt { step, .. }
        | RecordKind::ToolResolved {
            step,
            by_probe: true,
            ..
        } = &record.kind
            && !self.machine.is_probing()
        {
            // That the tool's outcome was unknown has no record of its own.
            let error = ErrorReport::new(mainstay_contract::Code::ToolFailed, "unknown");
            let outcome = ToolOutcome::Unknown(Box::new(error));
            self.feed(
                at,
                Input::Tool {
                    step: step.clone(),
                    outcome,
                },
            );
        }
        self.collect();
        if self.decided.len() <= at
            && let Some(input) = self.input_of(at)
        {
            self.feed(at, input);
        }
    }

    /// Hands an input over; where it is refused, the divergence shows in what is not decided.
    fn feed(&mut self, at: usize, input: Input) {
        let _refused = self.machine.handle(self.records[at].at, input);
    }

    fn input_of(&self, at: usize) -> Option<Input> {
        let record = &self.records[at];
        let turn = record.turn.clone();
        Some(match record.kind.clone() {
            RecordKind::TurnAccepted {
                config,
                input,
                on_busy,
            } => Input::StartTurn(Box::new(StartTurn {
                turn,
                config_digest: config,
                config: (self.config_of)(&config)?,
                input,
                on_busy,
            })),
            RecordKind::InputSteered { from, input } => Input::StartTurn(Box::new(StartTurn {
                turn: from,
                config_digest: self.machine.turn_view(&turn)?.config,
                config: self.machine.config(&turn)?.clone(),
                input,
                on_busy: OnBusy::Steer,
            })),
            RecordKind::WorkspaceOpened { state, mode } => {
                Input::WorkspaceOpened { turn, state, mode }
            }
            RecordKind::ModelCallFailed { step, error, .. } => Input::Model {
                step,
                outcome: ModelOutcome::Failed(error),
            },
            RecordKind::ModelAnswered {
                step,
                message,
                calls,
                usage,
                ..
            } => Input::Model {
                step,
                outcome: ModelOutcome::Answered {
                    message,
                    calls,
                    usage,
                },
            },
            RecordKind::CancelRequested {} => Input::Cancel { turn: Some(turn) },
            RecordKind::TurnSuspended {} => Input::Suspend,
            RecordKind::TurnCancelled { .. } => self.stopped(turn)?,
            RecordKind::TurnReleased {} => Input::Resolve {
                step: mainstay_contract::StepId::of(&turn, 1),
                resolution: Resolution::Retry,
            },
            RecordKind::TurnFailed { error } => self.failed(turn, error)?,
            _ => return self.input_of_tool(at),
        })
    }

    /// What must have led to a record about a tool; the machine decides all others by itself.
    fn input_of_tool(&self, at: usize) -> Option<Input> {
        let record = &self.records[at];
        Some(match record.kind.clone() {
            RecordKind::ToolInDoubt { step, error } => Input::Probe {
                step,
                outcome: ProbeOutcome::Unknown(error),
            },
            RecordKind::ToolResolved {
                step,
                resolution,
                by_probe: true,
            } => {
                let outcome = match resolution {
                    Resolution::Result(result) => ProbeOutcome::Applied(result),
                    Resolution::Retry | Resolution::Fail(_) => ProbeOutcome::Absent,
                };
                Input::Probe { step, outcome }
            }
            RecordKind::ToolResolved {
                step,
                resolution,
                by_probe: false,
            } => Input::Resolve { step, resolution },
            RecordKind::ToolCompleted { step, .. } if self.machine.is_probing() => {
                let error = Box::new(ErrorReport::new(
                    mainstay_contract::Code::EffectInDoubt,
                    "unknown",
                ));
                Input::Probe {
                    step,
                    outcome: ProbeOutcome::Unknown(error),
                }
            }
            RecordKind::ToolCompleted {
                step,
                status,
                result,
                workspace,
                ..
            } => {
                let outcome = match self.failure_behind(at, &status) {
                    Some(error) => ToolOutcome::Failed(error),
                    None if status == ToolStatus::Cancelled => ToolOutcome::Aborted,
                    None => ToolOutcome::Finished {
                        status,
                        result,
                        workspace,
                    },
                };
                Input::Tool { step, outcome }
            }
            _ => return None,
        })
    }

    /// A turn that was cancelled in the queue, or whose work in flight was stopped.
    fn stopped(&self, turn: mainstay_contract::TurnId) -> Option<Input> {
        match self.machine.awaited_model() {
            _ if self.machine.current_turn() != Some(&turn) => {
                Some(Input::Cancel { turn: Some(turn) })
            }
            Some(step) => Some(Input::Model {
                step,
                outcome: ModelOutcome::Aborted,
            }),
            None if self.machine.is_opening() => {
                let error = Box::new(ErrorReport::new(
                    mainstay_contract::Code::TurnCancelled,
                    "stopped while the view was opened",
                ));
                Some(Input::WorkspaceFailed { turn, error })
            }
            None => Some(Input::Cancel { turn: Some(turn) }),
        }
    }

    fn failed(&self, turn: mainstay_contract::TurnId, error: Box<ErrorReport>) -> Option<Input> {
        match self.machine.awaited_model() {
            Some(step) => Some(Input::Model {
                step,
                outcome: ModelOutcome::Failed(error),
            }),
            None => Some(Input::WorkspaceFailed { turn, error }),
        }
    }

    /// Why a view could not be opened again, where that is what ended the turn.
    fn failure_to_open(&self, at: usize) -> Option<Box<ErrorReport>> {
        let mut rest = self.records[at..]
            .iter()
            .skip_while(|record| is_given_up(&record.kind));
        match rest.next().map(|record| &record.kind) {
            // That is for the machine to decide, once the view is open.
            Some(RecordKind::TurnFailed { error })
                if error.code != mainstay_contract::Code::StepLimitReached
                    && error.code != mainstay_contract::Code::BudgetExceeded =>
            {
                Some(error.clone())
            }
            _ => None,
        }
    }

    /// The failure that ended the turn together with this result, where that is what happened.
    fn failure_behind(&self, at: usize, status: &ToolStatus) -> Option<Box<ErrorReport>> {
        let ToolStatus::Failed(code) = status else {
            return None;
        };
        let rest = self.records[at + 1..].iter();
        let mut rest = rest.skip_while(|record| is_given_up(&record.kind));
        match rest.next().map(|record| &record.kind) {
            Some(RecordKind::TurnFailed { error }) if error.code == *code => Some(error.clone()),
            _ => None,
        }
    }
}

/// Whether it is the result of a call that nobody ran to its end.
fn is_given_up(kind: &RecordKind) -> bool {
    matches!(
        kind,
        RecordKind::ToolCompleted {
            status: ToolStatus::Cancelled,
            ..
        }
    )
}

/// Whether a caller asked for it; that can come at any moment, also before a view is open again.
fn is_command(kind: &RecordKind) -> bool {
    matches!(
        kind,
        RecordKind::TurnAccepted { .. }
            | RecordKind::InputSteered { .. }
            | RecordKind::CancelRequested {}
            | RecordKind::TurnSuspended {}
            | RecordKind::TurnReleased {}
            | RecordKind::ToolResolved {
                by_probe: false,
                ..
            }
    )
}

fn is_same(expected: &Record, found: &Record) -> bool {
    let is_same_kind = match (&expected.kind, &found.kind) {
        (RecordKind::ToolInDoubt { step: a, .. }, RecordKind::ToolInDoubt { step: b, .. }) => {
            a == b
        }
        (RecordKind::TurnFailed { error: a }, RecordKind::TurnFailed { error: b })
        | (RecordKind::TurnQuarantined { error: a }, RecordKind::TurnQuarantined { error: b }) => {
            a.code == b.code && a.spent == b.spent
        }
        (a, b) => a == b,
    };
    is_same_kind && expected.seq == found.seq && expected.turn == found.turn
}
