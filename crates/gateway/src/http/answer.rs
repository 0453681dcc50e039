//! Requests for answers, in every dialect.

use super::arrival::{Arrival, Caller};
use super::body::FlowBody;
use super::cache::{self, CacheKey, Keeper, Told, Wish};
use super::headers::{ATTEMPTS, CACHE, COST, MODEL, WARNING};
use super::refusal::{Refusal, mark, refuse};
use super::{Shared, apart};
use crate::trace::{FlowTrace, Question};
use crate::{Flow, FlowError, Gateway, ModelInfo, Settings, Start};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use mainstay_contract::{Code, ErrorReport, Responsible};
use mainstay_inference::{
    Answer, AnswerContext, Ask, Assembly, Dialect, Part, Piece, ProviderCall, Relay, Request, Role,
    estimate_relayed, estimate_tokens, kept_conversation,
};
use std::sync::Arc;

/// The tokens of a conversation that the provider has kept, where the model's window is not known.
const WINDOW: u64 = 200_000;

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream; charset=utf-8";

/// A request that was understood.
struct Asked {
    shared: Shared,
    arrival: Arrival,
    request: Arc<Request>,
    model: Arc<ModelInfo>,
    /// About how many tokens are asked with.
    input_tokens: u64,
    cache_key: Option<CacheKey>,
}

/// Answers a request.
pub(super) async fn answer(
    shared: Shared,
    dialect: Dialect,
    request: axum::extract::Request,
) -> Response {
    let arrival = match Arrival::read(&shared.room, dialect, request).await {
        Ok(arrival) => arrival,
        Err(response) => return *response,
    };
    let asked = match read(shared, arrival).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    if let Some(kept) = asked.kept() {
        asked.trace_kept(&kept);
        return asked.again(kept);
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
    let arrival = match Arrival::read(&shared.room, Dialect::Anthropic, request).await {
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
    permitted(gateway, arrival, &model)?;
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
    let is_allowed = |name: &&Arc<str>| key.is_none_or(|key| key.may_use(name));
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
        let input_tokens = input_tokens(&shared.gateway, &arrival, &request, &model);
        Ok(Self {
            shared,
            arrival,
            request: Arc::new(request),
            model,
            input_tokens,
            cache_key,
        })
    }

    /// What was answered before. Whoever may not ask for it is not told it either.
    fn kept(&self) -> Option<Told> {
        let key = self.cache_key?;
        let gateway = &self.shared.gateway;
        let wish = Wish::of(&self.arrival.headers);
        if wish.is_anew
            || wish.is_secret
            || permitted(gateway, &self.arrival, &self.request.model).is_err()
        {
            return None;
        }
        let kept = self.shared.cache.get(&key)?;
        gateway.metrics().cache_hits.inc();
        Some(kept)
    }

    /// Traces a request whose answer was kept.
    fn trace_kept(&self, told: &Told) {
        let gateway = &self.shared.gateway;
        let Some(telemetry) = gateway.telemetry() else {
            return;
        };
        let mut trace = FlowTrace::new(self.arrival.caller.key.clone());
        let parent = self.arrival.text("traceparent");
        trace.named(&self.arrival.request_id, parent);
        trace.given_again(&told.deployment, &self.request.model, &gateway.settings());
        telemetry.request(&trace, Question::Chat(&self.request));
    }

    fn ask(&self) -> Ask {
        let gateway = &self.shared.gateway;
        let (deadline, patience) =
            self.arrival
                .deadline(gateway.now(), self.model.total, self.request.stream);
        Ask {
            model: Arc::from(self.request.model.as_str()),
            spender: self.arrival.spender(),
            session_budget: None,
            input_tokens: self.input_tokens,
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
        let mut keeper = self.keeper(&start, JSON);
        if let Some(keeper) = &mut keeper {
            let events = pieces.iter().map(|piece| &piece.events);
            events.for_each(|events| keeper.add(events, b""));
        }
        let body = match is_raw {
            true => std::mem::take(&mut pieces[0].raw),
            false => {
                let events = pieces.into_iter().flat_map(|piece| piece.events);
                let Some(answer) = assemble(events) else {
                    return Ok(self.not_put_together());
                };
                Bytes::from(self.arrival.dialect.write_answer(&answer, &self.context()))
            }
        };
        if let Some(mut keeper) = keeper {
            keeper.add(&[], &body);
            keeper.finish();
        }
        let mut response = Response::new(Body::from(body));
        self.head(&mut response, &start, JSON);
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
        let body = body.kept_by(self.keeper(&start, STREAM));
        let mut response = Response::new(Body::new(body));
        self.head(&mut response, &start, STREAM);
        response
    }

    /// Keeps an answer, where answers are kept: not one of somebody who only stands in.
    fn keeper(&self, start: &Start, content_type: &'static str) -> Option<Keeper> {
        let (key, ttl) = (self.cache_key?, self.model.cached_for?);
        let is_its_own = self.model.deployments.contains(&start.deployment);
        if !is_its_own || Wish::of(&self.arrival.headers).is_secret {
            return None;
        }
        let told = Told {
            body: Bytes::new(),
            content_type,
            deployment: Arc::clone(&start.deployment),
            warnings: start.warnings.clone(),
        };
        Some(Keeper::new(&self.shared.cache, key, ttl, told))
    }

    /// Gives a kept answer.
    fn again(&self, told: Told) -> Response {
        let mut response = Response::new(Body::from(told.body));
        let start = Start {
            deployment: told.deployment,
            attempts: 0,
            warnings: told.warnings,
        };
        self.head(&mut response, &start, told.content_type);
        let hit = HeaderValue::from_static("hit");
        response.headers_mut().insert(CACHE, hit);
        insert(&mut response, COST, "0");
        response
    }

    fn not_put_together(&self) -> Response {
        let message = "the answer of the provider cannot be put together";
        let refusal = Refusal::of(&ErrorReport::new(Code::BadResponse, message));
        refuse(self.arrival.dialect, &refusal, &self.arrival.request_id)
    }

    fn head(&self, response: &mut Response, start: &Start, kind: &'static str) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if kind == STREAM {
            let no_cache = HeaderValue::from_static("no-cache");
            headers.insert(header::CACHE_CONTROL, no_cache);
        }
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
    let is_kept = model.cached_for.is_some() && request.choices.is_none_or(|choices| choices == 1);
    is_kept.then(|| cache::key(arrival, model))
}

/// About how many tokens a request is asked with.
fn input_tokens(gateway: &Gateway, arrival: &Arrival, request: &Request, model: &ModelInfo) -> u64 {
    let first = model.deployments.first();
    let provider = first.and_then(|name| gateway.provider(name));
    let own = arrival.dialect;
    let dialect = provider.and_then(|provider| provider.dialect(Some(own)));
    let tokens = match dialect.unwrap_or(own) {
        dialect if dialect == own => estimate_relayed(request, dialect, &arrival.body),
        dialect => estimate_tokens(request, dialect),
    };
    // Of what a provider keeps nobody here knows the length.
    match kept_conversation(request) {
        Some(_) => tokens.max(model.context_window.unwrap_or(WINDOW)),
        None => tokens,
    }
}

/// Whether the caller's key may use a model, and speak for the agent that it names.
fn permitted(gateway: &Gateway, arrival: &Arrival, model: &str) -> Result<(), Box<Refusal>> {
    let Some(name) = &arrival.caller.key else {
        return Ok(());
    };
    let settings = gateway.settings();
    let Some(key) = settings.gate.keys.get(name) else {
        return Ok(());
    };
    let refused = key.permits(name, model, arrival.agent());
    refused.map_err(|message| {
        let mut report = ErrorReport::new(Code::ProviderForbidden, message).about("model", model);
        report.responsible = Responsible::Caller;
        Box::new(Refusal::of(&report))
    })
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
