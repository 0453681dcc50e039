//! Models.

use super::limit::{breaker, budget, limits, retry, timeouts};
use super::{Names, header, health, route};
use crate::finding::{Findings, Problem};
use crate::value::{Item, Object};
use crate::{
    Device, IfPriceUnknown, Limits, Model, PoolMember, Price, Provider, ResponseCache, SecretRef,
    Timeouts,
};
use mainstay_contract::Usd;
use mainstay_resilience::BreakerConfig;
use std::collections::BTreeMap;
use std::time::Duration;

const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com";
const GEMINI: &str = "https://generativelanguage.googleapis.com/v1beta";
const AZURE_API_VERSION: &str = "2024-10-21";

pub(super) fn model(
    name: &str,
    item: &Item,
    names: &Names<'_>,
    findings: &mut Findings,
) -> Option<Model> {
    let object = item.object()?;
    let api_key = object.object("api_key");
    let api_key = api_key.and_then(|key| names.secret(key, findings));
    let headers = header::headers(object, names, findings);
    let pool = route::pool(object, names, findings);
    let fallback = route::fallback(name, object, pool.as_deref(), names, findings);
    let retry = retry(object.object("retry"), findings);
    let timeout = timeouts(object.object("timeout"), findings);
    let limits = match object.is_written("limits") {
        true => limits(object.object("limits"), findings),
        false => Some(Limits::default()),
    };
    let breaker = match object.is_written("breaker") {
        true => breaker(object.object("breaker")),
        false => Some(BreakerConfig::default()),
    };
    let budget = budget(object, findings);
    budget_has_effect(name, object, names, findings);
    tokens_fit(object, findings);
    let (price, is_free) = price(object, findings);
    let hedge_after = hedge(object, timeout.as_ref(), findings);
    let own = |key| object.text(key).map(str::to_owned);
    base_url_is_none_of_a_route(object, findings);
    hedge_has_effect(object, findings);
    let provider = provider(object, api_key.map(|secret| SecretRef { secret }), pool)?;
    route_has_effect(object, &provider, findings);
    Some(Model {
        health: match object.object("health") {
            Some(health) => Some(health::health(health, &provider)?),
            None => None,
        },
        provider,
        timeout: timeout?,
        retry: retry?,
        price,
        is_free,
        pricing_if_unknown: match object.text("if_price_unknown")? {
            "allow" => IfPriceUnknown::Allow,
            _ => IfPriceUnknown::Refuse,
        },
        headers,
        ca_file: own("ca_file"),
        proxy_url: own("proxy_url"),
        limits: limits?,
        breaker: breaker?,
        budget,
        context_window: object
            .integer("context_window")
            .or_else(|| object.integer("context_length")),
        output_tokens_max: object.integer("output_tokens_max"),
        fallback,
        hedge_after,
        is_idempotent: object.boolean("idempotent")?,
        cache: object
            .object("cache")
            .and_then(|cache| cache.duration("ttl"))
            .map(|ttl| ResponseCache { ttl }),
    })
}

fn provider(
    object: &Object,
    api_key: Option<SecretRef>,
    pool: Option<Vec<PoolMember>>,
) -> Option<Provider> {
    if let Some(members) = pool {
        return Some(Provider::Pool { members });
    }
    let own = |key| object.text(key).map(str::to_owned);
    let base_url = |usual: &str| match object.is_written("base_url") {
        true => own("base_url"),
        false => Some(usual.to_owned()),
    };
    match object.text("provider")? {
        "script" => Some(Provider::Script { file: own("file")? }),
        "openai_compatible" => Some(Provider::OpenAiCompatible {
            base_url: own("base_url")?,
            model: own("model")?,
            api_key,
        }),
        "openai" => Some(Provider::OpenAi {
            base_url: base_url(OPENAI)?,
            model: own("model")?,
            api_key,
        }),
        "anthropic" => Some(Provider::Anthropic {
            base_url: base_url(ANTHROPIC)?,
            model: own("model")?,
            api_key,
        }),
        "gemini" => Some(Provider::Gemini {
            base_url: base_url(GEMINI)?,
            model: own("model")?,
            api_key,
        }),
        "azure_openai" => Some(Provider::AzureOpenAi {
            base_url: own("base_url")?,
            model: own("model")?,
            api_key,
            api_version: own("api_version").unwrap_or_else(|| AZURE_API_VERSION.to_owned()),
        }),
        "local" => local(object),
        _ => None,
    }
}

fn local(object: &Object) -> Option<Provider> {
    let threads = object.integer("threads");
    Some(Provider::Local {
        path: object.text("path")?.to_owned(),
        context_length: object.integer("context_length"),
        threads: threads.and_then(|threads| u32::try_from(threads).ok()),
        device: object.text("device").map(|word| match word {
            "cuda" => Device::Cuda,
            _ => Device::Cpu,
        }),
    })
}

/// The price that is named, and whether it is said that there is none.
fn price(object: &Object, findings: &mut Findings) -> (Option<Price>, bool) {
    if let (Some(_), Some(at)) = (object.key_at("price"), object.get("if_price_unknown"))
        && object.is_written("if_price_unknown")
    {
        let message = "`if_price_unknown` has no effect: `price` is known";
        let finding = at.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("leave one of them out"));
    }
    let Some(price) = object.object("price") else {
        return (None, false);
    };
    if price.is_written("free") {
        return (None, is_free(price, findings));
    }
    let usd = |key| price.money(key);
    let named = usd("input_per_million").zip(usd("output_per_million"));
    if let (Some((Usd::ZERO, Usd::ZERO)), Some(item)) = (named, object.get("price")) {
        let message = "a price of nothing may be a forgotten one";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("write `price: {free: true}`"));
    }
    let named = named.map(|(input_per_million, output_per_million)| Price {
        input_per_million,
        output_per_million,
        cache_read_per_million: usd("cache_read_per_million"),
        cache_write_per_million: usd("cache_write_per_million"),
    });
    (named, false)
}

fn is_free(price: &Object, findings: &mut Findings) -> bool {
    let is_free = price.boolean("free");
    if let (Some(false), Some(item)) = (is_free, price.get("free")) {
        let message = "`free` is `true`, or is left out";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("write `input_per_million` and `output_per_million`"));
    }
    is_free == Some(true)
}

/// A server's model has one breaker, under however many names it is called.
pub(super) fn breakers_agree(
    root: &Object,
    models: &BTreeMap<String, Model>,
    findings: &mut Findings,
) {
    let written = |name: &String| {
        let entry = root.map("models")?.iter().find(|it| it.name == *name)?;
        entry.item.as_ref()?.object()?.get("breaker")
    };
    let mut first = BTreeMap::new();
    for (name, model) in models {
        let provider = &model.provider;
        let Some(place) = provider.base_url().zip(provider.model()) else {
            continue;
        };
        let (other, breaker) = *first
            .entry((provider.word(), place))
            .or_insert((name, model.breaker));
        if breaker == model.breaker {
            continue;
        }
        let (at, other) = match written(name) {
            Some(item) => (Some(item), other),
            None => (written(other), name),
        };
        if let Some(item) = at {
            let message = format!("the breaker of `{other}` counts for the same server and model");
            let finding = item.place.finding(Problem::Conflict, message);
            findings.add(finding.hint("write the same `breaker` in both"));
        }
    }
}

/// Without encryption nobody has to be vouched for, and a tunnel is made for what is encrypted.
fn route_has_effect(object: &Object, provider: &Provider, findings: &mut Findings) {
    if provider
        .base_url()
        .is_none_or(|url| url.starts_with("https:"))
    {
        return;
    }
    for key in ["ca_file", "proxy_url"] {
        if let Some(item) = object.get(key) {
            let message = format!("`{key}` has no effect: `base_url` is not https");
            let finding = item.place.finding(Problem::Conflict, message);
            findings.add(finding.hint(format!(
                "leave `{key}` out, or begin `base_url` with `https://`"
            )));
        }
    }
}

/// What is asked of the server is added to where its API begins.
fn base_url_is_none_of_a_route(object: &Object, findings: &mut Findings) {
    let (Some(url), Some(item)) = (object.text("base_url"), object.get("base_url")) else {
        return;
    };
    let routes = [
        "/chat/completions",
        "/responses",
        "/messages",
        "/embeddings",
    ];
    let url = url.trim_end_matches('/');
    if let Some(route) = routes.into_iter().find(|route| url.ends_with(route)) {
        let message = format!("`base_url` is where the API begins, and `{route}` is added to it");
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint(format!("leave `{route}` out")));
    }
}

/// A second call goes to another model than the first.
fn hedge_has_effect(object: &Object, findings: &mut Findings) {
    let has_other = object.list("fallback").is_some_and(|list| !list.is_empty());
    if let (false, false, Some(item)) = (has_other, object.is_written("pool"), object.get("hedge"))
    {
        let message = "`hedge` has no effect: there is no second model to ask";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("add a `fallback`, or leave `hedge` out"));
    }
}

/// A budget counts only what costs something.
fn budget_has_effect(name: &str, object: &Object, names: &Names<'_>, findings: &mut Findings) {
    if let (true, Some(budget)) = (names.is_free(name), object.get("budget")) {
        let message = "the budget has no effect: the model is free";
        let finding = budget.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("give the model a price, or leave the budget out"));
    }
}

/// An answer is part of the conversation.
fn tokens_fit(object: &Object, findings: &mut Findings) {
    let key = match object.is_written("context_length") {
        true => "context_length",
        false => "context_window",
    };
    let (Some(window), Some(item)) = (object.integer(key), object.get("output_tokens_max")) else {
        return;
    };
    if object.integer("output_tokens_max") > Some(window) {
        let message =
            format!("`output_tokens_max` is more than `{key}` and would never be reached");
        findings.add(item.place.finding(Problem::Conflict, message));
    }
}

fn hedge(object: &Object, timeout: Option<&Timeouts>, findings: &mut Findings) -> Option<Duration> {
    let hedge = object.object("hedge")?;
    if let (Some(false), Some(item)) = (object.boolean("idempotent"), object.get("hedge")) {
        let message = "a call that must not be repeated cannot be made twice";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("leave `hedge` out, or `idempotent: false`"));
    }
    let after = hedge.duration("after")?;
    if let (true, Some(item)) = (
        timeout.is_some_and(|it| after >= it.total),
        hedge.get("after"),
    ) {
        let message = "`after` is not shorter than `timeout.total` and would never be reached";
        findings.add(item.place.finding(Problem::Conflict, message));
    }
    Some(after)
}
