//! What was spent on models.

use super::call::{Answer, Call};
use super::problem::Problem;
use crate::{Day, UsageFilter};
use axum::Json;
use axum::response::IntoResponse;

const DAY: &str = "a day such as 2026-11-21";

/// Rows by day, key, agent and model; and the budgets.
pub(super) async fn show(call: Call) -> Answer {
    let call = call.known_query(&["day", "from", "to", "key", "agent", "model"])?;
    let day: Option<Day> = call.query("day", DAY)?;
    let (from, to) = (call.query("from", DAY)?, call.query("to", DAY)?);
    if day.is_some() && (from.is_some() || to.is_some()) {
        let message = "`day` stands for both `from` and `to`, and is beside one of them";
        return Err(Problem::invalid(message));
    }
    let filter = UsageFilter {
        from: day.or(from),
        to: day.or(to),
        key: call.query("key", "a name")?,
        agent: call.query("agent", "a name")?,
        model: call.query("model", "a name")?,
    };
    Ok(Json(call.node.usage(&filter)).into_response())
}
