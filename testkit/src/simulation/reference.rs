//! The reference: what must be true of any journal and of the outside, read off the records alone.

use super::world::{World, place};
use mainstay_contract::{StepId, TurnId};
use mainstay_sessions::{Record, RecordKind, Resolution};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A turn as the records tell of it.
#[derive(Debug, Default)]
struct Turn {
    is_over: bool,
    is_parked: bool,
    is_answered: bool,
    /// Its end is asked for; finishing that is no new attempt at its work.
    is_cancelling: bool,
    /// A node stopped in good order.
    is_suspended: bool,
    /// Crashes without progress that the records tell of.
    attempt: u32,
    /// Calls that wait for their result, in order.
    open: VecDeque<String>,
    results: BTreeSet<StepId>,
    intended: Option<StepId>,
}

impl Turn {
    fn resume(&mut self, attempt: u32, attempts_max: u32) -> Result<(), String> {
        if attempt > attempts_max && !self.is_cancelling {
            return Err(format!("started {attempt} times without progress"));
        }
        if std::mem::take(&mut self.is_suspended) && attempt > self.attempt {
            return Err("a stop in good order was counted as a crash".to_owned());
        }
        self.attempt = attempt;
        Ok(())
    }

    fn intend(&mut self, step: &StepId) -> Result<(), String> {
        match self.intended.replace(step.clone()) {
            Some(_) => Err("a second intent without an outcome of the first".to_owned()),
            None => Ok(()),
        }
    }

    fn complete(&mut self, step: &StepId, call: &str) -> Result<(), String> {
        self.intended = None;
        if self.open.pop_front().as_deref() != Some(call) {
            return Err(format!("the result of {call} is out of order"));
        }
        if !self.results.insert(step.clone()) {
            return Err(format!("{step} has two results"));
        }
        Ok(())
    }
}

/// Checks everything about a world that has come to rest.
pub(super) fn check(world: &World) -> Result<(), String> {
    check_outside(world)?;
    let mut turns: BTreeMap<TurnId, Turn> = BTreeMap::new();
    let mut current: Option<TurnId> = None;
    for (record, expected) in world.journal.iter().zip(1..) {
        if record.seq.0 != expected {
            return Err(format!(
                "{} stands where {expected} belongs",
                place(record.seq)
            ));
        }
        read(record, &mut turns, &mut current, world.attempts_max())
            .map_err(|why| format!("{}: {why}", place(record.seq)))?;
    }
    for turn in &world.acknowledged {
        let known = turns
            .get(turn)
            .ok_or_else(|| format!("turn {turn} was lost"))?;
        let holder = current.as_ref().and_then(|current| turns.get(current));
        let waits = holder.is_some_and(|holder| holder.is_parked);
        if !known.is_over && !known.is_parked && !waits {
            return Err(format!("turn {turn} was left in the middle: {known:?}"));
        }
    }
    Ok(())
}

/// What is `once` was applied once, and again only as often as somebody allowed it.
fn check_outside(world: &World) -> Result<(), String> {
    for (key, applied) in &world.tracker {
        if applied.is_once && applied.count > 1 + applied.allowed {
            let step = &world.keys[key];
            return Err(format!(
                "step {step} took effect {} times with {} allowances",
                applied.count, applied.allowed
            ));
        }
    }
    let steps: BTreeSet<&StepId> = world.keys.values().collect();
    if steps.len() != world.keys.len() {
        return Err("a step had two keys".to_owned());
    }
    Ok(())
}

fn read(
    record: &Record,
    turns: &mut BTreeMap<TurnId, Turn>,
    current: &mut Option<TurnId>,
    attempts_max: u32,
) -> Result<(), String> {
    if let RecordKind::TurnAccepted { .. } = record.kind {
        let before = turns.insert(record.turn.clone(), Turn::default());
        return before.map_or(Ok(()), |_| Err("accepted twice".to_owned()));
    }
    let turn = turns
        .get_mut(&record.turn)
        .ok_or("the turn was never accepted")?;
    if turn.is_over {
        return Err("the turn was over".to_owned());
    }
    match &record.kind {
        RecordKind::TurnStarted {} => {
            if let Some(holder) = current.replace(record.turn.clone()) {
                return Err(format!("turn {holder} still holds the session"));
            }
        }
        RecordKind::TurnSuspended {} => turn.is_suspended = true,
        RecordKind::TurnResumed { attempt } => turn.resume(*attempt, attempts_max)?,
        RecordKind::ModelAnswered { calls, .. } => {
            if !turn.open.is_empty() {
                return Err("the model was called before every call had its result".to_owned());
            }
            turn.is_answered = calls.is_empty();
            turn.open.extend(calls.iter().map(|call| call.id.clone()));
        }
        RecordKind::ToolIntended { step, .. } => {
            turn.intend(step)?;
        }
        RecordKind::ToolInDoubt { .. } | RecordKind::TurnQuarantined { .. } => {
            turn.is_parked = true;
        }
        RecordKind::ToolResolved { resolution, .. } => {
            turn.is_parked = false;
            if *resolution == Resolution::Retry {
                turn.intended = None;
            }
        }
        RecordKind::TurnReleased {} => turn.is_parked = false,
        RecordKind::CancelRequested {} => {
            turn.is_parked = false;
            turn.is_cancelling = true;
        }
        RecordKind::ToolCompleted { step, call, .. } => {
            turn.complete(step, call)?;
        }
        RecordKind::TurnCompleted { .. } if !turn.is_answered => {
            return Err("completed without an answer".to_owned());
        }
        RecordKind::TurnCompleted { .. }
        | RecordKind::TurnFailed { .. }
        | RecordKind::TurnCancelled { .. } => {
            if !turn.open.is_empty() {
                return Err(format!("calls were left without a result: {:?}", turn.open));
            }
            turn.is_over = true;
            turn.is_parked = false;
            if current.as_ref() == Some(&record.turn) {
                *current = None;
            }
        }
        _ => {}
    }
    Ok(())
}
