//! The manifest in the gateway's words.

use super::Hashed;
use super::prices;
use super::provider::{Opened, Place};
use mainstay_contract::ErrorReport;
use mainstay_gateway::{ModelInfo, Settings};
use mainstay_inference as gate;
use mainstay_manifest as manifest;
use mainstay_manifest::{Manifest, Model};
use mainstay_resilience::{Rate, RetryBudgetConfig};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

/// The tokens that a reservation counts on where neither the caller nor the manifest bounds an answer, and
/// none has come yet.
const OUTPUT_TOKENS_USUAL: u64 = 1024;

pub(super) fn of(
    manifest: &Manifest,
    folder: &Path,
    keys: &[Hashed],
    place: &Place<'_>,
    opened: &mut Opened,
) -> Result<Settings, Box<ErrorReport>> {
    let table = prices::table(manifest, folder)?;
    let providers = opened.exchange(&manifest.models, place);
    let mut settings = Settings {
        providers,
        ..Settings::default()
    };
    for (name, model) in &manifest.models {
        let revision = revision(model, &manifest.models);
        add_model(&mut settings, name, model, revision, &table);
    }
    for (name, agent) in &manifest.agents {
        if let Some(budget) = &agent.own_budget {
            let key = gate::BudgetKey::Agent(Arc::from(name.as_str()));
            settings.gate.budgets.insert(key, self::budget(budget));
        }
        if let Some(limit) = agent.session_budget {
            let name = Arc::from(name.as_str());
            settings.session_budgets.insert(name, limit);
        }
    }
    for (name, key) in &manifest.keys {
        add_key(&mut settings, name, key, keys);
    }
    Ok(settings)
}

/// What tells a model from another under its name: its fields, and those of the models that answer for it.
fn revision(model: &Model, models: &BTreeMap<String, Model>) -> [u8; 32] {
    let members = model.pool().iter();
    let members: Vec<_> = members.map(|member| models.get(&member.to)).collect();
    *blake3::hash(format!("{model:?}{members:?}").as_bytes()).as_bytes()
}

fn add_model(
    settings: &mut Settings,
    name: &str,
    model: &Model,
    revision: [u8; 32],
    table: &gate::PriceTable,
) {
    let name: Arc<str> = Arc::from(name);
    let known = prices::known(model, table);
    let pool = model.pool();
    let mut members: Vec<gate::Member> = pool
        .iter()
        .map(|member| gate::Member {
            deployment: Arc::from(member.to.as_str()),
            weight: member.weight,
        })
        .collect();
    if pool.is_empty() {
        members.push(gate::Member {
            deployment: Arc::clone(&name),
            weight: 1,
        });
        let deployment = deployment(&name, model, table);
        settings
            .gate
            .deployments
            .insert(Arc::clone(&name), deployment);
    }
    members.sort_by_key(|member| std::cmp::Reverse(member.weight));
    let info = ModelInfo {
        provider: model.provider.word().to_owned(),
        context_window: model.context_window.or_else(|| known?.context_window),
        deployments: members
            .iter()
            .map(|member| Arc::clone(&member.deployment))
            .collect(),
        revision,
        cached_for: model.cache.map(|cache| cache.ttl),
        total: None,
    };
    let fallback = model.fallback.iter().map(|fallback| gate::Fallback {
        deployment: Arc::from(fallback.to.as_str()),
        on: fallback.on.iter().copied().map(class).collect(),
    });
    let config = gate::ModelConfig {
        members,
        fallback: fallback.collect(),
    };
    if let Some(budget) = &model.budget {
        let key = gate::BudgetKey::Deployment(Arc::clone(&name));
        settings.gate.budgets.insert(key, self::budget(budget));
    }
    settings.gate.models.insert(Arc::clone(&name), config);
    settings.models.insert(name, Arc::new(info));
}

fn deployment(name: &Arc<str>, model: &Model, table: &gate::PriceTable) -> gate::DeploymentConfig {
    let provider = model.provider.word();
    let place = model.provider.base_url().unwrap_or(name);
    let limits = model.limits;
    let known = prices::known(model, table).and_then(|price| price.output_tokens_max);
    let output = model
        .output_tokens_max
        .or(known)
        .unwrap_or(OUTPUT_TOKENS_USUAL);
    gate::DeploymentConfig {
        provider: Arc::from(provider),
        model: Arc::from(model.provider.model().unwrap_or(name)),
        // Providers fail by model more often than as a whole.
        endpoint: Arc::from(format!(
            "{provider} {place} {}",
            model.provider.model().unwrap_or(name)
        )),
        limits: gate::Limits {
            requests: limits.requests_per_minute.map(Rate::per_minute),
            tokens: limits.tokens_per_minute.map(Rate::per_minute),
            concurrency: limits.concurrency.map(|most| most as usize),
            queue: limits.queue as usize,
            queue_timeout: limits.queue_timeout,
        },
        retry: model.retry,
        retry_budget: RetryBudgetConfig::default(),
        breaker: model.breaker,
        pricing: prices::pricing(model, table),
        output_tokens_usual: output.min(OUTPUT_TOKENS_USUAL),
        is_idempotent: model.is_idempotent,
        hedge: model.hedge_after.map(|after| gate::Hedge { after }),
        is_ready: None,
    }
}

fn add_key(settings: &mut Settings, name: &str, key: &manifest::Key, hashes: &[Hashed]) {
    let hash = hashes
        .iter()
        .find(|(known, _)| known == name)
        .and_then(|(_, hash)| hash.as_ref().ok().copied());
    let name: Arc<str> = Arc::from(name);
    if let Some(hash) = hash {
        settings
            .keys
            .insert(hash, (Arc::clone(&name), key.priority));
    }
    let rate = |per_minute: Option<NonZeroU64>| per_minute.map(Rate::per_minute);
    let named = |names: &Vec<String>| names.iter().map(|name| Arc::from(name.as_str())).collect();
    let config = gate::KeyConfig {
        models: key.models.as_ref().map(named),
        agents: key.agents.as_ref().map(named),
        limits: gate::Limits {
            requests: rate(key.limits.requests_per_minute),
            tokens: rate(key.limits.tokens_per_minute),
            concurrency: key.limits.concurrency.map(|most| most as usize),
            ..gate::Limits::default()
        },
    };
    if let Some(budget) = &key.budget {
        let key = gate::BudgetKey::Key(Arc::clone(&name));
        settings.gate.budgets.insert(key, self::budget(budget));
    }
    settings.gate.keys.insert(name, config);
}

fn budget(budget: &manifest::Budget) -> gate::BudgetConfig {
    gate::BudgetConfig {
        limit: budget.usd,
        period: budget.per,
        action: match budget.action {
            manifest::BudgetAction::Reject => gate::BudgetAction::Reject,
            manifest::BudgetAction::Warn => gate::BudgetAction::Warn,
            manifest::BudgetAction::Throttle => gate::BudgetAction::Throttle,
        },
    }
}

const fn class(class: manifest::FailureClass) -> gate::FailureClass {
    match class {
        manifest::FailureClass::Limited => gate::FailureClass::Limited,
        manifest::FailureClass::Failed => gate::FailureClass::Failed,
        manifest::FailureClass::ContextLength => gate::FailureClass::ContextLength,
        manifest::FailureClass::ContentFiltered => gate::FailureClass::ContentFiltered,
        manifest::FailureClass::Access => gate::FailureClass::Access,
        manifest::FailureClass::Budget => gate::FailureClass::Budget,
    }
}
