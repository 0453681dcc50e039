//! One list of routes, from which the router, the hints for lost callers and the check of the OpenAPI
//! document come.

use super::call::{Answer, Call};
use super::guard::{Access, is_open};
use super::problem::{self, Problem};
use super::{
    document, events, models, observe, sessions, steps, task_events, task_runs, turns, usage,
};
use crate::Node;
use crate::error::RequestError;
use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use futures_util::FutureExt;
use mainstay_contract::{Code, Coded};
use mainstay_gateway::Caller;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;

/// What every handler works with.
#[derive(Clone)]
struct Shared {
    node: Node,
    access: Arc<Access>,
    stopped: watch::Receiver<bool>,
}

pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    handler: MethodRouter<Shared>,
}

/// Everything the node answers.
pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/sessions", sessions::list),
        get("/api/sessions/{session}", sessions::show),
        delete("/api/sessions/{session}", sessions::remove),
        post("/api/sessions/{session}/turns", turns::start),
        get("/api/sessions/{session}/events", events::events),
        post("/api/sessions/{session}/cancel", turns::cancel),
        post(
            "/api/sessions/{session}/steps/{step}/resolve",
            steps::resolve,
        ),
        get("/api/sessions/{session}/diff", sessions::diff),
        post("/api/sessions/{session}/apply", sessions::apply),
        get("/api/sessions/{session}/export", sessions::export),
        post("/api/steps/{step}/resolve", steps::resolve),
        get("/api/turns/{turn}", turns::show),
        post("/api/turns/{turn}/replay", turns::replay),
        get("/api/tasks/runs", task_runs::list),
        post("/api/tasks/runs", task_runs::start),
        get("/api/tasks/runs/{run}", task_runs::show),
        get("/api/tasks/runs/{run}/events", task_events::events),
        post("/api/tasks/runs/{run}/cancel", task_runs::cancel),
        get("/api/models", models::list),
        post("/api/models/{model}/call", models::call),
        get("/api/usage", usage::show),
        get("/api/doctor", observe::doctor),
        get("/openapi.json", document::serve),
        get("/healthz", observe::health),
        get("/readyz", observe::ready),
        get("/metrics", observe::metrics),
    ]
}

/// A router over a node, for use within the owner's process and in tests. Its streams end when the
/// node stops.
pub fn router(node: Node, access: Access) -> Router {
    let (_, never) = watch::channel(false);
    router_until(node, access, never)
}

/// A router whose streams also end when its listener stops.
pub(super) fn router_until(node: Node, access: Access, stopped: watch::Receiver<bool>) -> Router {
    let shared = Shared {
        node,
        access: Arc::new(access),
        stopped,
    };
    let mut router = Router::new();
    for Route { path, handler, .. } in routes() {
        router = router.route(path, handler);
    }
    router
        .merge(mainstay_gateway::router(shared.node.gateway().clone()))
        .fallback(lost)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Counts what is answered below `/v1`, also to those who are not let in.
async fn guard(
    State(shared): State<Shared>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let is_gateway = mainstay_gateway::is_below(request.uri().path());
    let response = let_in(&shared, request, next).await;
    if is_gateway {
        shared.node.gateway().responded(response.status().as_u16());
    }
    response
}

/// Judges who comes in, before anything reads the request, and keeps panics inside.
async fn let_in(shared: &Shared, mut request: Request, next: axum::middleware::Next) -> Response {
    let caller = |secret: &str| {
        let (key, priority) = shared.node.gateway().key(secret)?;
        let key = Some(key);
        Some(Caller { key, priority })
    };
    let judged = shared
        .access
        .judge(request.method(), request.uri(), request.headers(), caller);
    let (path, headers) = (request.uri().path(), request.headers());
    if judged.is_ok() && *shared.stopped.borrow() && !is_open(path) {
        return stopping(path, headers);
    }
    // Without a manifest nobody knows the callers' keys.
    let may_be_let_in = match &judged {
        Ok(_) => true,
        Err(problem) => problem.report().code == Code::Unauthorized,
    };
    if may_be_let_in && mainstay_gateway::is_below(path) && shared.node.serves_no_model() {
        return mainstay_gateway::unserved(path, headers);
    }
    match judged {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(problem) => return turned_away(path, headers, problem),
    }
    let route = format!("{} {}", request.method(), request.uri().path());
    kept(&route, next.run(request)).await
}

/// Tells whoever is not let in why, as the route tells failures.
fn turned_away(path: &str, headers: &HeaderMap, problem: Problem) -> Response {
    match mainstay_gateway::is_below(path) {
        true => mainstay_gateway::turned_away(path, headers, problem.report()),
        false => problem.into_response(),
    }
}

/// Sends who comes while the node stops elsewhere.
fn stopping(path: &str, headers: &HeaderMap) -> Response {
    let report = RequestError::Stopping.report().retry_after_ms(1000);
    let mut response = turned_away(path, headers, Problem::of(report));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Answers with a report where a handler panics.
async fn kept(route: &str, handler: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(response) => response,
        Err(_) => problem::of_panic(route).into_response(),
    }
}

fn get<F: Future<Output = Answer> + Send + 'static>(
    path: &'static str,
    call: fn(Call) -> F,
) -> Route {
    route(Method::GET, MethodFilter::GET, path, call)
}

fn post<F: Future<Output = Answer> + Send + 'static>(
    path: &'static str,
    call: fn(Call) -> F,
) -> Route {
    route(Method::POST, MethodFilter::POST, path, call)
}

fn delete<F: Future<Output = Answer> + Send + 'static>(
    path: &'static str,
    call: fn(Call) -> F,
) -> Route {
    route(Method::DELETE, MethodFilter::DELETE, path, call)
}

fn route<F: Future<Output = Answer> + Send + 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    call: fn(Call) -> F,
) -> Route {
    let handler = on(
        filter,
        move |State(shared): State<Shared>,
              params: Result<RawPathParams, RawPathParamsRejection>,
              request: Request| async move {
            let Shared { node, stopped, .. } = shared;
            let call = async { call(Call::new(node, stopped, params, request)?).await };
            call.await.unwrap_or_else(IntoResponse::into_response)
        },
    );
    Route {
        method,
        path,
        handler,
    }
}

async fn lost(request: Request) -> Response {
    if mainstay_gateway::is_below(request.uri().path()) {
        return mainstay_gateway::lost(request).await;
    }
    let path: String = request.uri().path().chars().take(200).collect();
    let known = routes();
    let mut names: Vec<String> = known
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(likeness(&path, name)));
    let problem = Problem::new(
        Code::NotFound,
        format!("there is no route {} {path}", request.method()),
    )
    .about("route", &path);
    let near = names.into_iter().take(3).fold(problem, |problem, name| {
        problem.hint(format!("there is {name}"))
    });
    near.hint("GET /openapi.json describes every route")
        .into_response()
}

/// How many segments of a path a route shares with it.
fn likeness(path: &str, route: &str) -> usize {
    let (_, route) = route.split_once(' ').unwrap_or(("", route));
    let segments = |text: &str| text.split('/').map(ToOwned::to_owned).collect::<Vec<_>>();
    let (path, route) = (segments(path), segments(route));
    let shared = path.iter().filter(|segment| {
        route.iter().any(|known| {
            known == *segment || !mainstay_manifest::near(segment, [known.as_str()]).is_empty()
        })
    });
    2 * shared.count() + usize::from(path.len() == route.len())
}

async fn wrong_method(request: Request) -> Problem {
    let path = request.uri().path();
    let allowed: Vec<String> = routes()
        .iter()
        .filter(|route| matches(route.path, path))
        .map(|route| route.method.to_string())
        .collect();
    let allowed = allowed.join(", ");
    let message = format!("{path} does not answer {}", request.method());
    Problem::invalid(message)
        .hint(format!("it answers {allowed}"))
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .header(header::ALLOW, &allowed)
}

/// Whether a path has the form of a route.
fn matches(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(known), Some(segment)) if known == segment || known.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_report_that_does_not_repeat_it() {
        let response = kept("GET /x", async { panic!("secret") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let report: mainstay_contract::ErrorReport = serde_json::from_slice(&body).unwrap();
        assert_eq!(report.code, Code::Internal);
        assert!(
            report
                .incident
                .is_some_and(|incident| incident.starts_with("inc_"))
        );
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }

    #[test]
    fn paths_match_their_routes() {
        assert!(matches("/api/sessions/{session}", "/api/sessions/x"));
        assert!(!matches("/api/sessions/{session}", "/api/sessions/x/y"));
        assert!(!matches("/api/sessions/{session}", "/api/session/x"));
        assert!(
            likeness("/api/session", "GET /api/sessions")
                > likeness("/api/session", "GET /healthz")
        );
    }
}
