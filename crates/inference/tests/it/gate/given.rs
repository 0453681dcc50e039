//! Deployments, requests and failures to be tried with.

use super::world::START;
use mainstay_contract::{Timestamp, Usd};
use mainstay_inference::{
    Ask, BudgetAction, BudgetConfig, BudgetKey, DeploymentConfig, FailureClass, Fallback,
    GateConfig, InferenceError, Limits, Member, ModelConfig, ModelPrice, NetworkPhase, Origin,
    Pricing, ResponseProblem, Spender, TimeoutPhase, Tokens,
};
use mainstay_resilience::{
    BreakerConfig, BudgetPeriod, Priority, Rate, RetryBudgetConfig, RetryPolicy,
};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// A deployment without limits that costs nothing.
pub(crate) fn plain() -> DeploymentConfig {
    DeploymentConfig {
        provider: "provider".into(),
        model: "real".into(),
        endpoint: "endpoint".into(),
        limits: Limits::default(),
        retry: RetryPolicy::default(),
        retry_budget: RetryBudgetConfig::default(),
        breaker: BreakerConfig::default(),
        pricing: Pricing::Free,
        output_tokens_usual: 90,
        is_idempotent: true,
        hedge: None,
        is_ready: None,
    }
}

/// A deployment with an endpoint of its own.
pub(crate) fn at(endpoint: &str) -> DeploymentConfig {
    DeploymentConfig {
        endpoint: endpoint.into(),
        ..plain()
    }
}

pub(crate) fn limited(limits: Limits) -> DeploymentConfig {
    DeploymentConfig { limits, ..plain() }
}

/// Deployments, of which the first is the model `m` and the others stand in for it after any failure.
pub(crate) fn chain(deployments: &[(&str, DeploymentConfig)]) -> GateConfig {
    let mut config = GateConfig::default();
    for (name, deployment) in deployments {
        let name: Arc<str> = (*name).into();
        config.deployments.insert(name, deployment.clone());
    }
    let fallback = deployments.iter().skip(1).map(|(name, _)| Fallback {
        deployment: (*name).into(),
        on: ANY.to_vec(),
    });
    let model = ModelConfig {
        members: vec![Member {
            deployment: deployments[0].0.into(),
            weight: 1,
        }],
        fallback: fallback.collect(),
    };
    config.models.insert("m".into(), model);
    config
}

pub(crate) const ANY: &[FailureClass] = &[
    FailureClass::Limited,
    FailureClass::Failed,
    FailureClass::ContextLength,
    FailureClass::ContentFiltered,
    FailureClass::Access,
    FailureClass::Budget,
];

/// One deployment `a` behind the model `m`.
pub(crate) fn one(deployment: DeploymentConfig) -> GateConfig {
    chain(&[("a", deployment)])
}

/// A question of ten tokens whose answer has ninety at most.
pub(crate) fn ask() -> Ask {
    Ask {
        model: "m".into(),
        spender: Spender::default(),
        session_budget: None,
        input_tokens: 10,
        output_tokens_max: Some(90),
        has_audio: false,
        priority: Priority::Normal,
        deadline: None,
        patience: None,
        is_retried: true,
        random: 0,
    }
}

pub(crate) fn by_key(name: &str) -> Ask {
    let key = Some(name.into());
    let spender = Spender {
        key,
        ..Spender::default()
    };
    Ask { spender, ..ask() }
}

pub(crate) fn until(clock: u64) -> Ask {
    let deadline = Some(Timestamp(START + clock));
    Ask { deadline, ..ask() }
}

pub(crate) fn tokens(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        output,
        ..Tokens::default()
    }
}

/// A thousand nano-dollars a token.
pub(crate) fn priced(deployment: DeploymentConfig) -> DeploymentConfig {
    let price = Usd::from_nanos(1_000_000_000);
    let pricing = Pricing::Known(Arc::new(ModelPrice::flat(price, price)));
    DeploymentConfig {
        pricing,
        ..deployment
    }
}

/// What a call of [`ask`] costs at most.
pub(crate) const CALL: u64 = 100_000;

pub(crate) fn usd(nanos: u64) -> Usd {
    Usd::from_nanos(nanos)
}

pub(crate) fn budget(config: &mut GateConfig, key: BudgetKey, limit: u64, action: BudgetAction) {
    let limit = Usd::from_nanos(limit);
    let period = BudgetPeriod::Hour;
    let budget = BudgetConfig {
        limit,
        period,
        action,
    };
    config.budgets.insert(key, budget);
}

pub(crate) fn rate(per_minute: u64, burst: u64) -> Option<Rate> {
    Some(Rate {
        per_minute: NonZeroU64::new(per_minute).unwrap(),
        burst: NonZeroU64::new(burst).unwrap(),
    })
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn origin() -> Origin {
    Origin {
        provider: "provider".into(),
        model: "real".into(),
        answering: false,
    }
}

pub(crate) fn limited_for(seconds: Option<u64>) -> InferenceError {
    InferenceError::RateLimited {
        origin: origin(),
        retry_after: seconds.map(secs),
        message: String::new(),
    }
}

pub(crate) fn overloaded() -> InferenceError {
    InferenceError::Backpressure {
        origin: origin(),
        retry_after: None,
        message: String::new(),
    }
}

pub(crate) fn broken() -> InferenceError {
    InferenceError::ServerError {
        origin: origin(),
        status: 500,
        retry_after: None,
        message: String::new(),
    }
}

pub(crate) fn unreachable() -> InferenceError {
    InferenceError::NetworkError {
        origin: origin(),
        phase: NetworkPhase::Connect,
        message: String::new(),
    }
}

/// The connection broke after the question was sent.
pub(crate) fn torn() -> InferenceError {
    InferenceError::NetworkError {
        origin: origin(),
        phase: NetworkPhase::Response,
        message: String::new(),
    }
}

pub(crate) fn silent() -> InferenceError {
    InferenceError::Timeout {
        origin: origin(),
        phase: TimeoutPhase::FirstToken,
        after: secs(30),
        elapsed: secs(30),
    }
}

/// An answer that was announced, and ended before it said anything.
pub(crate) fn cut() -> InferenceError {
    InferenceError::BadResponse {
        origin: origin(),
        problem: ResponseProblem::CutStream,
        message: String::new(),
    }
}

pub(crate) fn refused() -> InferenceError {
    InferenceError::Unauthorized {
        origin: origin(),
        message: String::new(),
    }
}

pub(crate) fn lost() -> InferenceError {
    InferenceError::CudaContextPoisoned {
        origin: origin(),
        device: "cpu".to_owned(),
        code: None,
        message: "the worker was silent".to_owned(),
    }
}

pub(crate) fn internal() -> InferenceError {
    InferenceError::Internal {
        origin: origin(),
        message: String::new(),
    }
}

pub(crate) fn bad_request() -> InferenceError {
    InferenceError::BadRequest {
        origin: origin(),
        status: 400,
        param: None,
        message: String::new(),
    }
}

/// The wire has no word for what is asked.
pub(crate) fn unsayable() -> InferenceError {
    InferenceError::Unsupported {
        origin: origin(),
        param: "seed".to_owned(),
        message: String::new(),
    }
}
