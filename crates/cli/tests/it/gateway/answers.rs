//! What models say, carried between every wire of ours and every wire of theirs.

use super::{Gate, PROVIDERS, ROUTES, Route, Told, model};
use serde_json::{Value, json};

fn models(scenario: &str) -> String {
    PROVIDERS
        .iter()
        .map(|provider| model(provider, provider, &format!("{provider}/{scenario}"), ""))
        .collect()
}

#[tokio::test]
async fn text_and_usage_come_through_every_pair_of_wires() {
    let gate = Gate::open(&models("echo"));
    for provider in PROVIDERS {
        for route in ROUTES {
            for stream in [false, true] {
                let mut body = route.body(provider, "grüße — 你好 🙂 \"x\" \\n", stream);
                if stream && route == Route::Chat {
                    body["stream_options"] = json!({"include_usage": true});
                }
                let told = gate.post(route, &body).await;
                assert_eq!(
                    told.ok().text(),
                    "grüße — 你好 🙂 \"x\" \\n",
                    "{provider} {told:?}"
                );
                assert_eq!(usage(&told), (11, 7), "{provider} {told:?}");
                assert_eq!(told.header("x-mainstay-model"), provider);
                assert_eq!(told.header("x-mainstay-attempts"), "1");
                if stream {
                    assert!(told.body.contains(route.end()), "{provider} {told:?}");
                }
            }
        }
        assert_eq!(gate.upstream.hits(&format!("{provider}/echo")), 6);
    }
}

/// Tokens in and out, as the route tells them.
fn usage(told: &Told) -> (u64, u64) {
    let events = match told.is_stream() {
        true => told.events(),
        false => vec![told.json()],
    };
    let number = |pointers: &[&str]| {
        let found = events.iter().rev().find_map(|event| {
            pointers
                .iter()
                .find_map(|pointer| event.pointer(pointer)?.as_u64())
        });
        found.unwrap_or_default()
    };
    match told.route {
        Route::Chat => (
            number(&["/usage/prompt_tokens"]),
            number(&["/usage/completion_tokens"]),
        ),
        Route::Responses => (
            number(&["/response/usage/input_tokens", "/usage/input_tokens"]),
            number(&["/response/usage/output_tokens", "/usage/output_tokens"]),
        ),
        Route::Messages => (
            number(&["/usage/input_tokens", "/message/usage/input_tokens"]),
            number(&["/usage/output_tokens"]),
        ),
    }
}

fn schema() -> Value {
    json!({
        "type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["city", "n"], "additionalProperties": false,
    })
}

/// A request with two tools.
fn with_tools(route: Route, model: &str, stream: bool) -> Value {
    let mut body = route.body(model, "use them", stream);
    let tools = ["weather", "time"].map(|name| match route {
        Route::Chat => {
            json!({"type": "function", "function": {"name": name, "parameters": schema()}})
        }
        Route::Responses => json!({"type": "function", "name": name, "parameters": schema()}),
        Route::Messages => json!({"name": name, "input_schema": schema()}),
    });
    body["tools"] = json!(tools);
    body
}

/// The calls of an answer: ids, names and arguments.
fn calls(told: &Told) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parsed = |value: &Value| serde_json::from_str(value.as_str().unwrap_or_default()).unwrap();
    let whole = told.json();
    let list = |pointer: &str| {
        whole
            .pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    match told.route {
        Route::Chat => list("/choices/0/message/tool_calls")
            .iter()
            .map(|call| {
                (
                    text(&call["id"]),
                    text(&call["function"]["name"]),
                    parsed(&call["function"]["arguments"]),
                )
            })
            .collect(),
        Route::Responses => list("/output")
            .iter()
            .filter(|item| item["type"] == "function_call")
            .map(|call| {
                (
                    text(&call["call_id"]),
                    text(&call["name"]),
                    parsed(&call["arguments"]),
                )
            })
            .collect(),
        Route::Messages => list("/content")
            .iter()
            .filter(|block| block["type"] == "tool_use")
            .map(|call| {
                (
                    text(&call["id"]),
                    text(&call["name"]),
                    call["input"].clone(),
                )
            })
            .collect(),
    }
}

/// The request that brings the results of an answer's calls.
fn with_results(told: &Told, model: &str) -> Value {
    let mut body = with_tools(told.route, model, false);
    let whole = told.json();
    let ids = calls(told)
        .into_iter()
        .map(|(id, name, _)| (id, format!("result of {name}")));
    match told.route {
        Route::Chat => {
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(whole["choices"][0]["message"].clone());
            messages.extend(
                ids.map(|(id, said)| json!({"role": "tool", "tool_call_id": id, "content": said})),
            );
        }
        Route::Responses => {
            let input = body["input"].as_array_mut().unwrap();
            input.extend(whole["output"].as_array().unwrap().iter().cloned());
            input.extend(ids.map(
                |(id, said)| json!({"type": "function_call_output", "call_id": id, "output": said}),
            ));
        }
        Route::Messages => {
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(json!({"role": "assistant", "content": whole["content"]}));
            let results: Vec<Value> = ids
                .map(
                    |(id, said)| json!({"type": "tool_result", "tool_use_id": id, "content": said}),
                )
                .collect();
            messages.push(json!({"role": "user", "content": results}));
        }
    }
    body
}

#[tokio::test]
async fn parallel_tools_are_called_and_answered_over_every_pair_of_wires() {
    let gate = Gate::open(&models("tools"));
    for provider in PROVIDERS {
        for route in ROUTES {
            let told = gate.post(route, &with_tools(route, provider, false)).await;
            let calls = calls(told.ok());
            let names: Vec<&str> = calls.iter().map(|(_, name, _)| name.as_str()).collect();
            assert_eq!(names, ["weather", "time"], "{provider} {told:?}");
            assert!(
                calls
                    .iter()
                    .all(|(_, _, arguments)| *arguments == json!({"city": "x", "n": 1})),
                "{told:?}"
            );
            assert_ne!(calls[0].0, calls[1].0, "{told:?}");
            let streamed = gate.post(route, &with_tools(route, provider, true)).await;
            assert!(
                streamed.ok().body.contains("weather") && streamed.body.contains(route.end()),
                "{streamed:?}"
            );
            let ended = gate.post(route, &with_results(&told, provider)).await;
            assert_eq!(
                ended.ok().text(),
                "results: result of weather; result of time",
                "{provider} {ended:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_schema_reaches_the_provider_in_its_own_form() {
    let gate = Gate::open(&models("json"));
    for provider in PROVIDERS {
        for route in ROUTES {
            let mut body = route.body(provider, "x", false);
            let named = json!({"type": "json_schema", "name": "answer", "schema": schema(), "strict": true});
            match route {
                Route::Chat => {
                    let inner = json!({"name": "answer", "schema": schema(), "strict": true});
                    body["response_format"] = json!({"type": "json_schema", "json_schema": inner});
                }
                Route::Responses => body["text"] = json!({ "format": named }),
                Route::Messages => {
                    let format = json!({"type": "json_schema", "schema": schema()});
                    body["output_config"] = json!({ "format": format });
                }
            }
            let told = gate.post(route, &body).await;
            let said: Value = serde_json::from_str(&told.ok().text()).unwrap_or_default();
            assert_eq!(said, json!({"city": "x", "n": 1}), "{provider} {told:?}");
        }
    }
}

#[tokio::test]
async fn pictures_arrive_byte_for_byte() {
    // The smallest file that calls itself a PNG: what counts is its length.
    let data = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let gate = Gate::open(&models("image"));
    for provider in PROVIDERS {
        for route in ROUTES {
            let url = format!("data:image/png;base64,{data}");
            let parts = match route {
                Route::Chat => {
                    json!([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}])
                }
                Route::Responses => {
                    json!([{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": url, "detail": "auto"}])
                }
                Route::Messages => json!([{"type": "text", "text": "x"}, {
                    "type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data},
                }]),
            };
            let mut body = route.body(provider, "", false);
            let list = if route == Route::Responses {
                "input"
            } else {
                "messages"
            };
            body[list][0]["content"] = parts;
            let told = gate.post(route, &body).await;
            assert_eq!(
                told.ok().text(),
                "image/png of 70 bytes",
                "{provider} {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn tokens_of_caches_are_told_apart() {
    let gate = Gate::open(&models("cached"));
    for provider in PROVIDERS {
        for route in ROUTES {
            let told = gate.ask(route, provider, false).await;
            let usage = told.ok().json()["usage"].clone();
            let read = match route {
                Route::Chat => usage["prompt_tokens_details"]["cached_tokens"].clone(),
                Route::Responses => usage["input_tokens_details"]["cached_tokens"].clone(),
                Route::Messages => usage["cache_read_input_tokens"].clone(),
            };
            assert_eq!(read, 5, "{provider} {told:?}");
        }
    }
}

/// How an answer ended, as the route tells it.
fn ending(told: &Told) -> String {
    let events = match told.is_stream() {
        true => told.events(),
        false => vec![told.json()],
    };
    let pointers: &[&str] = match told.route {
        Route::Chat => &["/choices/0/finish_reason"],
        Route::Responses => &[
            "/response/incomplete_details/reason",
            "/incomplete_details/reason",
            "/response/status",
            "/status",
        ],
        Route::Messages => &["/delta/stop_reason", "/stop_reason"],
    };
    let texts = events.iter().rev().flat_map(|event| {
        pointers
            .iter()
            .filter_map(|pointer| event.pointer(pointer)?.as_str())
    });
    texts.map(str::to_owned).next().unwrap_or_default()
}

#[tokio::test]
async fn answers_that_were_held_back_say_so_and_speak_against_nobody() {
    let gate = Gate::open(&models("filter-finish"));
    for provider in PROVIDERS {
        for route in ROUTES {
            for stream in [false, true] {
                let told = gate.ask(route, provider, stream).await;
                let wanted = match route {
                    Route::Messages => "refusal",
                    _ => "content_filter",
                };
                assert_eq!(ending(told.ok()), wanted, "{provider} {told:?}");
                assert_eq!(told.text(), "so far", "{provider} {told:?}");
            }
        }
        // More than would open a breaker.
        assert_eq!(gate.upstream.hits(&format!("{provider}/filter-finish")), 6);
    }
}

#[tokio::test]
async fn refusals_are_told_as_the_route_tells_them() {
    let gate = Gate::open(&models("refusal"));
    for provider in PROVIDERS {
        for route in ROUTES {
            for stream in [false, true] {
                let told = gate.ask(route, provider, stream).await;
                let ending = ending(told.ok());
                let says_refusal = told.body.contains("cannot") && told.body.contains("refusal");
                // Gemini holds back the prompt and says nothing at all.
                let is_blocked = ending == "content_filter" || ending == "refusal";
                assert!(is_blocked || says_refusal, "{provider} {ending} {told:?}");
                assert!(!told.body.contains("end_turn"), "{provider} {told:?}");
            }
        }
        assert_eq!(gate.upstream.hits(&format!("{provider}/refusal")), 6);
    }
}

#[tokio::test]
async fn vectors_come_from_every_provider_that_makes_them() {
    let gate = Gate::open(&models("ok"));
    let url = format!("{}/v1/embeddings", gate.server.url);
    for provider in ["openai", "openai_compatible", "gemini", "azure_openai"] {
        let body = json!({"model": provider, "input": ["a", "b"], "encoding_format": "float"});
        let sent = gate
            .server
            .client()
            .post(&url)
            .bearer_auth(&gate.server.key)
            .json(&body)
            .send();
        let told: Value = sent.await.unwrap().json().await.unwrap();
        assert_eq!(
            told["data"].as_array().map(Vec::len),
            Some(2),
            "{provider} {told}"
        );
        assert_eq!(
            told["data"][0]["embedding"].as_array().map(Vec::len),
            Some(8),
            "{provider} {told}"
        );
        assert_ne!(told["data"][0]["embedding"], told["data"][1]["embedding"]);
    }
}

/// What changes nothing of the answer may be left out, but not in silence.
#[tokio::test]
async fn what_a_provider_is_not_told_is_said_to_the_caller() {
    let models = model("a", "anthropic", "ok", "") + &model("o", "openai", "ok", "");
    let gate = Gate::open(&models);
    for stream in [false, true] {
        let mut body = Route::Chat.body("a", "x", stream);
        body["verbosity"] = "low".into();
        let told = gate.post(Route::Chat, &body).await;
        assert_eq!(
            told.ok().header("x-mainstay-warning"),
            "a was not told: verbosity"
        );
        body["model"] = "o".into();
        let told = gate.post(Route::Chat, &body).await;
        assert_eq!(told.ok().header("x-mainstay-warning"), "");
    }
}
