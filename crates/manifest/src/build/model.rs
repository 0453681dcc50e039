//! Models.

use super::Names;
use crate::finding::{Findings, Problem};
use crate::value::{Item, Object};
use crate::{Model, Price, Provider, SecretRef, Timeouts};
use mainstay_resilience::RetryPolicy;
use std::time::Duration;

const OPENAI: &str = "https://api.openai.com/v1";

pub(super) fn model(item: &Item, names: &Names<'_>, findings: &mut Findings) -> Option<Model> {
    let object = item.object()?;
    let api_key = object.object("api_key");
    let api_key = api_key.and_then(|key| names.secret(key, findings));
    let retry = retry(object.object("retry"), findings);
    let timeout = timeouts(object.object("timeout"), findings);
    Some(Model {
        provider: provider(object, api_key.map(|secret| SecretRef { secret }))?,
        timeout: timeout?,
        retry: retry?,
        price: price(object),
    })
}

fn provider(object: &Object, api_key: Option<SecretRef>) -> Option<Provider> {
    let own = |key| object.text(key).map(str::to_owned);
    match object.text("provider")? {
        "script" => Some(Provider::Script { file: own("file")? }),
        "openai" => Some(Provider::OpenAiCompatible {
            base_url: if object.is_written("base_url") {
                own("base_url")?
            } else {
                OPENAI.to_owned()
            },
            model: own("model")?,
            api_key,
        }),
        "openai_compatible" => Some(Provider::OpenAiCompatible {
            base_url: own("base_url")?,
            model: own("model")?,
            api_key,
        }),
        _ => None,
    }
}

fn retry(object: Option<&Object>, findings: &mut Findings) -> Option<RetryPolicy> {
    let object = object?;
    let (base, cap) = (object.duration("base")?, object.duration("cap")?);
    if base > cap {
        let key = if object.is_written("base") {
            "base"
        } else {
            "cap"
        };
        let message = "the first wait `base` is longer than the longest wait `cap`";
        let place = &object.get(key)?.place;
        findings.add(place.finding(Problem::Conflict, message));
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    Some(RetryPolicy {
        retries_max: u32::try_from(object.integer("max")?).ok()?,
        base_ms: millis(base)?,
        cap_ms: millis(cap)?,
    })
}

fn timeouts(object: Option<&Object>, findings: &mut Findings) -> Option<Timeouts> {
    let object = object?;
    let timeouts = Timeouts {
        connect: object.duration("connect")?,
        first_token: object.duration("first_token")?,
        idle: object.duration("idle")?,
        total: object.duration("total")?,
    };
    for key in ["connect", "first_token", "idle"] {
        let is_idle = object.duration(key)? > timeouts.total;
        // A short total alone is fine: it simply ends the phases earlier.
        if is_idle && object.is_written(key) {
            let message = format!("`{key}` is longer than `total` and would never be reached");
            let place = &object.get(key)?.place;
            findings.add(place.finding(Problem::Conflict, message));
        }
    }
    Some(timeouts)
}

fn price(object: &Object) -> Option<Price> {
    let price = object.object("price")?;
    Some(Price {
        input_per_million: price.money("input_per_million")?,
        output_per_million: price.money("output_per_million")?,
    })
}
