//! Who may call: everyone, or whoever shows the token.

use super::ServeError;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::hmac;
use ring::rand::SystemRandom;
use std::sync::Arc;
use tonic::Status;

/// Knows the token only as a tag under a key of this process: comparing two tags takes the same time
/// whatever was shown, its length included.
#[derive(Debug)]
pub(super) struct Access {
    expected: Option<(hmac::Key, hmac::Tag)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Granted,
    NothingShown,
    WrongToken,
}

impl Access {
    pub(super) fn new(token: Option<&str>) -> Result<Self, ServeError> {
        let Some(token) = token else {
            return Ok(Self { expected: None });
        };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| ServeError::NoRandomness)?;
        let tag = hmac::sign(&key, token.as_bytes());
        let expected = Some((key, tag));
        Ok(Self { expected })
    }

    fn verdict(&self, headers: &HeaderMap) -> Verdict {
        let Some((key, tag)) = &self.expected else {
            return Verdict::Granted;
        };
        let shown = headers.get(header::AUTHORIZATION);
        let Some(shown) = shown.and_then(|value| bearer(value.as_bytes())) else {
            return Verdict::NothingShown;
        };
        match hmac::verify(key, shown, tag.as_ref()) {
            Ok(()) => Verdict::Granted,
            Err(_) => Verdict::WrongToken,
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

pub(super) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let verdict = access.verdict(request.headers());
    if verdict == Verdict::Granted {
        return next.run(request).await;
    }
    if is_grpc(&request) {
        return Status::unauthenticated("the token is missing or wrong").into_http();
    }
    // Turborepo's client takes a wrong token for one only with this status and this code.
    match verdict {
        Verdict::WrongToken => refusal(StatusCode::FORBIDDEN, "forbidden", "the token is wrong"),
        _ => refusal(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the token is missing",
        ),
    }
}

/// What no route answers.
pub(super) async fn unknown(request: Request) -> Response {
    if is_grpc(&request) {
        return Status::unimplemented("this cache has no such method").into_http();
    }
    refusal(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
}

/// An answer in the form that Turborepo's client reads.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let error = serde_json::json!({"error": {"code": code, "message": message}});
    (status, Json(error)).into_response()
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_let_in() {
        let verdict = |token: Option<&str>, shown: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(shown) = shown {
                headers.insert(header::AUTHORIZATION, shown.parse().unwrap());
            }
            Access::new(token).unwrap().verdict(&headers)
        };
        assert_eq!(verdict(None, None), Verdict::Granted);
        assert_eq!(verdict(None, Some("Bearer x")), Verdict::Granted);
        assert_eq!(verdict(Some("x"), None), Verdict::NothingShown);
        assert_eq!(verdict(Some("x"), Some("Basic x")), Verdict::NothingShown);
        assert_eq!(verdict(Some("x"), Some("Bearer x")), Verdict::Granted);
        assert_eq!(verdict(Some("x"), Some("bearer x")), Verdict::Granted);
        for wrong in ["Bearer ", "Bearer X", "Bearer xx", "Bearer  x"] {
            assert_eq!(verdict(Some("x"), Some(wrong)), Verdict::WrongToken);
        }
    }
}
