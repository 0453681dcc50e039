//! What the log says of failures: each call that failed and each request, with the request's id, until it would
//! say too much. A provider in trouble fails a thousand times a second, and the first ten tell as much.

use mainstay_contract::{Code, Coded, Responsible};
use mainstay_inference::{GateError, InferenceError};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind within a window.
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Call,
    Request,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// What was said lately.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    windows: Mutex<HashMap<(Kind, Code), Window>>,
}

impl FailureLog {
    /// Tells of a call that failed, which may be made good by another.
    pub(crate) fn call(
        &self,
        request_id: &str,
        deployment: &str,
        number: u32,
        error: &InferenceError,
    ) {
        let code = error.code();
        if is_callers(error) {
            tracing::debug!(request_id, deployment, number, %code, "a call failed: {error}");
        } else if let Some(left_out) = self.admits(Kind::Call, &code, Instant::now()) {
            tracing::warn!(request_id, deployment, number, %code, left_out, "a call failed: {error}");
        }
    }

    /// Tells of a request that failed for good.
    pub(crate) fn request(&self, request_id: &str, model: &str, error: &GateError) {
        let (what, attempts, usd) = (&error.error, error.attempts, error.usd);
        let (code, deployment) = (what.code(), error.deployment.as_deref());
        if is_callers(what) {
            tracing::debug!(request_id, model, deployment, attempts, %usd, %code, "a request failed: {what}");
        } else if let Some(left_out) = self.admits(Kind::Request, &code, Instant::now()) {
            tracing::warn!(request_id, model, deployment, attempts, %usd, %code, left_out, "a request failed: {what}");
        }
    }

    /// Whether another line may be said, and how many of its kind were not since the last.
    fn admits(&self, kind: Kind, code: &Code, now: Instant) -> Option<u64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Window {
            since: now,
            lines: 0,
            left_out: 0,
        };
        let window = windows.entry((kind, code.clone())).or_insert(fresh);
        if now.saturating_duration_since(window.since) >= WINDOW {
            *window = Window {
                left_out: window.left_out,
                ..fresh
            };
        }
        if window.lines >= LINES_MAX {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

/// What callers and what they ask are to blame for is theirs to read, not the operator's.
fn is_callers(error: &InferenceError) -> bool {
    matches!(
        error.responsible(),
        Responsible::Caller | Responsible::Workload
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_are_said_and_the_rest_counted() {
        let log = FailureLog::default();
        let start = Instant::now();
        let code = &Code::ServerError;
        for _ in 0..LINES_MAX {
            assert_eq!(log.admits(Kind::Call, code, start), Some(0));
        }
        for _ in 0..500 {
            assert_eq!(log.admits(Kind::Call, code, start), None);
        }
        assert_eq!(log.admits(Kind::Request, code, start), Some(0));
        assert_eq!(log.admits(Kind::Call, &Code::Timeout, start), Some(0));
        assert_eq!(log.admits(Kind::Call, code, start + WINDOW), Some(500));
        assert_eq!(log.admits(Kind::Call, code, start + WINDOW), Some(0));
    }
}
