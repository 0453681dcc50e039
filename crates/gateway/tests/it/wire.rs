//! Requests to the gateway's routes, without a listener.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use mainstay_gateway::{Caller, Gateway, router};
use serde_json::{Value, json};
use std::sync::Arc;
use tower_service::Service;

/// The routes of a gateway.
#[derive(Clone)]
pub(crate) struct Wire {
    router: Router,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Wire {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        Self {
            router: router(gateway.clone()),
        }
    }

    /// The beginning of an answer.
    pub(crate) async fn begin(&mut self, request: Request<Body>) -> axum::response::Response {
        self.router.call(request).await.unwrap()
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Reply {
        let (head, body) = self.begin(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.send(post(path, body)).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(request("GET", path, Body::empty())).await
    }
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .unwrap()
}

pub(crate) fn post(path: &str, body: &Value) -> Request<Body> {
    request("POST", path, Body::from(body.to_string()))
}

/// The same from whoever has this key.
pub(crate) fn by(key: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Caller {
        key: Some(Arc::from(key)),
        ..Caller::default()
    });
    request
}

pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// A question in Chat Completions.
pub(crate) fn chat(stream: bool) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }], "stream": stream })
}

pub(crate) const CHAT: &str = "/v1/chat/completions";
