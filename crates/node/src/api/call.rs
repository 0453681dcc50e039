//! What a handler gets and what it gives.

use super::problem::Problem;
use crate::Node;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Query, RawPathParams, Request};
use axum::http::header;
use axum::response::Response;
use mainstay_contract::{Code, IdError};
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::watch;

/// The longest that a caller can ask to wait.
const WAIT_MAX: Duration = Duration::from_secs(600);
const KEY_LENGTH_MAX: usize = 255;

/// One request on its way through a handler.
pub(super) struct Call {
    pub(super) node: Node,
    /// Turns true when the listener stops.
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) request: Request,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

pub(super) type Answer = Result<Response, Problem>;

impl Call {
    pub(super) fn new(
        node: Node,
        stopped: watch::Receiver<bool>,
        params: Result<RawPathParams, RawPathParamsRejection>,
        request: Request,
    ) -> Result<Self, Problem> {
        let unreadable = |_| Problem::invalid("the path is not UTF-8");
        let params = params.map_err(unreadable)?;
        let params = params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        let query = query
            .map_err(|_| Problem::invalid("the query cannot be read"))?
            .0;
        Ok(Self {
            node,
            stopped,
            request,
            params,
            query,
        })
    }

    /// An id in the path.
    pub(super) fn id<T: FromStr<Err = IdError>>(&self, name: &str) -> Result<T, Problem> {
        let found = self.params.iter().find(|(param, _)| param == name);
        id(found.map_or("", |(_, value)| value))
    }

    /// The id in the path, where the path has one of this name.
    pub(super) fn id_if_any<T: FromStr<Err = IdError>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let found = self.params.iter().find(|(param, _)| param == name);
        found.map(|(_, value)| id(value)).transpose()
    }

    /// A text in the path.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(param, _)| param == name);
        found.map_or("", |(_, value)| value)
    }

    /// How long the caller wants to wait.
    pub(super) fn wait(&self) -> Result<Option<Duration>, Problem> {
        let longest = WAIT_MAX.as_secs();
        let wanted = format!("a number of seconds from 0 to {longest}");
        let Some(seconds) = self.query::<f64>("wait", &wanted)? else {
            return Ok(None);
        };
        let wait = Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|wait| *wait <= WAIT_MAX);
        wait.map(Some)
            .ok_or_else(|| Problem::invalid(format!("`wait` must be {wanted}")))
    }

    /// What makes repeated requests into one.
    pub(super) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let Some(value) = self.request.headers().get("idempotency-key") else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text.is_empty() || text.len() > KEY_LENGTH_MAX {
            let rule =
                format!("Idempotency-Key must be 1 to {KEY_LENGTH_MAX} visible ASCII characters");
            return Err(Problem::invalid(rule));
        }
        Ok(Some(text.to_owned()))
    }

    /// The place in a tape after which to begin: `Last-Event-ID`, which a browser sends when it comes back,
    /// wins over `after`.
    pub(super) fn place(&self) -> Result<u64, Problem> {
        let wanted = "a sequence, 0 or more";
        let after = self.query("after", wanted)?.unwrap_or(0);
        let Some(value) = self.request.headers().get("last-event-id") else {
            return Ok(after);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(after);
        }
        text.parse()
            .map_err(|_| Problem::invalid(format!("`Last-Event-ID` must be {wanted}")))
    }

    /// Refuses query parameters that are not in this list, and those that stand twice.
    pub(super) fn known_query(self, names: &[&str]) -> Result<Self, Problem> {
        let stands_twice = |name: &&&str| {
            let all = self.query.iter();
            all.filter(|(known, _)| known == **name).count() > 1
        };
        if let Some(name) = names.iter().find(stands_twice) {
            let message = format!("the query has the parameter `{name}` more than once");
            return Err(Problem::invalid(message));
        }
        let unknown = self
            .query
            .iter()
            .find(|(name, _)| !names.contains(&name.as_str()));
        let Some((unknown, _)) = unknown else {
            return Ok(self);
        };
        let shown: String = unknown
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        let problem = Problem::invalid(format!("the query has no parameter `{shown}`"));
        Err(problem.near(unknown, names.iter().copied()))
    }

    /// A parameter of the query.
    pub(super) fn query<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Problem> {
        let Some((_, text)) = self.query.iter().find(|(known, _)| known == name) else {
            return Ok(None);
        };
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        let wrong = |_| Problem::invalid(format!("`{name}` must be {wanted}, and is `{shown}`"));
        text.parse().map(Some).map_err(wrong)
    }

    /// Whether the caller accepts a media type by name.
    pub(super) fn accepts(&self, media: &str) -> bool {
        let values = self.request.headers().get_all(header::ACCEPT).iter();
        let mut texts = values.filter_map(|value| value.to_str().ok());
        texts.any(|text| {
            let mut kinds = text
                .split(',')
                .map(|kind| kind.split(';').next().unwrap_or_default());
            kinds.any(|kind| kind.trim().eq_ignore_ascii_case(media))
        })
    }
}

/// An id of a session, turn or step that a caller sent.
pub(super) fn id<T: FromStr<Err = IdError>>(text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|error: IdError| Problem::new(Code::MissingExecutionScopeId, error.to_string()))
}
