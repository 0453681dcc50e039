//! `mainstay model`: what there is, one question, what it cost; and what a turn is counted with.

use crate::harness::{Place, Ran, manifest};
use crate::provider::Provider;
use serde_json::{Value, json};

const SCRIPT: &str =
    "- {text: 'Hello there', chunks: 3, usage: {input_tokens: 1000, output_tokens: 500}}\n";

fn place() -> Place {
    let models = "  m: {provider: script, file: script.yaml, price: {input_per_million: 1, output_per_million: 2},
     budget: {usd: 0.004, per: day}, fallback: [f], context_window: 4096}
  f: {provider: script, file: script.yaml}
  p: {pool: {m: 3, f: 1}}
  u: {provider: openai_compatible, model: x, base_url: 'http://127.0.0.1:9/v1', retry: {max: 0}}
  l: {provider: openai_compatible, model: x, base_url: 'http://127.0.0.1:9/v1', budget: {usd: 1}}
  broken: {provider: script, file: broken.yaml, retry: {max: 0}}
";
    let place = Place::new(&manifest(models, ""), SCRIPT);
    let cut = "fault: {kind: network_error, phase: stream, after_chunks: 1, message: cut}";
    place.write(
        "broken.yaml",
        &format!("- {{text: 'Half of it', chunks: 2, {cut}}}\n"),
    );
    place
}

fn call(place: &Place, args: &[&str]) -> Ran {
    place.mainstay(&[&["model", "call"], args].concat())
}

#[test]
fn the_models_in_a_table_and_as_json() {
    let place = place();
    let listed = place.mainstay(&["model", "ls"]);
    let expected = "\
NAME    PROVIDER           MODEL        WINDOW  PRICE    BREAKER  READY  ACTIVE  QUEUED  BUDGET       HEALTH
broken  script             broken       -       free     closed   yes    0       0       -            -
f       script             f            -       free     closed   yes    0       0       -            -
l       openai_compatible  x            -       unknown  closed   yes    0       0       0/1 total    -
m       script             m            4096    known    closed   yes    0       0       0/0.004 day  -
p       pool               m+f          -       -        closed   yes    0       0       -            -
u       openai_compatible  x            -       unknown  closed   yes    0       0       -            -
";
    let words = |text: &str| {
        let lines = text.lines();
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(words(&listed.ok().stdout), words(expected));
    let models = place.mainstay(&["--json", "model", "ls"]).ok().json();
    assert_eq!(models.as_array().unwrap().len(), 6);
    assert_eq!(models[3]["price"]["input_per_million"], "1");
}

#[test]
fn a_question_is_answered_on_stdout_and_its_cost_told_on_stderr() {
    let place = place();
    for args in [
        &["m", "hi"][..],
        &["m", "hi", "--stream", "--system", "be kind"],
    ] {
        let ran = call(&place, args);
        assert_eq!(ran.ok().stdout, "Hello there\n");
        assert_eq!(ran.stderr, "m · 1000 tokens in, 500 out · 0.002 USD\n");
    }
    let quiet = place.mainstay(&["-q", "model", "call", "f", "hi"]);
    assert_eq!(
        (quiet.ok().stdout.as_str(), quiet.stderr.as_str()),
        ("Hello there\n", "")
    );
    let whole = place
        .mainstay(&["--json", "model", "call", "f", "hi"])
        .ok()
        .json();
    assert_eq!(
        (&whole["text"], &whole["usd"]),
        (&"Hello there".into(), &"0".into())
    );
    let lines = place.mainstay(&["--json", "model", "call", "f", "hi", "--stream"]);
    let lines = lines.ok().lines();
    assert_eq!(lines[0], json!({ "kind": "text", "text": "Hell" }));
    assert_eq!(lines[3], json!({ "kind": "done", "reply": whole }));
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_question_that_fails_has_the_exit_code_of_its_report() {
    let place = place();
    let failed = |args: &[&str], code: &str| {
        place
            .mainstay(&[&["--json", "model", "call"], args].concat())
            .failed_with(code)
    };
    let report = failed(&["mm", "hi"], "runtime.not_found");
    assert_eq!(report["subject"], json!({ "kind": "model", "id": "mm" }));
    assert_eq!(report["hints"][0], "there is `m`");
    failed(&["u", "hi"], "inference.network_error");
    failed(&["l", "hi", "--max-tokens", "5"], "inference.price_unknown");
    for stream in [&[][..], &["--stream"]] {
        let args = [&["broken", "hi"], stream].concat();
        let report = failed(&args, "inference.network_error");
        assert_eq!(
            (&report["effect"], &report["layer"]),
            (&"unknown".into(), &"inference".into())
        );
    }
    failed(
        &["m", "hi", "--record", "/nowhere/r.yaml"],
        "runtime.invalid_request",
    );
    let shown = call(&place, &["broken", "hi", "--stream"]);
    assert_eq!((shown.exit, shown.stdout.as_str()), (8, "Half \n"));
    assert!(shown.stderr.contains("cut"), "{shown:?}");
    // The budget is for two answers.
    for _ in 0..2 {
        call(&place, &["m", "hi", "--max-tokens", "500"]).ok();
    }
    let report = failed(
        &["m", "hi", "--max-tokens", "500"],
        "inference.budget_exceeded",
    );
    assert_eq!(report["data"]["spent"], "0.004", "{report}");
    assert_eq!(call(&place, &["m", "hi", "--max-tokens", "0"]).exit, 2);
}

#[test]
fn an_answer_can_be_recorded_and_played() {
    let place = place();
    call(&place, &["f", "hi", "--record", "made.yaml"]).ok();
    place.write("script.yaml", &place.read("made.yaml"));
    let again = call(&place, &["f", "hi"]);
    assert_eq!(again.ok().stdout, "Hello there\n");
    let server = place.serve();
    let args = [
        "--json",
        "model",
        "call",
        "f",
        "hi",
        "--record",
        "more.yaml",
    ];
    place.mainstay(&args).failed_with("runtime.invalid_request");
    drop(server);
}

#[test]
fn the_node_that_owns_the_folder_is_asked_or_the_one_at_a_url() {
    let place = place();
    let server = place.serve();
    assert_eq!(call(&place, &["m", "hi"]).ok().stdout, "Hello there\n");
    let elsewhere = tempfile::tempdir().unwrap();
    let remote = |args: &[&str]| {
        let mut command =
            place.command(&[&["--url", &server.url, "--json", "model"], args].concat());
        command
            .current_dir(elsewhere.path())
            .env("MAINSTAY_KEY", &server.key);
        Ran::of(&command.output().unwrap())
    };
    let reply = remote(&["call", "m", "hi", "--stream"]).ok().json();
    assert_eq!(reply["reply"]["usd"], "0.002");
    let usage = remote(&["usage", "--by", "model"]).ok().json();
    let row = json!({ "model": "m", "answers": 2, "failures": 0, "input_tokens": 2000, "output_tokens": 1000,
        "cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "usd": "0.004" });
    assert_eq!(usage["rows"], json!([row]));
    assert_eq!(remote(&["ls"]).ok().json().as_array().unwrap().len(), 6);
}

#[test]
fn what_was_spent_in_a_table_and_as_json() {
    let place = place();
    let empty = place.mainstay(&["model", "usage", "--by", "model,key"]);
    assert_eq!(
        empty.ok().stdout,
        "MODEL  KEY  ANSWERS  FAILURES  IN  OUT  USD\n"
    );
    call(&place, &["m", "hi"]).ok();
    call(&place, &["m", "hi"]).ok();
    call(&place, &["f", "hi"]).ok();
    let table = place.mainstay(&["model", "usage", "--by", "model,key"]);
    let expected = "\
MODEL  KEY  ANSWERS  FAILURES  IN    OUT   USD
f      -    1        0         1000  500   0
m      -    2        0         2000  1000  0.004
";
    assert_eq!(table.ok().stdout, expected);
    assert!(
        table
            .stderr
            .contains("budget of model m: 0.004 of 0.004 USD spent, 0 reserved, per day"),
        "{table:?}"
    );
    let whole = place.mainstay(&["--json", "model", "usage"]).ok().json();
    let first = &whole["rows"][0];
    let day = first["day"].as_str().unwrap();
    assert_eq!(
        (&first["key"], &first["agent"]),
        (&Value::Null, &Value::Null)
    );
    let sum = place.mainstay(&["--json", "model", "usage", "--by", "day", "--since", day]);
    let sum = sum.ok().json();
    assert_eq!(
        sum["rows"],
        json!([{ "day": day, "answers": 3, "failures": 0,
        "input_tokens": 3000, "output_tokens": 1500,
        "cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "usd": "0.004" }])
    );
    let later = place.mainstay(&["--json", "model", "usage", "--since", "2999-01-01"]);
    assert_eq!(later.ok().json()["rows"], json!([]));
    let wrong = place.mainstay(&["--json", "model", "usage", "--since", "yesterday"]);
    wrong.failed_with("runtime.invalid_request");
    assert_eq!(
        place.mainstay(&["model", "usage", "--by", "colour"]).exit,
        2
    );
}

const WHOLE: &str = r#"{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#;

/// A place whose agent asks an OpenAI of our own for this model, with these further words.
fn asking(upstream: &Provider, model: &str, more: &str) -> Place {
    let address = upstream.address;
    let models = format!(
        "  m: {{provider: openai, model: {model}, base_url: 'http://{address}/v1', api_key: {{secret: k}}{more}}}\n"
    );
    let place = Place::new(
        &manifest(&models, "    budget: {usd: 1}\nsecrets: {k: {file: key}}\n"),
        "",
    );
    place.write("key", "sk-1\n");
    place
}

#[test]
fn a_turn_is_counted_with_the_price_of_the_table() {
    let upstream = Provider::status("200 OK", "", WHOLE);
    let ran = asking(&upstream, "gpt-4.1-mini", "").run(&[]);
    let turn = ran.ok().json();
    assert_eq!(turn["data"]["spent"]["usd"], "0.0012", "{turn}");
    let own = ", price: {input_per_million: 1, output_per_million: 2}";
    let ran = asking(&upstream, "gpt-4.1-mini", own).run(&[]);
    assert_eq!(ran.ok().json()["data"]["spent"]["usd"], "0.002");
}

#[test]
fn a_turn_with_a_budget_that_nobody_could_hold_is_refused() {
    let upstream = Provider::status("200 OK", "", WHOLE);
    let place = asking(&upstream, "made-up", "");
    let report = place
        .run(&["--session", "s"])
        .failed_with("inference.price_unknown");
    assert!(
        report["message"].as_str().unwrap().contains("agent a"),
        "{report}"
    );
    assert_eq!(report["responsible"], "operator");
    assert_eq!(upstream.requests(), 0);
    place
        .mainstay(&["--json", "session", "show", "s"])
        .failed_with("runtime.not_found");
    let allowed = asking(&upstream, "made-up", ", if_price_unknown: allow");
    assert_eq!(allowed.run(&[]).ok().json()["data"]["spent"]["usd"], "0");
    let manifest = place
        .read("mainstay.yaml")
        .replace("    budget: {usd: 1}\n", "");
    place.write("mainstay.yaml", &manifest);
    place.run(&[]).ok();
    assert_eq!(upstream.requests(), 2);
}

#[test]
fn a_model_whose_key_cannot_be_read_is_not_ready() {
    let model = "  m: {provider: openai_compatible, model: x, base_url: 'http://127.0.0.1:9/v1', api_key: {secret: k}}\n";
    let place = Place::new(
        &manifest(model, "secrets: {k: {env: MAINSTAY_TEST_KEY}}\n"),
        "",
    );
    let listed = |key: Option<&str>| {
        let mut command = place.command(&["--json", "model", "ls"]);
        command.envs(key.map(|key| ("MAINSTAY_TEST_KEY", key)));
        let listed: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        listed[0].clone()
    };
    let without = listed(None);
    assert_eq!(without["ready"], false, "{without}");
    let reason = without["unusable"].as_str().unwrap();
    assert!(reason.contains("MAINSTAY_TEST_KEY"), "{reason}");
    assert_eq!(listed(Some("sk"))["ready"], true);
}

#[test]
fn who_names_no_model_is_told_which_there_are() {
    let place = place();
    let ran = call(&place, &["something", "hi"]);
    assert_ne!(ran.exit, 0, "{ran:?}");
    for name in ["broken", "f", "l", "m", "p", "u"] {
        assert!(
            ran.stderr.contains(&format!("there is `{name}`")),
            "{ran:?}"
        );
    }
    let ran = call(&place, &["brokn", "hi"]);
    assert!(
        ran.stderr.contains("there is `broken`") && !ran.stderr.contains("`u`"),
        "{ran:?}"
    );
}
