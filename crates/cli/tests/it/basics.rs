//! What a newcomer does first.

use crate::harness::{Place, is_root, skipped};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_scaffold_checks_and_runs() {
    let place = Place::scripted("[]");
    place.mainstay(&["init", "--script", "new"]).ok();
    let manifest = place.path().join("new/mainstay.yaml");
    let manifest = manifest.to_str().unwrap();
    place.mainstay(&["-f", manifest, "check"]).ok();
    let again = place.mainstay(&["--json", "init", "--script", "new"]);
    again.failed_with("runtime.invalid_request");
}

#[test]
fn check_reports_every_finding_with_its_place() {
    let place = Place::new(
        "version: 1\nmodles: {}\nagents:\n  a: {model: nope, tols: []}\n",
        "",
    );
    let ran = place.mainstay(&["check"]);
    assert_eq!(ran.exit, 2, "{ran:?}");
    for expected in [
        "mainstay.yaml:2:1",
        "`models`",
        "mainstay.yaml:4:",
        "`tools`",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let json = place.mainstay(&["--json", "check"]).json();
    assert_eq!(json["code"], "manifest.invalid");
    assert!(json["findings"].as_array().unwrap().len() >= 3, "{json}");
}

#[test]
fn schema_and_codes_are_json() {
    let place = Place::scripted("[]");
    let schema: Value = serde_json::from_str(&place.mainstay(&["schema"]).ok().stdout).unwrap();
    assert!(schema["properties"]["agents"].is_object());
    let codes = place.mainstay(&["--json", "codes"]).ok().json();
    for row in codes.as_array().unwrap() {
        for key in [
            "code",
            "title",
            "layer",
            "http",
            "exit",
            "retry",
            "responsible",
            "scored",
        ] {
            assert!(!row[key].is_null(), "{key}: {row}");
        }
        let code = row["code"].as_str().unwrap();
        assert_eq!(row["docs"], format!("errors/{code}"));
        let page = place.mainstay(&["explain", code]);
        assert!(
            page.ok().stdout.starts_with(&format!("# {code}\n")),
            "{page:?}"
        );
    }
}

#[test]
fn an_unknown_code_offers_near_names() {
    let place = Place::scripted("[]");
    let ran = place.mainstay(&["--json", "explain", "store.lokced"]);
    let report = ran.failed_with("runtime.not_found");
    assert!(
        report["hints"].to_string().contains("store.locked"),
        "{report}"
    );
}

#[test]
fn a_turn_edits_a_view_and_apply_brings_it_home() {
    let place = Place::scripted(
        "- tool_calls: [{name: files_edit, arguments: {path: hello.txt, old: hello, new: goodbye}}]\n\
         - tool_calls: [{name: shell, arguments: {command: 'mkdir empty && ln -s hello.txt link && echo new > \"odd name\"'}}]\n\
         - text: done\n",
    );
    let ran = place.run(&["--session", "s", "--turn", "t"]);
    assert_eq!(ran.ok().json()["data"]["text"], "done");
    assert_eq!(
        place.read("work/hello.txt"),
        "hello\n",
        "the folder is untouched"
    );
    let diff = place
        .mainstay(&["session", "diff", "s"])
        .ok()
        .stdout
        .clone();
    assert!(
        diff.contains("-hello") && diff.contains("+goodbye"),
        "{diff}"
    );
    place.mainstay(&["session", "apply", "s"]).ok();
    assert_eq!(place.read("work/hello.txt"), "goodbye\n");
    assert_eq!(place.read("work/odd name"), "new\n");
    assert!(place.workspace().join("empty").is_dir());
    let link = std::fs::read_link(place.workspace().join("link")).unwrap();
    assert_eq!(link.to_str(), Some("hello.txt"));
    place.mainstay(&["session", "apply", "s"]).ok();
}

#[test]
fn the_same_turn_is_answered_not_run_again() {
    let place = Place::scripted("- text: once\n- text: twice\n");
    let first = place.run(&["--session", "s", "--turn", "t"]);
    let second = place.run(&["--session", "s", "--turn", "t"]);
    assert_eq!(first.ok().json()["data"]["text"], "once");
    assert_eq!(second.ok().json()["data"]["text"], "once");
    let third = place.run(&["--session", "s"]);
    assert_eq!(third.ok().json()["data"]["text"], "twice");
}

#[test]
fn sessions_are_listed_shown_exported_replayed_and_removed() {
    let place = Place::scripted(
        "- tool_calls: [{name: shell, arguments: {command: echo hi}}]\n- text: done\n",
    );
    place.run(&["--session", "s", "--turn", "t"]).ok();
    assert!(
        place
            .mainstay(&["session", "ls"])
            .ok()
            .stdout
            .contains("completed")
    );
    let shown = place.mainstay(&["session", "show", "s"]);
    assert!(shown.ok().stdout.contains("shell"), "{shown:?}");
    let exported = place.mainstay(&["session", "export", "s"]);
    assert!(exported.ok().lines().len() > 4, "{exported:?}");
    place.mainstay(&["session", "replay", "t"]).ok();
    place.mainstay(&["session", "rm", "s"]).ok();
    place
        .mainstay(&["--json", "session", "show", "s"])
        .failed_with("runtime.not_found");
    place.mainstay(&["doctor"]).ok();
}

#[test]
fn events_have_no_gaps_and_resume_anywhere() {
    let place = Place::scripted(
        "- tool_calls: [{name: shell, arguments: {command: echo hi}}]\n- text: done\n",
    );
    place.run(&["--session", "s"]).ok();
    let all = place.events("s");
    let seqs: Vec<u64> = all
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let after = place.mainstay(&["--json", "session", "events", "s", "--after", "3"]);
    assert_eq!(after.ok().lines(), all[3..]);
}

#[test]
fn a_recording_replays_as_a_script() {
    let place = Place::scripted("- text: recorded answer\n  usage: {input_tokens: 3}\n");
    place.run(&["--record", "made.jsonl"]).ok();
    let text = place
        .read("mainstay.yaml")
        .replace("script.yaml", "made.jsonl");
    place.write("mainstay.yaml", &text);
    let again = place.run(&[]);
    assert_eq!(again.ok().json()["data"]["text"], "recorded answer");
}

#[test]
fn doctor_tells_what_this_host_can_do() {
    let place = Place::scripted("[]");
    let report = place.mainstay(&["--json", "doctor"]).ok().json();
    let names = report["checks"].to_string();
    for expected in ["overlay", "landlock", "seccomp", "store"] {
        assert!(names.contains(expected), "{expected}: {names}");
    }
}

#[test]
fn completions_are_printed_for_shells() {
    let place = Place::scripted("[]");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            place
                .mainstay(&["completions", shell])
                .ok()
                .stdout
                .contains("mainstay")
        );
    }
}

#[test]
fn private_files_are_private() {
    let place = Place::scripted("[]");
    let server = place.serve();
    let mode = |name: &str| {
        std::fs::metadata(place.data_dir().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("key"), 0o600);
    assert_eq!(mode("node.sock"), 0o600);
    assert_eq!(mode("mainstay.db"), 0o600);
    drop(server);
}

const WHO: &str =
    "- tool_calls: [{name: shell, arguments: {command: 'id -u > who'}}]\n- text: done\n";

/// Gives files to an ordinary user.
fn give_away(place: &Place, names: &[&str]) {
    for name in names {
        let path = place.path().join(name);
        std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
    }
}

#[test]
fn root_works_on_a_folder_as_its_owner() {
    if !is_root() {
        return skipped("only root can become somebody else");
    }
    let place = Place::scripted(WHO);
    give_away(&place, &["work", "work/hello.txt"]);
    place.run(&["--session", "s"]).ok();
    place.mainstay(&["session", "apply", "s"]).ok();
    assert_eq!(place.read("work/who").trim(), "1000");
    let made = std::fs::metadata(place.path().join("work/who")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 1000);
}

#[test]
fn an_ordinary_user_can_do_it_all() {
    if !is_root() {
        return skipped("these tests are run by an ordinary user already");
    }
    let place = Place::scripted(WHO);
    give_away(
        &place,
        &["", "mainstay.yaml", "script.yaml", "work", "work/hello.txt"],
    );
    let run = |args: &[&str]| {
        place.as_ordinary_user(args).ok();
    };
    run(&["run", "a", "go", "--session", "s"]);
    run(&["session", "apply", "s"]);
    assert_eq!(place.read("work/who").trim(), "1000");
}

#[test]
fn check_reads_the_files_of_models_as_the_node_does() {
    let base = "provider: openai, model: x, base_url: \"https://a.example/v1\"";
    let manifest = format!(
        "version: 1\nmodels:\n  s: {{provider: script, file: none.yaml}}\n  c: {{{base}, ca_file: junk.pem}}\n  \
         l: {{provider: local, path: none.gguf}}\n\
         prices: prices.json\nkeys:\n  a: {{secret: a}}\n  b: {{secret: b}}\n  c: {{secret: c}}\n\
         secrets:\n  a: {{file: a.key}}\n  b: {{file: b.key}}\n  c: {{file: none.key}}\n"
    );
    let place = Place::new(&manifest, "");
    place.write("junk.pem", "junk\n");
    place.write("prices.json", "{");
    place.write("a.key", "same\n");
    place.write("b.key", "same\n");
    let ran = place.mainstay(&["--json", "check"]);
    assert_eq!(ran.exit, 2, "{ran:?}");
    let json = ran.json();
    let told = |list: &str| -> Vec<(u64, String)> {
        let list = json[list].as_array().unwrap().iter();
        let place = |it: &Value| {
            (
                it["line"].as_u64().unwrap(),
                it["field"].as_str().unwrap().to_owned(),
            )
        };
        list.map(place).collect()
    };
    let fields = [
        (3, "models.s.file"),
        (4, "models.c.ca_file"),
        (5, "models.l.path"),
        (6, "prices"),
        (8, "keys.a"),
        (9, "keys.b"),
    ];
    let fields = fields.map(|(line, field)| (line, field.to_owned()));
    assert_eq!(told("findings"), fields, "{json}");
    let warnings = [(4, "models.c"), (14, "secrets.c")];
    let warnings = warnings.map(|(line, field)| (line, field.to_owned()));
    assert_eq!(told("warnings"), warnings, "{json}");
    assert!(!ran.stdout.contains("same\\n"), "{ran:?}");
    let doctor = place.mainstay(&["doctor"]);
    for finding in [
        "missing  manifest",
        "models.l.path",
        "weaker   manifest",
        "secrets.c",
    ] {
        assert!(doctor.ok().stdout.contains(finding), "{doctor:?}");
    }
    place.write(
        "mainstay.yaml",
        "version: 1\nkeys: {c: {secret: c}}\nsecrets: {c: {file: none.key}}\n",
    );
    let ran = place.mainstay(&["check"]);
    assert!(ran.ok().stdout.contains("3:14: secrets.c:"), "{ran:?}");
    place.write("mainstay.yaml", "version: 1\nmodels: 7\n");
    let doctor = place.mainstay(&["doctor"]);
    assert!(
        doctor.ok().stdout.contains("mainstay.yaml:2:9"),
        "{doctor:?}"
    );
}

#[test]
fn check_tells_what_the_models_lack() {
    let hosted =
        |provider: &str, more: &str| format!("{{provider: {provider}, model: gpt-4.1-mini{more}}}");
    let mine = "base_url: 'https://mine.example'";
    let manifest = [
        "version: 1".to_owned(),
        "models:".to_owned(),
        format!("  a: {}", hosted("openai", "")),
        format!("  b: {}", hosted("anthropic", ", headers: {X-Team: red}")),
        format!(
            "  c: {}",
            hosted("gemini", ", headers: {x-goog-api-key: {secret: s}}")
        ),
        format!("  d: {}", hosted("azure_openai", &format!(", {mine}"))),
        format!(
            "  e: {}",
            hosted("openai", ", base_url: 'http://127.0.0.1:9'")
        ),
        format!(
            "  f: {}",
            hosted(
                "openai_compatible",
                &format!(", {mine}, budget: {{usd: 1}}")
            )
        ),
        format!(
            "  g: {}",
            hosted(
                "openai_compatible",
                &format!(", {mine}, budget: {{usd: 1}}, if_price_unknown: allow")
            )
        ),
        "agents:".to_owned(),
        "  h: {model: f, budget: {usd: 1}}".to_owned(),
        "secrets:".to_owned(),
        "  s: {env: MAINSTAY_TEST_NOT_SET}".to_owned(),
    ];
    let place = Place::new(&manifest.join("\n"), "");
    let json = place.mainstay(&["--json", "check"]).json();
    let told = |list: &str| -> Vec<(u64, String)> {
        let list = json[list].as_array().unwrap().iter();
        let told = |it: &Value| {
            (
                it["line"].as_u64().unwrap(),
                it["field"].as_str().unwrap().to_owned(),
            )
        };
        list.map(told).collect()
    };
    let expected = |told: &[(u64, &str)]| -> Vec<(u64, String)> {
        told.iter()
            .map(|(line, field)| (*line, (*field).to_owned()))
            .collect()
    };
    assert_eq!(
        told("findings"),
        expected(&[(8, "models.f.budget"), (11, "agents.h.budget")]),
        "{json}"
    );
    let warnings = [
        (3, "models.a"),
        (4, "models.b"),
        (5, "models.c.headers"),
        (6, "models.d"),
        (13, "secrets.s"),
    ];
    assert_eq!(told("warnings"), expected(&warnings), "{json}");
}
