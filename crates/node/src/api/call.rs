//! What a handler gets and what it gives.

use super::problem::Problem;
use crate::Node;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Query, RawPathParams, Request};
use axum::http::header;
use axum::response::Response;
use mainstay_contract::{Code, IdError};
use std::str::FromStr;
use tokio::sync::watch;

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

    /// Refuses query parameters that are not in this list.
    pub(super) fn known_query(self, names: &[&str]) -> Result<Self, Problem> {
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
