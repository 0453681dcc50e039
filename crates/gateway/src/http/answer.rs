//! Requests for answers, in every dialect.

use super::arrival::{Arrival, Caller};
use super::body::FlowBody;
use super::cache::{self, CacheKey};
use super::headers::{ATTEMPTS, CACHE, COST, MODEL, WARNING};
use super::refusal::{Refusal, mark, refuse};
use super::{Shared, apart};
use crate::{Flow, FlowError, Gateway, ModelInfo, Settings, Start};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use mainstay_contract::{Code, ErrorReport};
use mainstay_inference::{
    Answer, AnswerContext, Ask, Assembly, Dialect, Part, Piece, ProviderCall, Relay, Request, Role,
    estimate_tokens,
};
use std::sync::{Arc, Mutex};

/// A request that was understood.
struct Asked {
    shared: Shared,
    arrival: Arrival,
    request: Arc<Request>,
    model: Arc<ModelInfo>,
    cache_key: Option<CacheKey>,
}

/// Answers a request.
pub(super) async fn answer(
    shared: Shared,
    dialect: Dialect,
    request: axum::extract::Request,
) -> Response {
    let arrival = match Arrival::read(dialect, request).await {
        Ok(arrival) => arrival,
        Err(response) => return *response,
    };
    let asked = match read(shared, arrival).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    if let Some(kept) = asked.kept() {
        return asked.again(&kept);
    }
    let mut flow = Flow::new(&asked.shared.gateway, asked.ask(), asked.call());
    flow.named(&asked.arrival.request_id, asked.arrival.text("traceparent"));
    match asked.request.stream {
        true => asked.stream(flow).await,
        false => asked.whole(flow).await,
    }
}

async fn read(shared: Shared, arrival: Arrival) -> Result<Asked, Box<Response>> {
    let (dialect, id) = (arrival.dialect, arrival.request_id.clone());
    let length = arrival.body.len();
    let asked = apart::read(length, || Asked::read(shared, arrival)).await;
    asked.unwrap_or_else(|report| Err(Box::new(refuse(dialect, &Refusal::of(&report), &id))))
}

/// `POST /v1/messages/count_tokens`: an estimate, because only providers know their tokens.
pub(super) async fn count_tokens(
    State(shared): State<Shared>,
    request: axum::extract::Request,
) -> Response {
    let arrival = match Arrival::read(Dialect::Anthropic, request).await {
        Ok(arrival) => arrival,
        Err(response) => return *response,
    };
    match count(&shared.gateway, &arrival).await {
        Ok(tokens) => json(mainstay_inference::write_count(tokens), &arrival.request_id),
        Err(refusal) => refuse(Dialect::Anthropic, &refusal, &arrival.request_id),
    }
}

async fn count(gateway: &Gateway, arrival: &Arrival) -> Result<u64, Box<Refusal>> {
    let body = arrival.body.clone();
    let counting = move || {
        let request = mainstay_inference::read_count_request(&body)?;
        let tokens = estimate_tokens(&request, Dialect::Anthropic);
        Ok((request.model, tokens))
    };
    let counted = apart::read(arrival.body.len(), counting).await;
    let counted = counted.map_err(|report| Refusal::of(&report))?;
    let (model, tokens) = counted.map_err(Refusal::unread)?;
    known(gateway, &arrival.caller, &model)?;
    Ok(tokens)
}

/// The model that a request names. Only what the caller's key may use is told of.
pub(super) fn known(
    gateway: &Gateway,
    caller: &Caller,
    name: &str,
) -> Result<Arc<ModelInfo>, Box<Refusal>> {
    if let Some(model) = gateway.model(name) {
        return Ok(model);
    }
    Err(Box::new(unknown(&gateway.settings(), caller, name)))
}

/// Says that there is no such model, for this caller at least.
pub(super) fn unknown(settings: &Settings, caller: &Caller, name: &str) -> Refusal {
    let names = usable(settings, caller);
    let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    let message = match names.is_empty() {
        true => format!("there is no model `{shown}`, and none for this caller"),
        false => format!(
            "there is no model `{shown}`; there are {}",
            names.join(", ")
        ),
    };
    let mut report = ErrorReport::new(Code::ModelNotFound, message).about("model", shown);
    report.responsible = mainstay_contract::Responsible::Caller;
    Refusal {
        param: Some("model".to_owned()),
        ..Refusal::of(&report)
    }
}

/// The names of the models that a caller may use, sorted.
pub(super) fn usable<'a>(settings: &'a Settings, caller: &Caller) -> Vec<&'a str> {
    let key = caller.key.as_ref();
    let key = key.and_then(|key| settings.gate.keys.get(key));
    let allowed = key.and_then(|key| key.models.as_ref());
    let is_allowed = |name: &&Arc<str>| allowed.is_none_or(|names| names.contains(name));
    let names = settings.models.keys().filter(is_allowed);
    let mut names: Vec<&str> = names.map(AsRef::as_ref).collect();
    names.sort_unstable();
    names
}

impl Asked {
    fn read(shared: Shared, arrival: Arrival) -> Result<Self, Box<Response>> {
        let refused =
            |refusal: &Refusal| Box::new(refuse(arrival.dialect, refusal, &arrival.request_id));
        let request = arrival.dialect.read_request(&arrival.body);
        let request = request.map_err(|error| refused(&Refusal::unread(error)))?;
        if let Some(refusal) = is_for_later(&request) {
            return Err(refused(&refusal));
        }
        let model = known(&shared.gateway, &arrival.caller, &request.model)
            .map_err(|refusal| refused(&refusal))?;
        let cache_key = cache_key(&arrival, &request, &model);
        Ok(Self {
            shared,
            arrival,
            request: Arc::new(request),
            model,
            cache_key,
        })
    }

    fn kept(&self) -> Option<Answer> {
        let is_asked_anew = self
            .arrival
            .text("cache-control")
            .is_some_and(|text| text.contains("no-cache"));
        let key = self.cache_key.filter(|_| !is_asked_anew)?;
        let kept = self.shared.cache.get(&key)?;
        self.shared.gateway.metrics().cache_hits.inc();
        Some(cache::again(&kept))
    }

    fn ask(&self) -> Ask {
        let first = self.model.deployments.first();
        let gateway = &self.shared.gateway;
        let provider = first.and_then(|name| gateway.provider(name));
        let dialect = provider.and_then(|provider| provider.dialect(Some(self.arrival.dialect)));
        let (deadline, patience) = self.arrival.deadline(gateway.now(), self.model.total);
        Ask {
            model: Arc::from(self.request.model.as_str()),
            spender: self.arrival.spender(),
            session_budget: None,
            input_tokens: estimate_tokens(&self.request, dialect.unwrap_or(self.arrival.dialect)),
            output_tokens_max: all_choices(&self.request),
            has_audio: has_audio(&self.request),
            priority: self.arrival.caller.priority,
            deadline,
            patience,
            is_retried: true,
            random: self.arrival.random,
        }
    }

    fn call(&self) -> ProviderCall {
        ProviderCall {
            request: Arc::clone(&self.request),
            relay: Some(Relay {
                dialect: self.arrival.dialect,
                body: self.arrival.body.clone(),
                headers: self.arrival.relayed(),
            }),
            attempt: 0,
            hops: self.arrival.hops(),
        }
    }

    fn context(&self) -> AnswerContext<'_> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        AnswerContext {
            request: &self.request,
            created: since.unwrap_or_default().as_secs(),
            request_id: &self.arrival.request_id,
        }
    }

    /// Whether a deployment's own bytes are in the caller's dialect.
    fn is_same_dialect(&self, deployment: &str) -> bool {
        let provider = self.shared.gateway.provider(deployment);
        let dialect = self.arrival.dialect;
        provider.and_then(|provider| provider.dialect(Some(dialect))) == Some(dialect)
    }

    fn refuse(&self, error: &FlowError) -> Response {
        let refusal = Refusal::of_flow(error, &self.request.model);
        refuse(self.arrival.dialect, &refusal, &self.arrival.request_id)
    }

    async fn whole(&self, mut flow: Flow) -> Response {
        match self.collect(&mut flow).await {
            Ok(response) => response,
            Err(error) => self.refuse(&error),
        }
    }

    async fn collect(&self, flow: &mut Flow) -> Result<Response, FlowError> {
        let start = flow.begin().await?;
        let mut pieces: Vec<Piece> = Vec::with_capacity(1);
        while let Some(piece) = flow.next().await? {
            pieces.push(piece);
        }
        let is_raw = matches!(pieces.as_slice(), [piece] if !piece.raw.is_empty())
            && self.is_same_dialect(&start.deployment);
        let body = match is_raw && self.cache_key.is_none() {
            true => Body::from(std::mem::take(&mut pieces[0].raw)),
            false => {
                let raw = is_raw.then(|| pieces[0].raw.clone());
                let answer = assemble(pieces.into_iter().flat_map(|piece| piece.events));
                match (answer, raw) {
                    (None, _) => {
                        let message = "the answer of the provider cannot be put together";
                        let report = ErrorReport::new(Code::BadResponse, message);
                        let refusal = Refusal::of(&report);
                        let id = &self.arrival.request_id;
                        return Ok(refuse(self.arrival.dialect, &refusal, id));
                    }
                    (Some(answer), raw) => {
                        let body = raw.map_or_else(
                            || {
                                Body::from(
                                    self.arrival.dialect.write_answer(&answer, &self.context()),
                                )
                            },
                            Body::from,
                        );
                        self.keep(answer);
                        body
                    }
                }
            }
        };
        let mut response = Response::new(body);
        self.head(&mut response, &start, "application/json");
        if let Some(success) = flow.success() {
            insert(&mut response, COST, &success.usd.to_string());
        }
        Ok(response)
    }

    async fn stream(&self, mut flow: Flow) -> Response {
        let start = match flow.begin().await {
            Ok(start) => start,
            Err(error) => return self.refuse(&error),
        };
        let is_raw = flow.is_raw() && self.is_same_dialect(&start.deployment);
        let encoder = self.arrival.dialect.stream_writer(&self.context());
        let (model, id) = (self.request.model.clone(), self.arrival.request_id.clone());
        let body = FlowBody::new(flow, encoder, is_raw, model, id);
        let mut response = Response::new(Body::new(match self.keeper() {
            Some(keeper) => body.watched(keeper),
            None => body,
        }));
        self.head(&mut response, &start, "text/event-stream; charset=utf-8");
        let no_cache = HeaderValue::from_static("no-cache");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, no_cache);
        response
    }

    /// Puts a streamed answer together on its way, where answers are kept.
    fn keeper(&self) -> Option<impl FnMut(&Piece, bool) + Send + 'static> {
        let (key, ttl) = (self.cache_key?, self.model.cached_for?);
        let cache = Arc::clone(&self.shared.cache);
        let assembly = Mutex::new(Some(Assembly::default()));
        Some(move |piece: &Piece, is_end: bool| {
            let Ok(mut place) = assembly.lock() else {
                return;
            };
            let Some(whole) = place.as_mut() else { return };
            let is_sound = piece
                .events
                .iter()
                .all(|event| whole.add(event.clone()).is_ok());
            if is_end || !is_sound {
                let whole = place.take().filter(|_| is_sound);
                if let Some(Ok(answer)) = whole.map(Assembly::finish) {
                    cache.put(key, answer, ttl);
                }
            }
        })
    }

    fn keep(&self, answer: Answer) {
        if let (Some(key), Some(ttl)) = (self.cache_key, self.model.cached_for) {
            self.shared.cache.put(key, answer, ttl);
        }
    }

    /// Gives a kept answer.
    fn again(&self, answer: &Answer) -> Response {
        let context = self.context();
        let mut response = if self.request.stream {
            let mut encoder = self.arrival.dialect.stream_writer(&context);
            let mut out = Vec::new();
            for event in answer.events() {
                encoder.encode(&event, &mut out);
            }
            let mut response = Response::new(Body::from(out));
            let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            mark(&mut response, &self.arrival.request_id);
            response
        } else {
            let body = self.arrival.dialect.write_answer(answer, &context);
            json(body, &self.arrival.request_id)
        };
        insert(&mut response, CACHE, "hit");
        insert(&mut response, COST, "0");
        response
    }

    fn head(&self, response: &mut Response, start: &Start, kind: &'static str) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(ATTEMPTS, start.attempts.into());
        insert(response, MODEL, &start.deployment);
        for warning in &start.warnings {
            insert(response, WARNING, warning);
        }
        if self.cache_key.is_some() {
            insert(response, CACHE, "miss");
        }
        mark(response, &self.arrival.request_id);
    }
}

fn cache_key(arrival: &Arrival, request: &Request, model: &ModelInfo) -> Option<CacheKey> {
    model.cached_for?;
    let is_forbidden = arrival
        .text("cache-control")
        .is_some_and(|text| text.contains("no-store"));
    if is_forbidden || request.choices.is_some_and(|choices| choices != 1) {
        return None;
    }
    let mut scope = vec![arrival.caller.key.as_deref().unwrap_or_default()];
    scope.extend(model.deployments.iter().map(AsRef::as_ref));
    Some(cache::key(&scope, arrival.dialect, request))
}

fn assemble(events: impl Iterator<Item = mainstay_inference::Event>) -> Option<Answer> {
    let mut assembly = Assembly::default();
    for event in events {
        assembly.add(event).ok()?;
    }
    assembly.finish().ok()
}

/// An answer that is to be fetched later: there is no route to fetch it by, and it would be paid for.
fn is_for_later(request: &Request) -> Option<Refusal> {
    let background = request.extra.as_ref()?.fields.get("background")?;
    (background == &serde_json::Value::Bool(true)).then(|| {
        let message = "answers cannot be fetched later here: leave `background` out";
        Refusal::invalid(message, Some("background".to_owned()))
    })
}

/// The most tokens of all answers that are asked for.
fn all_choices(request: &Request) -> Option<u64> {
    let choices = request.choices.unwrap_or(1).max(1);
    request
        .output_tokens_max
        .map(|most| most.saturating_mul(choices))
}

fn has_audio(request: &Request) -> bool {
    let is_audio = |part: &Part| matches!(part, Part::Audio { .. });
    let of_user = request
        .messages
        .iter()
        .filter(|message| message.role == Role::User);
    of_user.flat_map(|message| &message.parts).any(is_audio)
}

pub(super) fn json(body: Vec<u8>, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    mark(&mut response, request_id);
    response
}

pub(super) fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}
