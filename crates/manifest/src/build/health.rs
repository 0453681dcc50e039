//! Health checks.

use crate::url::Url;
use crate::value::Object;
use crate::{HealthCheck, Provider};

/// The check of a model, at the server that answers for it.
pub(super) fn health(object: &Object, provider: &Provider) -> Option<HealthCheck> {
    Some(HealthCheck {
        url: address(object.text("http")?, provider.base_url()?),
        interval: object.duration("interval")?,
        timeout: object.duration("timeout")?,
        retries: u32::try_from(object.integer("retries")?).ok()?,
        start_period: object.duration("start_period")?,
    })
}

/// A path is one at the server, wherever below it the API begins.
fn address(written: &str, base_url: &str) -> String {
    if !written.starts_with('/') {
        return written.to_owned();
    }
    let path = Url::parse(base_url).map_or_else(|_| String::new(), |url| url.rest);
    let server = base_url.strip_suffix(&path).unwrap_or(base_url);
    format!("{server}{written}")
}
