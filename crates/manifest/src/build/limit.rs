//! Limits, breakers, budgets, timeouts and repetition.

use crate::finding::{Findings, Problem};
use crate::value::Object;
use crate::{Budget, BudgetAction, KeyLimits, Limits, Timeouts};
use mainstay_resilience::{BreakerConfig, BudgetPeriod, RetryPolicy};
use std::num::NonZeroU64;
use std::time::Duration;

pub(super) fn limits(object: Option<&Object>, findings: &mut Findings) -> Option<Limits> {
    let object = object?;
    let bounds = ["requests_per_minute", "tokens_per_minute", "concurrency"];
    let is_bound = bounds.iter().any(|key| object.is_written(key));
    for key in ["queue", "queue_timeout"] {
        if let (Some(item), false) = (object.get(key), is_bound)
            && object.is_written(key)
        {
            let message = format!("`{key}` has no effect: there is no limit to wait for");
            let finding = item.place.finding(Problem::Conflict, message);
            findings.add(finding.hint(format!("add one of `{}`", bounds.join("`, `"))));
        }
    }
    let queue = u32::try_from(object.integer("queue")?).ok()?;
    if let (0, Some(item)) = (queue, object.get("queue_timeout"))
        && object.is_written("queue_timeout")
    {
        let message = "`queue_timeout` has no effect: nobody may wait";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("leave it out, or write a `queue` above 0"));
    }
    let KeyLimits {
        requests_per_minute,
        tokens_per_minute,
        concurrency,
    } = key_limits(Some(object))?;
    Some(Limits {
        requests_per_minute,
        tokens_per_minute,
        concurrency,
        queue,
        queue_timeout: object.duration("queue_timeout")?,
    })
}

pub(super) fn key_limits(object: Option<&Object>) -> Option<KeyLimits> {
    let object = object?;
    let rate = |key| object.integer(key).and_then(NonZeroU64::new);
    let concurrency = object.integer("concurrency");
    Some(KeyLimits {
        requests_per_minute: rate("requests_per_minute"),
        tokens_per_minute: rate("tokens_per_minute"),
        concurrency: concurrency.and_then(|most| u32::try_from(most).ok()),
    })
}

pub(super) fn breaker(object: Option<&Object>) -> Option<BreakerConfig> {
    let object = object?;
    let count = |key| u32::try_from(object.integer(key)?).ok();
    Some(BreakerConfig {
        failures: count("failures")?,
        failure_percent: count("failure_percent")?,
        window: object.duration("window")?,
        open_for: object.duration("open_for")?,
        probes: count("probes")?,
        probe_timeout: None,
    })
}

/// In which time a budget counts.
pub(super) fn period(word: &str) -> BudgetPeriod {
    match word {
        "hour" => BudgetPeriod::Hour,
        "day" => BudgetPeriod::Day,
        "month" => BudgetPeriod::Month,
        _ => BudgetPeriod::Total,
    }
}

/// The `budget` of a model or a key.
pub(super) fn budget(owner: &Object, findings: &mut Findings) -> Option<Budget> {
    let object = owner.object("budget")?;
    let per = period(object.text("per")?);
    let action = match object.text("action")? {
        "warn" => BudgetAction::Warn,
        "throttle" => BudgetAction::Throttle,
        _ => BudgetAction::Reject,
    };
    if let (BudgetPeriod::Total, BudgetAction::Throttle, Some(item)) =
        (per, action, object.get("action"))
    {
        let message = "the budget never begins anew, so there is nothing to wait for";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("write `per: hour`, `day` or `month`, or `action: reject`"));
    }
    let usd = object.money("usd")?;
    Some(Budget { usd, per, action })
}

pub(super) fn retry(object: Option<&Object>, findings: &mut Findings) -> Option<RetryPolicy> {
    let object = object?;
    let (base, cap) = (object.duration("base")?, object.duration("cap")?);
    if base > cap {
        let key = if object.is_written("base") {
            "base"
        } else {
            "cap"
        };
        let message = "the first wait `base` is longer than the longest wait `cap`";
        let place = &object.get(key)?.place;
        findings.add(place.finding(Problem::Conflict, message));
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    Some(RetryPolicy {
        retries_max: u32::try_from(object.integer("max")?).ok()?,
        base_ms: millis(base)?,
        cap_ms: millis(cap)?,
    })
}

pub(super) fn timeouts(object: Option<&Object>, findings: &mut Findings) -> Option<Timeouts> {
    let object = object?;
    let timeouts = Timeouts {
        connect: object.duration("connect")?,
        first_token: object.duration("first_token")?,
        first_token_written: object.is_written("first_token"),
        idle: object.duration("idle")?,
        total: object.duration("total")?,
    };
    for key in ["connect", "first_token", "idle"] {
        let is_idle = object.duration(key)? > timeouts.total;
        // A short total alone is fine: it simply ends the phases earlier.
        if is_idle && object.is_written(key) {
            let message = format!("`{key}` is longer than `total` and would never be reached");
            let place = &object.get(key)?.place;
            findings.add(place.finding(Problem::Conflict, message));
        }
    }
    Some(timeouts)
}
