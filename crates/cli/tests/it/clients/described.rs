//! The OpenAPI document against what the gateway really answers.

use super::{Stage, python};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Models that the requests name, so that most of them get as far as a provider.
const MODELS: &[&str] = &[
    "script-ok",
    "script-tools",
    "openai-ok",
    "azure-echo",
    "compatible-tools",
    "anthropic-tools",
    "gemini-echo",
];

/// The part of the document below `/v1`, for these models.
fn narrowed(mut document: Value) -> Value {
    let paths = document["paths"].as_object_mut().unwrap();
    paths.retain(|path, _| path.starts_with("/v1/"));
    assert_eq!(paths.len(), 7);
    let names = json!({ "enum": MODELS });
    for path in paths.values_mut() {
        if let Some(named) = path.pointer_mut("/get/parameters/0/schema") {
            *named = names.clone();
        }
    }
    for schema in document["components"]["schemas"]
        .as_object_mut()
        .unwrap()
        .values_mut()
    {
        let fields = schema["required"].as_array().cloned().unwrap_or_default();
        // Answers have an id or a kind as well.
        let is_request = fields.contains(&json!("model")) && !fields.contains(&json!("object"));
        if is_request && schema["properties"]["id"].is_null() {
            schema["properties"]["model"] = names.clone();
        }
    }
    document
}

/// What Python 3.11 says when it fails at its own work while other threads run, which has nothing to do with
/// what is tested.
const PYTHONS_OWN: &str = "AST constructor recursion depth mismatch";

/// What schemathesis finds: nothing, or the test fails.
fn judged(stage: &Stage, program: &Path, document: &Path) -> String {
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
                  response_schema_conformance,unsupported_method";
    let mut said = String::new();
    for seed in ["1", "2", "3"] {
        let mut command = stage.command(program);
        command
            .arg("run")
            .arg(document)
            .args(["--url", &stage.server.url])
            .args([
                "--header",
                &format!("Authorization: Bearer {}", stage.server.key),
            ])
            .args(["--phases", "coverage,fuzzing", "--checks", checks])
            .args(["--max-examples", "50", "--seed", seed, "--no-color"]);
        let ended = command.output().unwrap();
        said = String::from_utf8_lossy(&ended.stdout).into_owned();
        if ended.status.success() {
            return said;
        }
        assert!(
            said.contains(PYTHONS_OWN) && !said.contains("FAILURES"),
            "{said}"
        );
    }
    panic!("{said}");
}

#[test]
fn the_gateway_answers_as_the_document_says() {
    let Some(python) = python("schemathesis") else {
        return;
    };
    let stage = Stage::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (status, document) = runtime.block_on(stage.server.get("/openapi.json"));
    assert_eq!(status, 200);
    let file = stage.place.path().join("openapi.json");
    fs::write(&file, narrowed(document).to_string()).unwrap();
    let said = judged(&stage, &python.with_file_name("schemathesis"), &file);
    assert!(said.contains("7 selected / 7 total"), "{said}");
    for (provider, scenario) in MODELS[2..].iter().filter_map(|name| name.split_once('-')) {
        let hits = stage.upstream.hits(&format!("{provider}/{scenario}"));
        assert!(hits > 0, "no request came as far as {provider}: {said}");
    }
}
