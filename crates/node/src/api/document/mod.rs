//! The OpenAPI document. Written by hand beside the routes; tests hold the two together, and hold its
//! schemas against what the types really serialise to.

mod gateway;
mod models;
mod paths;
mod schemas;
mod tasks;

use super::call::{Answer, Call};
use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// The whole document.
#[must_use]
pub fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mainstay",
            "summary": "Durable AI agents that survive being killed",
            "description": "Over the unix socket of the data directory no key is needed. Over TCP every \
                request but GET /healthz and /readyz shows the key of the file `key` in the data directory, or below \
                /v1 one of the manifest's `keys`. Every failure is an ErrorReport, but below /v1, where \
                official clients of OpenAI and Anthropic find what they expect.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" }
        },
        "security": [{ "bearer": [] }, { "api_key": [] }, {}],
        "paths": paths::paths(),
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "api_key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" }
            },
            "schemas": schemas::schemas(),
        }
    })
}

pub(super) async fn serve(call: Call) -> Answer {
    call.known_query(&[])?;
    Ok(Json(openapi()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::router::routes;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = openapi();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let own = routes();
        let own = own
            .iter()
            .map(|route| format!("{} {}", route.method, route.path));
        let models = mainstay_gateway::routes();
        let models = models
            .iter()
            .map(|(method, path)| format!("{method} {path}"));
        let answered = own.chain(models).collect();
        assert_eq!(described, answered);
    }

    #[test]
    fn every_operation_is_complete_and_every_reference_leads_somewhere() {
        let document = openapi();
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                assert!(
                    ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{path}"
                );
                assert!(operation["summary"].is_string(), "{path}");
                let parameters = operation["parameters"].as_array();
                let named = parameters
                    .into_iter()
                    .flatten()
                    .filter(|found| found["in"] == "path");
                assert_eq!(named.count(), path.matches('{').count(), "{path}");
                // Below /v1 failures are told in the dialect of the route.
                let kind = match path.starts_with("/v1/") {
                    true => "application/json",
                    false => "application/problem+json",
                };
                let failure = &operation["responses"]["default"]["content"];
                let failure = failure
                    .get(kind)
                    .or_else(|| operation.pointer("/responses/401/content")?.get(kind));
                assert!(failure.is_some_and(Value::is_object), "{path}");
            }
        }
        check_references(&document, &document);
    }

    fn check_references(document: &Value, at: &Value) {
        if let Some(reference) = at["$ref"].as_str() {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some(), "{reference}");
        }
        match at {
            Value::Object(members) => members
                .values()
                .for_each(|value| check_references(document, value)),
            Value::Array(items) => items
                .iter()
                .for_each(|value| check_references(document, value)),
            _ => {}
        }
    }
}
