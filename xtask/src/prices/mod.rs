//! `prices FILE DATE`: writes the table of prices and context windows anew, from LiteLLM's
//! `model_prices_and_context_window_backup.json` as it stood on that date.
//!
//! What is no price of tokens is left out: models that are paid by the picture or song, and a router's
//! fee. A part that costs nothing, or a cache write that costs less than plain input, is a gap in the
//! source; the part has no price of its own then, and costs as plain input.

mod decimal;
mod fold;

use crate::place::{Failure, Place};
use decimal::per_million;
use fold::{Priced, fold};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;

const TABLE: &str = "crates/inference/src/price/models.json";

/// What the source calls a provider, and what we call it.
const PROVIDERS: &[(&str, &str)] = &[
    ("anthropic", "anthropic"),
    ("azure", "azure_openai"),
    ("deepseek", "deepseek"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("mistral", "mistral"),
    ("openai", "openai"),
    ("xai", "xai"),
];

/// What is asked over the wires that the gateway speaks.
const MODES: &[&str] = &["chat", "responses", "embedding"];

/// A model as the source has it.
#[derive(Debug, Deserialize)]
struct Source {
    litellm_provider: Option<String>,
    mode: Option<String>,
    max_input_tokens: Option<Value>,
    max_output_tokens: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A model as the table has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    free: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_max: Option<u64>,
    price: Price,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<Tier>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tier {
    above_input_tokens: u64,
    price: Price,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Price {
    input: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_hour: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_audio: Option<String>,
}

pub(crate) fn run(place: &Place, file: &str, date: &str) -> Result<(), Failure> {
    if !fold::is_date(date) {
        return Err(Failure::Usage(format!("`{date}` is no YYYY-MM-DD")));
    }
    let text = fs::read_to_string(file).map_err(|error| Failure::Io(file.to_owned(), error))?;
    let source: BTreeMap<String, Value> =
        serde_json::from_str(&text).map_err(|error| Failure::Found(format!("{file}: {error}")))?;
    let table = table(&source)?;
    let written = written(&table, date);
    fs::write(place.join(TABLE), &written).map_err(|e| Failure::Io(TABLE.to_owned(), e))?;
    let models: usize = table.values().map(BTreeMap::len).sum();
    println!("{TABLE}: {models} models, {} KiB", written.len() / 1024);
    Ok(())
}

/// Provider to model to facts.
type Table = BTreeMap<&'static str, BTreeMap<String, Priced>>;

fn table(source: &BTreeMap<String, Value>) -> Result<Table, Failure> {
    let mut found: BTreeMap<&'static str, BTreeMap<String, Facts>> = BTreeMap::new();
    for (key, value) in source {
        let Ok(model) = Source::deserialize(value) else {
            continue;
        };
        let provider = model.litellm_provider.as_deref().unwrap_or_default();
        let ours = PROVIDERS.iter().find(|(theirs, _)| *theirs == provider);
        let Some((theirs, ours)) = ours else { continue };
        if !MODES.contains(&model.mode.as_deref().unwrap_or_default()) {
            continue;
        }
        let read = facts(&model).map_err(|why| Failure::Found(format!("{key}: {why}")))?;
        let Some(facts) = read else { continue };
        let id = key.strip_prefix(&format!("{theirs}/")).unwrap_or(key);
        let models = found.entry(*ours).or_default();
        // Some stand there twice, with the provider's name before theirs and without.
        let is_better = models.get(id).is_none_or(|known| known.free);
        if is_better {
            models.insert(id.to_owned(), facts);
        }
    }
    Ok(found.into_iter().map(|(p, m)| (p, fold(m))).collect())
}

/// What the table says of a model; `None` where it is not paid by the token.
fn facts(model: &Source) -> Result<Option<Facts>, String> {
    let is_embedding = model.mode.as_deref() == Some("embedding");
    let Some(price) = price(&model.rest, "", is_embedding)? else {
        return Ok(None);
    };
    let is_zero = |text: &str| text == "0";
    let is_free = is_zero(&price.input) && price.output.as_deref().is_none_or(is_zero);
    let is_cost = |(name, value): (&String, &Value)| {
        name.contains("cost") && value.as_f64().is_some_and(|cost| cost > 0.0)
    };
    let has_half_a_price =
        is_zero(&price.input) || !is_embedding && price.output.as_deref().is_none_or(is_zero);
    if has_half_a_price && model.rest.iter().any(is_cost) {
        return Ok(None);
    }
    let mut tiers = Vec::new();
    for above in thresholds(&model.rest) {
        let suffix = format!("_above_{above}k_tokens");
        if let Some(price) = price_of_tier(&model.rest, &suffix, is_embedding)? {
            let above_input_tokens = above * 1000;
            tiers.push(Tier {
                above_input_tokens,
                price,
            });
        }
    }
    let count = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64);
    Ok(Some(Facts {
        kind: is_embedding.then_some("embedding"),
        free: is_free,
        context_window: count(&model.max_input_tokens).filter(|&tokens| tokens > 0),
        output_tokens_max: count(&model.max_output_tokens).filter(|&tokens| tokens > 0),
        price,
        tiers: if is_free { Vec::new() } else { tiers },
    }))
}

/// The numbers of prompt tokens above which the source has other prices, in thousands, ascending.
fn thresholds(fields: &Map<String, Value>) -> Vec<u64> {
    let of = |name: &String| {
        let rest = name.strip_prefix("input_cost_per_token_above_")?;
        rest.strip_suffix("k_tokens")?.parse().ok()
    };
    let mut found: Vec<u64> = fields.keys().filter_map(of).collect();
    found.sort_unstable();
    found
}

fn price_of_tier(
    fields: &Map<String, Value>,
    suffix: &str,
    is_embedding: bool,
) -> Result<Option<Price>, String> {
    let tier = price(fields, suffix, is_embedding)?;
    let base = price(fields, "", is_embedding)?.unwrap_or_default();
    if let Some(tier) = &tier
        && (tier.cache_read.is_none() && base.cache_read.is_some()
            || tier.cache_write.is_none() && base.cache_write.is_some())
    {
        return Err(format!("the prices `{suffix}` lack a part"));
    }
    Ok(tier)
}

/// The prices whose names end so.
fn price(
    fields: &Map<String, Value>,
    suffix: &str,
    is_embedding: bool,
) -> Result<Option<Price>, String> {
    let get = |name: &str| match fields.get(&format!("{name}{suffix}")) {
        Some(value) if !value.is_null() => per_million(value).map(Some),
        _ => Ok(None),
    };
    let part = |name: &str| get(name).map(|found| found.filter(|text| text != "0"));
    let Some(input) = get("input_cost_per_token")? else {
        return Ok(None);
    };
    let dearer = |text: &String| decimal::nanos(text) >= decimal::nanos(&input);
    Ok(Some(Price {
        output: get("output_cost_per_token")?.filter(|text| !is_embedding || text != "0"),
        cache_read: part("cache_read_input_token_cost")?,
        cache_write: part("cache_creation_input_token_cost")?.filter(dearer),
        cache_write_hour: part("cache_creation_input_token_cost_above_1hr")?.filter(dearer),
        input_audio: part("input_cost_per_audio_token")?,
        output_audio: part("output_cost_per_audio_token")?,
        input,
    }))
}

/// One line for each model, so that a change of prices reads as one.
fn written(table: &Table, date: &str) -> String {
    let providers = table.iter().map(|(provider, models)| {
        let lines = models.iter().map(|(id, facts)| {
            let facts = serde_json::to_string(facts).unwrap_or_default();
            format!("{}:{facts}", Value::from(id.as_str()))
        });
        let lines: Vec<String> = lines.collect();
        format!("\"{provider}\":{{\n{}\n}}", lines.join(",\n"))
    });
    let providers: Vec<String> = providers.collect();
    let providers = providers.join(",\n");
    format!("{{\"as_of\":\"{date}\",\"models\":{{\n{providers}\n}}}}\n")
}

#[cfg(test)]
mod tests;
