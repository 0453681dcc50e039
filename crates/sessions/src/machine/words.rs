//! What the machine itself says: results of calls that nobody ran, and reports of how turns end.

use super::state::Turn;
use mainstay_contract::{Code, EffectState, ErrorReport, StepId, Timestamp};

/// How different a name may be and still be offered.
const DISTANCE_MAX: usize = 2;

pub(super) fn unknown_tool(turn: &Turn, name: &str) -> String {
    let names: Vec<&str> = turn.config.tools.keys().map(String::as_str).collect();
    let near: Vec<&str> = names
        .iter()
        .copied()
        .filter(|known| distance(name, known) <= DISTANCE_MAX)
        .collect();
    let offered = if near.is_empty() { names } else { near };
    if offered.is_empty() {
        return format!("There is no tool `{name}`: this agent has none.");
    }
    format!(
        "There is no tool `{name}`. Available: {}.",
        offered.join(", ")
    )
}

pub(super) const DUPLICATE_CALL: &str =
    "Not run: another call of the same answer carries the same id.";
pub(super) const CANCELLED: &str = "Not run to its end: the turn was cancelled.";
pub(super) const UNKNOWN: &str =
    "The turn ended while this call was under way; whether it took effect is unknown.";
pub(super) const NOT_RUN: &str = "Not run: the turn ended before it.";

pub(super) fn in_doubt(
    turn: &Turn,
    step: &StepId,
    why: Option<&ErrorReport>,
    now: Timestamp,
) -> ErrorReport {
    let message = format!("whether step {step} took effect is unknown");
    let mut report = ErrorReport::new(Code::EffectInDoubt, message)
        .about("step", step.as_str())
        .effect(EffectState::Unknown)
        .hint(format!(
            "it did: mainstay session resolve {step} --result TEXT"
        ))
        .hint(format!(
            "it did not: mainstay session resolve {step} --retry"
        ))
        .hint(format!(
            "give it up: mainstay session resolve {step} --fail TEXT"
        ));
    if let Some(why) = why {
        report = report.cause(Some(why.code.clone()), why.message.clone());
    }
    report.spent = turn.spent(now);
    report
}

pub(super) fn quarantined(turn: &Turn, attempts: u32, now: Timestamp) -> ErrorReport {
    let message = format!(
        "turn {} was started {attempts} times without progress",
        turn.id
    );
    let step = turn.step_id(1);
    let mut report = ErrorReport::new(Code::TurnQuarantined, message)
        .about("turn", turn.id.as_str())
        .hint(format!(
            "let it try again: mainstay session resolve {step} --retry"
        ))
        .hint("or end it: mainstay session cancel SESSION");
    report.spent = turn.spent(now);
    report
}

pub(super) fn step_limit(turn: &Turn) -> ErrorReport {
    let message = format!(
        "the turn used all of its {} model calls",
        turn.config.steps_max
    );
    ErrorReport::new(Code::StepLimitReached, message)
        .about("turn", turn.id.as_str())
        .hint("raise `max_steps` of the agent, or ask for less at once")
}

pub(super) fn budget(turn: &Turn, budget: mainstay_contract::Usd) -> ErrorReport {
    let message = format!("the turn spent {} of its {budget} USD", turn.usd);
    ErrorReport::new(Code::BudgetExceeded, message)
        .about("turn", turn.id.as_str())
        .hint("raise `budget` of the agent")
}

/// The Levenshtein distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
