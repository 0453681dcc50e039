//! Decides a journal again, offline: the outcomes that it recorded go in, and what comes out must be
//! the journal. Reports are compared by their code, since their words may improve between versions.

use crate::{
    ConfigOf, Divergence, Input, Interruption, ModelOutcome, OnBusy, ProbeOutcome, Record,
    RecordKind, Resolution, Session, StartTurn, ToolOutcome, ToolStatus,
};
use mainstay_contract::{ErrorReport, SessionId, Timestamp};

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
    let mut driver = Driver {
        machine: Session::new(session.clone()),
        decided: Vec::new(),
        records,
        config_of,
    };
    for at in 0..records.len() {
        driver.reach(at)?;
    }
    // A crash can fall between deciding and writing, so the machine may be ahead of the journal.
    Ok(())
}

struct Driver<'a> {
    machine: Session,
    decided: Vec<Record>,
    records: &'a [Record],
    config_of: ConfigOf<'a>,
}

impl Driver<'_> {
    fn reach(&mut self, at: usize) -> Result<(), FirstDivergence> {
        let expected = &self.records[at];
        if matches!(expected.kind, RecordKind::TurnResumed { .. })
            || (matches!(expected.kind, RecordKind::TurnQuarantined { .. }))
        {
            self.crash(at, expected.at)?;
        } else if self.decided.len() <= at {
            self.reopen_workspace(expected.at);
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
    }

    /// Opens the view again where that leaves no record, and lets due retries begin.
    fn reopen_workspace(&mut self, now: Timestamp) {
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
        let Some(input) = self.input_of(at) else {
            return;
        };
        let _refusal_shows_as_divergence = self.machine.handle(record.at, input);
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
            RecordKind::ToolInDoubt { step, error } => self.doubted(step, error),
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

    fn doubted(&self, step: mainstay_contract::StepId, error: Box<ErrorReport>) -> Input {
        if self.machine.is_probing() {
            Input::Probe {
                step,
                outcome: ProbeOutcome::Unknown(error),
            }
        } else {
            Input::Tool {
                step,
                outcome: ToolOutcome::Unknown(error),
            }
        }
    }

    /// A turn that was cancelled in the queue, or whose work in flight was stopped.
    fn stopped(&self, turn: mainstay_contract::TurnId) -> Option<Input> {
        match self.machine.awaited_model() {
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

    /// The failure that ended the turn together with this result, where that is what happened.
    fn failure_behind(&self, at: usize, status: &ToolStatus) -> Option<Box<ErrorReport>> {
        let ToolStatus::Failed(code) = status else {
            return None;
        };
        let rest = self.records[at + 1..].iter();
        let mut rest = rest.skip_while(|record| {
            matches!(
                &record.kind,
                RecordKind::ToolCompleted {
                    status: ToolStatus::Cancelled,
                    ..
                }
            )
        });
        match rest.next().map(|record| &record.kind) {
            Some(RecordKind::TurnFailed { error }) if error.code == *code => Some(error.clone()),
            _ => None,
        }
    }
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
    is_same_kind
        && expected.seq == found.seq
        && expected.at == found.at
        && expected.turn == found.turn
}
