//! Answers that are kept: for whom, for what, for how long.

use crate::fake::{Fake, end, said, settings, started, text};
use crate::wire::{CHAT, Wire, by, chat, post, with};
use axum::body::Body;
use axum::http::Request;
use mainstay_gateway::{Gateway, Ledger};
use mainstay_inference::FinishReason;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);

fn keeping(provider: &Arc<Fake>, ttl: Duration) -> Wire {
    let mut settings = settings(&[("m", Arc::clone(provider)), ("n", Fake::saying("n"))]);
    for model in settings.models.values_mut() {
        Arc::make_mut(model).cached_for = Some(ttl);
    }
    Wire::new(&Gateway::open(settings, Ledger::in_memory()))
}

/// Sends a request; whether it was answered from memory.
async fn is_hit(wire: &mut Wire, request: Request<Body>) -> bool {
    let reply = wire.send(request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    match reply.header("x-mainstay-cache") {
        Some("hit") => true,
        Some("miss") | None => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whatever_may_change_an_answer_is_in_the_key() {
    let variations = [
        json!({ "messages": [{ "role": "user", "content": "Hello" }] }),
        json!({ "messages": [{ "role": "developer", "content": "hello" }] }),
        json!({ "messages": [{ "role": "user", "content": "hello", "name": "bob" }] }),
        json!({ "messages": [{ "role": "user", "content": "hel" }, { "role": "user", "content": "lo" }] }),
        json!({ "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "hello" }, { "type": "image_url", "image_url": { "url": "https://x/a.png" } }] }] }),
        json!({ "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "hello" }, { "type": "image_url", "image_url": { "url": "https://x/b.png" } }] }] }),
        json!({ "model": "n" }),
        json!({ "max_tokens": 5 }),
        json!({ "max_completion_tokens": 6 }),
        json!({ "temperature": 0 }),
        json!({ "temperature": 0.1 }),
        json!({ "top_p": 0.5 }),
        json!({ "frequency_penalty": 0.5 }),
        json!({ "presence_penalty": 0.5 }),
        json!({ "seed": 1 }),
        json!({ "stop": "x" }),
        json!({ "stop": ["x", "y"] }),
        json!({ "logit_bias": { "5": 1 } }),
        json!({ "logprobs": true }),
        json!({ "logprobs": true, "top_logprobs": 2 }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f", "strict": true } }] }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f" } }], "tool_choice": "required" }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f" } }], "parallel_tool_calls": false }),
        json!({ "response_format": { "type": "json_object" } }),
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": {} } } }),
        json!({ "reasoning_effort": "low" }),
        json!({ "user": "u" }),
        json!({ "unheard_of": 1 }),
        json!({ "unheard_of": 2 }),
    ];
    let mut wire = keeping(&Fake::saying("hi"), LONG);
    assert!(!is_hit(&mut wire, post(CHAT, &chat(false))).await);
    assert!(is_hit(&mut wire, post(CHAT, &chat(false))).await);
    for variation in variations {
        let mut question = chat(false);
        for (name, value) in variation.as_object().unwrap() {
            question[name] = value.clone();
        }
        assert!(
            !is_hit(&mut wire, post(CHAT, &question)).await,
            "{variation}"
        );
        assert!(
            is_hit(&mut wire, post(CHAT, &question)).await,
            "{variation}"
        );
    }
    assert!(is_hit(&mut wire, post(CHAT, &chat(false))).await);
}

#[tokio::test]
async fn nobody_reads_what_another_key_was_told() {
    let mut wire = keeping(&Fake::saying("hi"), LONG);
    for caller in ["alice", "bob", ""] {
        let request = || match caller {
            "" => post(CHAT, &chat(false)),
            key => by(key, post(CHAT, &chat(false))),
        };
        assert!(!is_hit(&mut wire, request()).await, "{caller}");
        assert!(is_hit(&mut wire, request()).await, "{caller}");
    }
}

#[tokio::test]
async fn a_kept_answer_is_what_was_told_to_the_byte() {
    for stream in [false, true] {
        let provider = Fake::saying("hi there");
        let mut wire = keeping(&provider, LONG);
        let one = wire.post(CHAT, &chat(stream)).await;
        let two = wire.post(CHAT, &chat(stream)).await;
        assert_eq!(provider.calls(), 1);
        assert_eq!(one.header("x-mainstay-cache"), Some("miss"), "{one:?}");
        assert_eq!(two.header("x-mainstay-cache"), Some("hit"), "{two:?}");
        assert_eq!(two.header("x-mainstay-cost-usd"), Some("0"));
        assert_eq!(two.header("x-mainstay-attempts"), Some("0"));
        for name in ["x-mainstay-model", "content-type", "cache-control"] {
            assert_eq!(two.header(name), one.header(name), "{name}");
        }
        assert_eq!(two.body, one.body);
        assert!(two.body.contains("hi there"));
        wire.post(CHAT, &chat(!stream)).await;
        assert_eq!(provider.calls(), 2, "a stream is another request");
    }
}

#[tokio::test]
async fn headers_that_are_handed_on_are_in_the_key() {
    let mut wire = keeping(&Fake::saying("hi"), LONG);
    for beta in ["one", "two"] {
        let question = || with(post(CHAT, &chat(false)), "openai-beta", beta);
        assert!(!is_hit(&mut wire, question()).await, "{beta}");
        assert!(is_hit(&mut wire, question()).await, "{beta}");
    }
}

#[tokio::test]
async fn a_kept_answer_grows_old() {
    let ttl = Duration::from_millis(50);
    let provider = Fake::saying("hi");
    let mut wire = keeping(&provider, ttl);
    let (asked, mut hits) = (Instant::now(), 0);
    assert!(!is_hit(&mut wire, post(CHAT, &chat(false))).await);
    while is_hit(&mut wire, post(CHAT, &chat(false))).await {
        hits += 1;
        assert!(asked.elapsed() < LONG / 20, "it is kept for ever");
    }
    assert!(
        asked.elapsed() >= ttl,
        "it was forgotten early, after {hits} hits"
    );
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn only_answers_that_the_model_ended_are_kept() {
    for stream in [false, true] {
        for (reason, is_kept) in [
            (FinishReason::Stop, true),
            (FinishReason::ToolCalls, true),
            (FinishReason::Length, false),
            (FinishReason::ContentFilter, false),
            (FinishReason::Pause, false),
        ] {
            let provider = Fake::new(move |_| vec![started(), text("hi"), end(reason)]);
            let mut wire = keeping(&provider, LONG);
            is_hit(&mut wire, post(CHAT, &chat(stream))).await;
            let hit = is_hit(&mut wire, post(CHAT, &chat(stream))).await;
            assert_eq!(hit, is_kept, "{reason:?}");
        }
        let broken = Fake::new(|number| match number {
            0 => vec![started(), text("half"), crate::fake::cut()],
            _ => said("whole"),
        });
        let mut wire = keeping(&broken, LONG);
        wire.post(CHAT, &chat(stream)).await;
        assert!(!is_hit(&mut wire, post(CHAT, &chat(stream))).await);
        assert!(is_hit(&mut wire, post(CHAT, &chat(stream))).await);
    }
}

#[tokio::test]
async fn a_caller_may_want_neither_old_answers_nor_its_own_kept() {
    let provider = Fake::saying("hi");
    let mut wire = keeping(&provider, LONG);
    let question = |value: &str| with(post(CHAT, &chat(false)), "cache-control", value);
    assert!(!is_hit(&mut wire, question("no-store")).await);
    assert!(!is_hit(&mut wire, post(CHAT, &chat(false))).await);
    assert!(!is_hit(&mut wire, question("no-cache")).await, "asked anew");
    assert!(!is_hit(&mut wire, question("no-store")).await);
    assert!(is_hit(&mut wire, post(CHAT, &chat(false))).await);
    assert_eq!(provider.calls(), 4);
    for anew in ["No-Cache", "private, max-age=0"] {
        assert!(!is_hit(&mut wire, question(anew)).await, "{anew}");
    }
    assert!(is_hit(&mut wire, question("max-age=5")).await);
    let mut two = chat(false);
    two["n"] = json!(2);
    assert!(!is_hit(&mut wire, post(CHAT, &two)).await);
    assert!(
        !is_hit(&mut wire, post(CHAT, &two)).await,
        "several answers are not kept"
    );
}

#[tokio::test]
async fn the_least_used_is_forgotten_when_there_is_too_much() {
    // Of the 64 MiB no answer may take more than a sixteenth.
    let long: &'static str = Box::leak("x".repeat(4_000_000).into_boxed_str());
    let mut wire = keeping(&Fake::saying(long), LONG);
    let question = |number: usize| {
        let mut question = chat(false);
        question["seed"] = Value::from(number);
        post(CHAT, &question)
    };
    for number in 0..16 {
        assert!(!is_hit(&mut wire, question(number)).await);
    }
    assert!(
        is_hit(&mut wire, question(0)).await,
        "it was used lately from now on"
    );
    assert!(!is_hit(&mut wire, question(16)).await);
    assert!(
        !is_hit(&mut wire, question(1)).await,
        "the least used had to go"
    );
    assert!(is_hit(&mut wire, question(0)).await);
    let longer: &'static str = Box::leak("x".repeat(4_200_000).into_boxed_str());
    let mut wire = keeping(&Fake::saying(longer), LONG);
    assert!(!is_hit(&mut wire, question(0)).await);
    assert!(
        !is_hit(&mut wire, question(0)).await,
        "one that is too large is not kept"
    );
}
