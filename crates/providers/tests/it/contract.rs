//! What every provider owes its caller, whoever it is.

use crate::server::{Act, GOOD, Server, events, provider, request, settings};
use mainstay_contract::Coded;
use mainstay_providers::{
    Direct, Form, InferenceError, ModelProvider, ProviderSettings, Recorder, Script, open,
};
use std::sync::Arc;
use std::time::Duration;

/// `model` fails once with a rate limit of 1 s, then answers twice, then hangs.
async fn provider_contract(model: Arc<dyn ModelProvider>) {
    let mut request = request();
    let error = model.call(&request, &mut |_| {}).await.unwrap_err();
    assert!(
        matches!(error, InferenceError::RateLimited { .. }),
        "{error:?}"
    );
    let report = error.report();
    assert_eq!(report.retry.after_ms, Some(1000));
    assert_eq!(report.data["kind"], "rate_limited");
    assert_eq!(
        report.subject.as_ref().map(|subject| subject.kind.as_str()),
        Some("model")
    );

    request.attempt = 1;
    let mut streamed = String::new();
    let answer = model
        .call(&request, &mut |text| streamed.push_str(text))
        .await
        .unwrap();
    assert_eq!(
        streamed, answer.text,
        "what is streamed is what is answered"
    );
    assert_eq!(answer.text, "Hé 🦀");
    let ids: std::collections::HashSet<_> = answer.tool_calls.iter().map(|call| &call.id).collect();
    assert_eq!(
        (ids.len(), answer.tool_calls.len()),
        (2, 2),
        "ids are unique"
    );
    let again = model.call(&request, &mut |_| {}).await.unwrap();
    assert_eq!(again, answer);

    request.messages.push(mainstay_contract::Message::text(
        mainstay_contract::Role::Assistant,
        answer.text,
    ));
    let mut ignore = |_: &str| {};
    let hanging =
        tokio::time::timeout(Duration::from_millis(50), model.call(&request, &mut ignore));
    assert!(
        hanging.await.is_err(),
        "a call can be dropped while it waits"
    );
}

const SCRIPT: &str = "
- fault: {kind: rate_limited, retry_after: 1s}
- text: 'Hé 🦀'
  tool_calls: [{name: shell, arguments: {x: 1}}, {name: files}]
- {text: late, delay: 1h}
";

#[tokio::test]
async fn the_script_keeps_the_contract() {
    let steps = Script::parse("s.yaml", SCRIPT.as_bytes()).unwrap();
    let provider = open(ProviderSettings::Script { steps }).unwrap();
    provider_contract(Arc::new(Direct::new(provider, "s.yaml"))).await;
}

#[tokio::test]
async fn the_recorder_keeps_the_contract() {
    let steps = Script::parse("s.yaml", SCRIPT.as_bytes()).unwrap();
    let inner = open(ProviderSettings::Script { steps }).unwrap();
    let recorder = Recorder::new(inner, tempfile::tempfile().unwrap(), Form::YamlList);
    provider_contract(Arc::new(Direct::new(Arc::new(recorder), "s.yaml"))).await;
}

#[tokio::test]
async fn the_http_provider_keeps_the_contract() {
    let limited = crate::server::response(429, "retry-after: 1\r\n", "");
    let mut server = Server::start_with(move |number| match number {
        0 => vec![Act::Send(limited.clone())],
        1 | 2 => events(GOOD),
        _ => vec![Act::Hang],
    })
    .await;
    provider_contract(provider(settings(&server.url))).await;
    server.until_closed().await;
}
