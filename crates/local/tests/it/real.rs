//! A real model in its process. These tests need a GGUF file of the llama architecture with a chat template,
//! which the variable `MAINSTAY_TEST_GGUF` names; the expectations are for SmolLM2-135M-Instruct.

use crate::harness::{PATIENCE, answer, ask, config, signal, skipped, until, within};
use mainstay_local::{
    FinishReason, GenerateRequest, LocalConfig, LocalError, LocalEvent, LocalModel, Loss, Unready,
    Usage,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn real() -> Option<LocalConfig> {
    let Some(path) = std::env::var_os("MAINSTAY_TEST_GGUF") else {
        return skipped("MAINSTAY_TEST_GGUF names no GGUF file");
    };
    let mut config = config("cpu");
    config.model = path.into();
    config.limits.heartbeat.deadline = PATIENCE;
    Some(config)
}

fn greedy(text: &str, tokens: u32) -> GenerateRequest {
    let mut request = ask(text);
    request.sampling.temperature = 0.0;
    request.max_tokens = Some(tokens);
    request
}

async fn finished(model: &LocalModel, request: GenerateRequest) -> (String, FinishReason, Usage) {
    let long = tokio::time::timeout(10 * PATIENCE, answer(model, request)).await;
    match long.unwrap().unwrap() {
        (text, LocalEvent::Finished { reason, usage }) => (text, reason, usage),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_answers_and_says_what_it_took() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    let question = greedy("Write a long story about a village by the sea.", 16);
    let (text, reason, usage) = finished(&model, question.clone()).await;
    assert!(text.starts_with("In the idyllic village of"), "{text}");
    assert_eq!(
        (reason, usage.input, usage.output),
        (FinishReason::Length, 41, 16)
    );
    let (again, _, second) = finished(&model, question).await;
    assert_eq!(again, text);
    assert_eq!((usage.cached_input, second.cached_input), (0, 40));
    let (text, reason, usage) = finished(&model, greedy("Say hello.", 100)).await;
    assert_eq!(reason, FinishReason::Stop, "{text}");
    assert!(!text.contains("<|im_end|>") && usage.output < 100, "{text}");
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_conversation_goes_on_where_it_was() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config.clone());
    let fresh = LocalModel::start(config);
    let (text, ..) = finished(&model, greedy("Name a colour.", 24)).await;
    let mut next = greedy("Name a colour.", 24);
    next.messages = json!([
        {"role": "user", "content": "Name a colour."},
        {"role": "assistant", "content": text},
        {"role": "user", "content": [{"type": "text", "text": "And another one."}]},
    ]);
    let (one, _, usage) = finished(&model, next.clone()).await;
    let (other, _, whole) = finished(&fresh, next).await;
    assert_eq!(one, other);
    assert_eq!(whole.cached_input, 0);
    assert!(usage.cached_input > whole.input / 2, "{usage:?} {whole:?}");
    within(model.shutdown()).await;
    within(fresh.shutdown()).await;
}

#[tokio::test]
async fn stop_words_end_the_answer_and_are_not_part_of_it() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    let question = greedy("Write a long story about a village by the sea.", 64);
    let (whole, ..) = finished(&model, question.clone()).await;
    for stop in [&whole[80..92], &whole[40..47], "e"] {
        let expected = whole.split(stop).next().unwrap_or_default();
        let mut request = question.clone();
        request.stop = vec!["never said".to_owned(), stop.to_owned()];
        let (text, reason, _) = finished(&model, request).await;
        assert_eq!((text.as_str(), reason), (expected, FinishReason::Stop));
    }
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_seed_makes_an_answer_repeatable() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    let seeded = |seed| {
        let mut request = greedy("Tell me something.", 24);
        request.sampling.temperature = 1.2;
        request.sampling.top_p = 0.95;
        request.sampling.seed = Some(seed);
        request
    };
    let (one, ..) = finished(&model, seeded(1)).await;
    let (same, ..) = finished(&model, seeded(1)).await;
    let (other, ..) = finished(&model, seeded(2)).await;
    assert_eq!(one, same);
    assert_ne!(one, other);
    within(model.shutdown()).await;
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 20 },
            "age": { "type": "integer", "minimum": 0, "maximum": 120 },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "minItems": 1, "maxItems": 3 },
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false,
    })
}

#[tokio::test]
async fn an_answer_satisfies_its_schema() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    for seed in 0..12 {
        let mut request = ask("Describe a person as JSON.");
        request.sampling.seed = Some(seed);
        request.sampling.temperature = 1.5;
        request.max_tokens = Some(200);
        request.json_schema = Some(schema());
        let (text, reason, _) = finished(&model, request).await;
        assert_eq!(reason, FinishReason::Stop, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let fields = value.as_object().unwrap();
        assert_eq!(fields.len(), 3, "{text}");
        let name = fields["name"].as_str().unwrap().chars().count();
        assert!((1..=20).contains(&name), "{text}");
        assert!(fields["age"].as_u64().unwrap() <= 120, "{text}");
        let tags = fields["tags"].as_array().unwrap();
        assert!((1..=3).contains(&tags.len()), "{text}");
        assert!(tags.iter().all(|tag| tag == "a" || tag == "b"), "{text}");
    }
    within(model.shutdown()).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let Some(mut config) = real() else { return };
    config.context_length = Some(128);
    let model = LocalModel::start(config);
    let refused = async |change: &dyn Fn(&mut GenerateRequest)| {
        let mut request = greedy("Hello", 4);
        change(&mut request);
        within(answer(&model, request)).await.unwrap_err()
    };
    let field = |error: LocalError| match error {
        LocalError::BadRequest { field, .. } => field,
        other => panic!("{other:?}"),
    };
    let wrong_schema = json!({ "type": "nonsense" });
    let error = refused(&|request| request.json_schema = Some(wrong_schema.clone())).await;
    assert_eq!(field(error), "json_schema");
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let error = refused(&|request| request.tools = Some(tools.clone())).await;
    assert_eq!(field(error), "tools");
    let image = json!([{ "role": "user", "content": [{ "type": "image_url" }] }]);
    let error = refused(&|request| request.messages = image.clone()).await;
    assert_eq!(field(error), "messages");
    let error = refused(&|request| request.messages = json!([])).await;
    assert_eq!(field(error), "messages");
    let long = "word ".repeat(200);
    let error = refused(&|request| request.messages[0]["content"] = json!(long)).await;
    let LocalError::ContextLengthExceeded { tokens, limit } = error else {
        panic!("{error:?}");
    };
    assert!(tokens > 200 && limit == 128, "{tokens} {limit}");
    // What fits is answered until the context is full.
    let mut request = greedy("Count.", 1000);
    request.sampling.logit_bias = [(2, -100.0)].into();
    let (text, reason, usage) = finished(&model, request).await;
    assert_eq!(reason, FinishReason::Length, "{text}");
    assert_eq!(usage.input + usage.output, 128);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn texts_of_one_meaning_lie_close_together() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    let texts = [
        "The cat sat on the mat.",
        "A cat was sitting on a mat.",
        "Quarterly revenue grew by seven percent.",
    ];
    let inputs = texts.map(ToOwned::to_owned).to_vec();
    let embedded = tokio::time::timeout(10 * PATIENCE, model.embed(inputs)).await;
    let embedded = embedded.unwrap().unwrap();
    let [one, like, unlike] = embedded.vectors.as_slice() else {
        panic!("{} vectors", embedded.vectors.len());
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!((dot(one, one) - 1.0).abs() < 1e-4);
    assert!(
        dot(one, like) > dot(one, unlike) + 0.05,
        "{} {}",
        dot(one, like),
        dot(one, unlike)
    );
    assert!(embedded.usage.input > 15);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn who_leaves_stops_the_work_within_a_token() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    let mut request = greedy("Write a long story about a village by the sea.", 4000);
    request.sampling.logit_bias = [(2, -100.0)].into();
    let mut running = model.generate(request).unwrap();
    tokio::time::timeout(10 * PATIENCE, running.next())
        .await
        .unwrap();
    let begun = tokio::time::Instant::now();
    drop(running);
    until(&model, "idle", |status| status.in_flight == 0).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let (text, ..) = finished(&model, greedy("Say hello.", 8)).await;
    assert!(!text.is_empty());
    assert_eq!(model.status().started, 1);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_by_one_that_knows_the_same() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    let question = greedy("Write a long story about a village by the sea.", 12);
    let (before, ..) = finished(&model, question.clone()).await;
    signal(model.status().pid.unwrap(), rustix::process::Signal::KILL);
    until(&model, "restarted", |status| status.started == 2).await;
    let (after, ..) = finished(&model, question).await;
    assert_eq!(before, after);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_file_that_is_no_model_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (bytes, words) in [
        (b"no model at all".as_slice(), "not GGUF"),
        (b"GGUF\x09\0\0\0".as_slice(), "version 9"),
        (
            b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0".as_slice(),
            "beyond belief",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let mut config = config("cpu");
        config.model.clone_from(&path);
        config.limits.restart.restarts_max = 0;
        let model = LocalModel::start(config);
        let unready = within(model.ready()).await.unwrap_err();
        let Unready::Quarantined {
            loss: Loss::NotLoaded { message },
            ..
        } = unready
        else {
            panic!("{unready:?}");
        };
        assert!(message.contains(words), "{message}");
        within(model.shutdown()).await;
    }
}

/// Schemas that take more work than they look like, each in its own way.
fn hard_schemas() -> Vec<(&'static str, Value)> {
    let text = |most: u32| json!({"type": "string", "pattern": format!("^(.{{0,{most}}}a)*$")});
    let all = |count| json!({"allOf": (1..=count).map(text).collect::<Vec<_>>()});
    let twice = |n: u32| {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        (format!("d{n}"), json!({"allOf": [next, next]}))
    };
    let last = [("d25".to_owned(), text(9))];
    let defs: serde_json::Map<String, Value> = (0..25).map(twice).chain(last).collect();
    let property = |n: u32| (format!("p{n}"), text(n));
    let properties: serde_json::Map<String, Value> = (0..1500).map(property).collect();
    vec![
        ("some patterns at once", all(15)),
        ("more patterns at once", all(30)),
        ("many patterns at once", all(59)),
        (
            "references that double",
            json!({"$ref": "#/$defs/d0", "$defs": defs}),
        ),
        (
            "many properties",
            json!({"type": "object", "properties": properties}),
        ),
    ]
}

#[tokio::test]
async fn a_hard_schema_is_refused_and_holds_nobody_up() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    within(model.ready()).await.unwrap();
    for (name, schema) in hard_schemas() {
        let mut request = greedy("Say something.", 20);
        request.json_schema = Some(schema);
        let begun = Instant::now();
        let hard = answer(&model, request);
        let other = answer(&model, greedy("Hello", 1));
        let (hard, other) = within(async { tokio::join!(hard, other) }).await;
        let error = hard.unwrap_err();
        assert!(
            matches!(&error, LocalError::BadRequest { field, .. } if field == "json_schema"),
            "{name}: {error}"
        );
        other.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{name}");
    }
    within(model.shutdown()).await;
}

#[tokio::test]
async fn what_is_far_too_long_is_refused_before_it_is_read() {
    let Some(config) = real() else { return };
    let model = LocalModel::start(config);
    within(model.ready()).await.unwrap();
    let begun = Instant::now();
    let spaces = " ".repeat(20_000_000);
    let error = answer(&model, ask(&spaces)).await.unwrap_err();
    assert!(
        matches!(error, LocalError::ContextLengthExceeded { tokens, limit } if tokens > limit),
        "{error}"
    );
    let error = model.embed(vec![spaces]).await.unwrap_err();
    assert!(
        matches!(error, LocalError::ContextLengthExceeded { tokens, limit } if tokens > limit),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    within(model.shutdown()).await;
}
