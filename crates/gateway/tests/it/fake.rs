//! Providers that do as they are told, and gateways in front of them.

use mainstay_contract::Usd;
use mainstay_gateway::{Flow, Gateway, Ledger, ModelInfo, Settings};
use mainstay_inference::{
    Answering, Ask, BoxFuture, BudgetAction, BudgetConfig, BudgetKey, DeploymentConfig, Dialect,
    EmbeddingRequest, Embeddings, Event, FailureClass, Fallback, FinishReason, InferenceError,
    Limits, Member, Message, ModelConfig, ModelPrice, NetworkPhase, Origin, PartKind, Piece,
    Pricing, Provider, ProviderCall, Request, Role, Spender, Tokens,
};
use mainstay_resilience::{BreakerConfig, BudgetPeriod, Priority, RetryBudgetConfig, RetryPolicy};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What comes of a call, one after the other.
#[derive(Clone)]
pub(crate) enum Step {
    Piece(Piece),
    Fail(InferenceError),
    Panic,
    /// Nothing, for ever.
    Hang,
}

type Plan = dyn Fn(usize) -> Vec<Step> + Send + Sync;

/// A provider that plays what its plan says for each call, by the call's number from 0.
pub(crate) struct Fake {
    dialect: Option<Dialect>,
    plan: Box<Plan>,
    calls: AtomicUsize,
    dropped: Arc<AtomicUsize>,
    pub(crate) asked: Mutex<Vec<ProviderCall>>,
}

impl Fake {
    pub(crate) fn new(plan: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Arc<Self> {
        Self::speaking(None, plan)
    }

    pub(crate) fn speaking(
        dialect: Option<Dialect>,
        plan: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            plan: Box::new(plan),
            calls: AtomicUsize::new(0),
            dropped: Arc::default(),
            asked: Mutex::default(),
        })
    }

    /// One that says this text each time.
    pub(crate) fn saying(text: &'static str) -> Arc<Self> {
        Self::new(move |_| said(text))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many answers nobody reads any more.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

impl Provider for Fake {
    fn dialect(&self, _: Option<Dialect>) -> Option<Dialect> {
        self.dialect
    }

    fn call(
        self: Arc<Self>,
        call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        self.asked.lock().unwrap().push(call);
        let steps = (self.plan)(self.calls.fetch_add(1, Ordering::SeqCst));
        let playing = Playing {
            steps: steps.into(),
            dropped: Arc::clone(&self.dropped),
        };
        Box::pin(async move { Ok(Box::new(playing) as Box<dyn Answering>) })
    }

    fn embed(
        self: Arc<Self>,
        _: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            Ok(Embeddings {
                model: "fake".to_owned(),
                vectors: vec![vec![1.0]],
                tokens: None,
            })
        })
    }
}

struct Playing {
    steps: VecDeque<Step>,
    dropped: Arc<AtomicUsize>,
}

impl Answering for Playing {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>> {
        let step = self.steps.pop_front();
        Box::pin(async move {
            match step {
                None => Ok(None),
                Some(Step::Piece(piece)) => Ok(Some(piece)),
                Some(Step::Fail(error)) => Err(error),
                Some(Step::Panic) => panic!("as it was told"),
                Some(Step::Hang) => std::future::pending().await,
            }
        })
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn piece(events: Vec<Event>) -> Step {
    Step::Piece(Piece {
        events,
        ..Piece::default()
    })
}

pub(crate) fn started() -> Step {
    let (id, model) = ("a1".to_owned(), "fake".to_owned());
    let kind = PartKind::Text;
    piece(vec![
        Event::Started { id, model },
        Event::PartStarted { part: 0, kind },
    ])
}

pub(crate) fn text(text: &str) -> Step {
    let text = text.to_owned();
    piece(vec![Event::Delta { part: 0, text }])
}

/// The end: 1000 tokens sent, 500 received.
pub(crate) fn end(reason: FinishReason) -> Step {
    let tokens = Tokens {
        input: 1000,
        output: 500,
        ..Tokens::default()
    };
    piece(vec![
        Event::PartEnded { part: 0 },
        Event::Counted(tokens),
        Event::Finished { reason, stop: None },
    ])
}

/// A whole answer.
pub(crate) fn said(words: &str) -> Vec<Step> {
    vec![started(), text(words), end(FinishReason::Stop)]
}

pub(crate) fn cut() -> Step {
    Step::Fail(InferenceError::NetworkError {
        origin: Origin {
            provider: "fake".to_owned(),
            model: "fake".to_owned(),
            answering: true,
        },
        phase: NetworkPhase::Stream,
        message: "cut".to_owned(),
    })
}

pub(crate) fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

/// A deployment that costs a dollar a million tokens sent, two received, and is not repeated.
pub(crate) fn deployment(name: &str) -> DeploymentConfig {
    DeploymentConfig {
        provider: "fake".into(),
        model: name.into(),
        endpoint: name.into(),
        limits: Limits {
            queue_timeout: Duration::from_secs(30),
            ..Limits::default()
        },
        retry: RetryPolicy {
            retries_max: 0,
            base_ms: 1,
            cap_ms: 1,
        },
        retry_budget: RetryBudgetConfig::default(),
        breaker: BreakerConfig::default(),
        pricing: Pricing::Known(Arc::new(ModelPrice::flat(usd("1"), usd("2")))),
        output_tokens_usual: 1000,
        is_idempotent: true,
        hedge: None,
        is_ready: None,
    }
}

/// Settings in which every provider is a model of its own, and the first falls back to the others in order.
pub(crate) fn settings(providers: &[(&str, Arc<Fake>)]) -> Settings {
    let mut settings = Settings::default();
    for (at, (name, provider)) in providers.iter().enumerate() {
        let name: Arc<str> = Arc::from(*name);
        let member = Member {
            deployment: Arc::clone(&name),
            weight: 1,
        };
        let others = providers.iter().skip(1).filter(|_| at == 0);
        let fallback = others.map(|(other, _)| Fallback {
            deployment: Arc::from(*other),
            on: FailureClass::USUAL.to_vec(),
        });
        let model = ModelConfig {
            members: vec![member],
            fallback: fallback.collect(),
        };
        let info = ModelInfo {
            provider: "fake".to_owned(),
            deployments: vec![Arc::clone(&name)],
            ..ModelInfo::default()
        };
        let provider = Arc::clone(provider) as Arc<dyn Provider>;
        settings
            .gate
            .deployments
            .insert(Arc::clone(&name), deployment(&name));
        settings.gate.models.insert(Arc::clone(&name), model);
        settings.providers.insert(Arc::clone(&name), provider);
        settings.models.insert(name, Arc::new(info));
    }
    settings
}

/// A gateway that forgets.
pub(crate) fn gateway(providers: &[(&str, Arc<Fake>)]) -> Gateway {
    Gateway::open(settings(providers), Ledger::in_memory())
}

pub(crate) fn budget(limit: &str) -> BudgetConfig {
    BudgetConfig {
        limit: usd(limit),
        period: BudgetPeriod::Total,
        action: BudgetAction::Reject,
    }
}

pub(crate) fn of_model(name: &str) -> BudgetKey {
    BudgetKey::Deployment(Arc::from(name))
}

pub(crate) fn ask(model: &str) -> Ask {
    Ask {
        model: Arc::from(model),
        spender: Spender::default(),
        session_budget: None,
        input_tokens: 1000,
        output_tokens_max: Some(500),
        has_audio: false,
        priority: Priority::Normal,
        deadline: None,
        patience: None,
        is_retried: true,
        random: 7,
    }
}

pub(crate) fn call() -> ProviderCall {
    ProviderCall {
        request: Arc::new(Request {
            model: "m".to_owned(),
            messages: vec![Message::text(Role::User, "hello")],
            stream: true,
            ..Request::default()
        }),
        relay: None,
        attempt: 0,
        hops: 0,
    }
}

pub(crate) fn flow(gateway: &Gateway, model: &str) -> Flow {
    Flow::new(gateway, ask(model), call())
}
