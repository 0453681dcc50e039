//! Requests: which wire they are on, whether they are valid, and what is sent back.

use super::ask::{Asked, Complaint};
use super::playing::{Closed, Playing, Step};
use super::reply::Reply;
use super::scenario::{Content, Pace, Scenario, Trouble};
use super::state::{Flight, Health, State};
use super::trouble::{Failed, mid};
use super::wire::{Frame, Wire};
use super::{control, vectors};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) type Sent = Response<Playing<Option<Flight>>>;

/// Time for what was written to leave before the connection closes.
const LEAVES: Duration = Duration::from_millis(30);

/// Where a request goes.
struct Route {
    wire: Wire,
    /// Where the address names the model.
    model: Option<String>,
    is_stream: bool,
    is_vectors: bool,
    /// Whether it is a server that wants no key.
    is_open: bool,
}

impl Route {
    fn of(path: &str, query: &str) -> Option<Self> {
        let is_open = path.starts_with("/open/");
        let plain = if is_open {
            &path["/open".len()..]
        } else {
            path
        };
        let route = |wire, model: Option<&str>| Self {
            wire,
            model: model.map(|model| model.replace("%2F", "/")),
            is_stream: false,
            is_vectors: false,
            is_open,
        };
        let vectors = |route: Self| Self {
            is_vectors: true,
            ..route
        };
        if let Some(rest) = plain.strip_prefix("/openai/deployments/") {
            return match rest.strip_suffix("/chat/completions") {
                Some(model) => Some(route(Wire::Azure, Some(model))),
                None => {
                    let model = rest.strip_suffix("/embeddings")?;
                    Some(vectors(route(Wire::Azure, Some(model))))
                }
            };
        }
        let of_gemini = ["/v1beta/models/", "/v1/models/"];
        if let Some(rest) = of_gemini.iter().find_map(|start| plain.strip_prefix(start)) {
            let (model, verb) = rest.rsplit_once(':')?;
            let route = route(Wire::Gemini, Some(model));
            return match verb {
                "generateContent" => Some(route),
                "batchEmbedContents" => Some(vectors(route)),
                "streamGenerateContent" if query.split('&').any(|pair| pair == "alt=sse") => {
                    Some(Self {
                        is_stream: true,
                        ..route
                    })
                }
                _ => None,
            };
        }
        match plain {
            "/v1/chat/completions" => Some(route(Wire::Chat, None)),
            "/v1/embeddings" => Some(vectors(route(Wire::Chat, None))),
            "/v1/responses" => Some(route(Wire::Responses, None)),
            "/v1/messages" => Some(route(Wire::Anthropic, None)),
            _ => None,
        }
    }
}

pub(super) async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Sent, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    if head.uri.path() == "/health" {
        return match state.health_asked() {
            Health::Status(status) => Ok(plain(status, &json!({}))),
            Health::Silence => std::future::pending().await,
        };
    }
    if let Some(told) = control::answer(&state, &head, &body) {
        return Ok(told);
    }
    let query = head.uri.query().unwrap_or_default();
    let Some(route) = Route::of(head.uri.path(), query) else {
        let path = head.uri.path();
        return Ok(plain(
            404,
            &json!({"error": {"message": format!("no such address: {path}")}}),
        ));
    };
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let named = value
        .get("model")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let model = route.model.clone().or(named).unwrap_or_default();
    let key = key(&head, route.wire).unwrap_or_default();
    let number = state.arrived(&model, record(&head, &value));
    let flight = state.begun(&model);
    let asked = match check(&head, &route, &value) {
        Ok(asked) => Asked {
            model,
            key,
            ..asked
        },
        Err(complaint) => {
            let body = route.wire.complaint(&complaint);
            return Ok(steps(
                complaint.status,
                json_type(),
                whole(&body),
                Some(flight),
            ));
        }
    };
    let scenario = Scenario::of(&asked.model);
    let play = Play {
        state: &state,
        route: &route,
        asked,
        number,
        value,
    };
    play.run(scenario, flight)
}

/// The key that was shown.
fn key(head: &Parts, wire: Wire) -> Option<String> {
    let header = |name: &str| head.headers.get(name)?.to_str().ok().map(str::to_owned);
    let bearer = || Some(header("authorization")?.strip_prefix("Bearer ")?.to_owned());
    match wire {
        Wire::Chat | Wire::Responses => bearer(),
        Wire::Azure => header("api-key").or_else(bearer),
        Wire::Anthropic => header("x-api-key").or_else(bearer),
        Wire::Gemini => header("x-goog-api-key"),
    }
}

fn check(head: &Parts, route: &Route, body: &Value) -> Result<Asked, Complaint> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    if head.method != Method::POST {
        return Err(Complaint {
            status: 405,
            ..Complaint::about("method", "only POST")
        });
    }
    if key(head, route.wire).is_none_or(|key| key.is_empty()) && !route.is_open {
        return Err(Complaint::unauthorized("You did not provide an API key."));
    }
    if !header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(Complaint::about(
            "content-type",
            "content-type must be application/json",
        ));
    }
    if route.wire == Wire::Anthropic && !header("anthropic-version").is_some_and(is_date) {
        return Err(Complaint::about(
            "anthropic-version",
            "anthropic-version: header is required",
        ));
    }
    let query = head.uri.query().unwrap_or_default();
    if route.wire == Wire::Azure
        && !query
            .split('&')
            .any(|pair| pair.starts_with("api-version=20"))
    {
        return Err(Complaint {
            status: 404,
            ..Complaint::about("api-version", "Resource not found")
        });
    }
    if route.model.is_none() && body.get("model").and_then(Value::as_str).is_none() {
        return Err(Complaint::about(
            "model",
            "you must provide a model parameter",
        ));
    }
    if route.is_vectors {
        return Ok(Asked::default());
    }
    let asked = match route.wire {
        Wire::Anthropic if header("anthropic-beta").is_some_and(is_newer) => {
            route.wire.read(&without_system(body), route.is_open)?
        }
        wire => wire.read(body, route.is_open)?,
    };
    Ok(Asked {
        is_stream: asked.is_stream || route.is_stream,
        is_open: route.is_open,
        ..asked
    })
}

/// Whether a client asks for messages of the system within a conversation.
fn is_newer(betas: &str) -> bool {
    betas.contains("mid-conversation")
}

fn without_system(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(messages) = body["messages"].as_array_mut() {
        messages.retain(|message| message["role"] != "system");
    }
    body
}

/// Whether it looks like `2023-06-01`, as versions of the API do.
fn is_date(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [4, 2, 2]
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn record(head: &Parts, body: &Value) -> Value {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (
            name.as_str().to_owned(),
            json!(String::from_utf8_lossy(value.as_bytes())),
        )
    };
    let headers: serde_json::Map<String, Value> = head.headers.iter().map(header).collect();
    json!({
        "path": head.uri.path(), "query": head.uri.query(), "headers": headers, "body": body,
    })
}

/// A valid request.
struct Play<'a> {
    state: &'a State,
    route: &'a Route,
    asked: Asked,
    number: u64,
    value: Value,
}

impl Play<'_> {
    fn run(&self, scenario: Option<Scenario>, flight: Flight) -> Result<Sent, Closed> {
        let asked = &self.asked;
        let scenario = match scenario.unwrap_or(Scenario::Fail(Trouble::NotFound)) {
            Scenario::First(failures, trouble) => {
                match self.state.attempt(&asked.model, &asked.key) > failures {
                    true => Scenario::Answer(Content::Ok, Pace::AtOnce),
                    false => Scenario::Fail(trouble),
                }
            }
            Scenario::Each(count, trouble) if self.number.is_multiple_of(count) => {
                Scenario::Fail(trouble)
            }
            Scenario::Each(..) => Scenario::Answer(Content::Ok, Pace::AtOnce),
            Scenario::Rotate if self.state.is_key(&asked.model, &asked.key) => {
                Scenario::Answer(Content::Ok, Pace::AtOnce)
            }
            Scenario::Rotate => Scenario::Fail(Trouble::Unauthorized),
            Scenario::OverloadedMid if !asked.is_stream => Scenario::Fail(Trouble::Overloaded),
            scenario => scenario,
        };
        let scenario = match scenario {
            Scenario::Fail(trouble) => {
                return Ok(failed(trouble.told(self.route.wire, asked), flight));
            }
            Scenario::Reset => return Err(Closed),
            scenario => scenario,
        };
        if self.route.is_vectors {
            return Ok(self.vectors(flight));
        }
        let content = match scenario {
            Scenario::Answer(content, _) => content,
            _ => Content::Count,
        };
        let reply = Reply::of(content, asked, self.number);
        Ok(match asked.is_stream {
            true => self.streamed(&scenario, &reply, flight),
            false => self.whole(&scenario, &reply, flight),
        })
    }

    fn vectors(&self, flight: Flight) -> Sent {
        let made = match self.route.wire {
            Wire::Gemini => vectors::gemini(&self.value, &self.asked.model),
            _ => vectors::openai(&self.value, &self.asked.model),
        };
        match made {
            Ok(body) => steps(200, json_type(), whole(&body), Some(flight)),
            Err(complaint) => {
                let body = self.route.wire.complaint(&complaint);
                steps(complaint.status, json_type(), whole(&body), Some(flight))
            }
        }
    }

    fn whole(&self, scenario: &Scenario, reply: &Reply, flight: Flight) -> Sent {
        let body = self.route.wire.whole(&self.asked, reply).to_string();
        let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
        let all = Bytes::from(body);
        let length = ("content-length", all.len().to_string());
        let mut headers = json_type();
        let play = match scenario {
            Scenario::Answer(_, Pace::EachAfter(time) | Pace::FirstAfter(time)) => {
                vec![Step::Wait(*time), Step::Send(all)]
            }
            Scenario::Stall => vec![Step::Silence],
            Scenario::StallMid => vec![Step::Send(half), Step::Silence],
            Scenario::Cut => {
                headers.push(length);
                vec![Step::Send(half), Step::Wait(LEAVES), Step::Close]
            }
            Scenario::BadJson | Scenario::BadJsonMid => vec![Step::Send(half)],
            Scenario::Empty => Vec::new(),
            _ => vec![Step::Send(all)],
        };
        steps(200, headers, play, Some(flight))
    }

    fn streamed(&self, scenario: &Scenario, reply: &Reply, flight: Flight) -> Sent {
        let frames = self.route.wire.frames(&self.asked, reply);
        let send = |frame: &Frame| Step::Send(Bytes::from(frame.text.clone()));
        let second = frames
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.is_content)
            .nth(1);
        let so_far = second.map_or(frames.len(), |(place, _)| place + 1);
        let broken = || Step::Send(Bytes::from_static(b"data: {\"broken\": \n\n"));
        let begun = || frames[..so_far].iter().map(send);
        let play = match scenario {
            Scenario::Answer(_, Pace::EachAfter(time)) => {
                let paced = |frame: &Frame| match frame.is_content {
                    true => vec![Step::Wait(*time), send(frame)],
                    false => vec![send(frame)],
                };
                frames.iter().flat_map(paced).collect()
            }
            Scenario::Answer(_, Pace::FirstAfter(time)) => {
                let wait = [Step::Wait(*time)];
                wait.into_iter().chain(frames.iter().map(send)).collect()
            }
            Scenario::Stall => vec![Step::Silence],
            Scenario::StallMid => begun().chain([Step::Silence]).collect(),
            Scenario::Cut => begun().chain([Step::Wait(LEAVES), Step::Close]).collect(),
            Scenario::OverloadedMid => {
                let error = mid(self.route.wire, so_far);
                begun().chain([send(&error)]).collect()
            }
            Scenario::BadJson => vec![broken()],
            Scenario::BadJsonMid => begun().chain([broken()]).collect(),
            Scenario::Empty => Vec::new(),
            _ => frames.iter().map(send).collect(),
        };
        let headers = vec![(
            "content-type",
            "text/event-stream; charset=utf-8".to_owned(),
        )];
        steps(200, headers, play, Some(flight))
    }
}

fn failed(failed: Failed, flight: Flight) -> Sent {
    let body = vec![Step::Send(Bytes::from(failed.body))];
    steps(failed.status, failed.headers, body, Some(flight))
}

fn json_type() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/json".to_owned())]
}

fn whole(body: &Value) -> Vec<Step> {
    vec![Step::Send(Bytes::from(body.to_string()))]
}

/// An answer that is no model's.
pub(super) fn plain(status: u16, body: &Value) -> Sent {
    steps(status, json_type(), whole(body), None)
}

fn steps(
    status: u16,
    headers: Vec<(&'static str, String)>,
    steps: Vec<Step>,
    flight: Option<Flight>,
) -> Sent {
    let mut response = Response::new(Playing::new(steps, flight));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
