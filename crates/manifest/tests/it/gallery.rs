//! A gallery of broken manifests, each with all its findings.

use crate::support::{check, listing};
use mainstay_manifest::Problem;

macro_rules! gallery {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            let checked = check($text);
            assert!(checked.manifest.is_none());
            insta::assert_snapshot!(listing(&checked.findings));
        }
    )*};
}

gallery! {
    misspelt_keys: "
verison: 1
models:
  main: {provder: script, file: x, temperature: 1}
agents:
  fixer:
    mdoel: main
    tool: [shell]
    sandbox: {memroy: 1GiB, time-out: 5s}
";
    wrong_types: "
version: '1'
name: [x]
models:
  - main
agents:
  a: shell
  b:
    model: 3
    tools: shell
    max_steps: many
    max_attempts: '5'
    sandbox: none
    workspace:
    instructions: {x: y}
    budget: 5
  c: {model: true, tools: {shell: }}
secrets: plain
";
    wrong_values: "
version: 2
models:
  m:
    provider: openai_compatible
    base_url: api.example/v1
    model: ''
    timeout: {connect: 10, first_token: 1.5s, idle: 0s, total: 5 m}
    retry: {max: -1, base: 1x, cap: 99999999999999999999s}
    price: {input_per_million: $1, output_per_million: 1e-3}
agents:
  a:
    model: m
    max_steps: 0
    max_attempts: 1_000
    sandbox: {network: hots, memory: 512, pids: 0x10, timeout: ten, output: 64K, weaker: yes, read: ['', 5]}
  ../x: {model: m}
";
    the_norway_trap: "
version: 1
name: no
models:
  yes: {provider: script, file: off}
  1: {provider: script, file: x}
agents:
  a: {model: on, instructions: null, sandbox: {weaker: no}}
  b: {model: 'on', instructions: ~, sandbox: {weaker: True}}
";
    unknown_references: "
version: 1
models:
  main: {provider: openai, model: gpt, api_key: {secret: opnai}}
agents:
  a: {model: mian}
  b:
    model: something
    tools:
    - http: {allow: ['GET https://a.example/'], secret: {header: X, secret: nope, host: b.example}}
secrets: {openai: {env: KEY}}
";
    providers: "
version: 1
models:
  a: {provider: script, base_url: 'http://x/', model: m, api_key: {secret: k}}
  b: {provider: openai_compatible, file: x}
  c: {provider: openai}
  d: {provider: antropic}
  e: {provider: gemini, anything: 1}
  f: {file: x}
  g: {provider: openai, model: m, base_url: 'https://user:pw@x/'}
  h:
secrets: {k: {env: K}}
";
    tools: "
version: 1
models: {m: {provider: script, file: s}}
agents:
  a:
    model: m
    tools: [shel, shell, shell, {files: {}}, http, {http: {}}, 5, [], {shell: , files: }, {http: {allow: []}}, {shell: {effect: pur}}]
  b:
    model: m
    sandbox: {write: [/x]}
    tools: [{shell: {effect: pure}}]
  c:
    model: m
    tools: [{shell: {effect: pure, network: host}}]
  d:
    model: m
    budget: {usd: 1}
    tools:
    - http:
        allow: ['GET https://a.example/', 'POST https://b.example/**', 'post https://b.example/', 'GET https://b.example', 'GET https://*.example/x']
        effect: pure
        probe: {method: POST, url: 'https://a.example/', applied: [200..299, 99], absent: [250]}
        secret: [{header: 'X Y', secret: k}, {header: host, secret: k, host: c.example}, {header: A, secret: k}]
        private: ['10.0/8', '127.1']
secrets: {k: {env: K}}
";
    contradictions: "
version: 1
models:
  m:
    provider: script
    file: s
    retry: {base: 20s}
    timeout: {idle: 5m, total: 1m}
agents:
  a:
    model: m
    tools:
    - http:
        allow: ['POST https://a.example/x']
        effect: idempotent
        probe: {url: 'https://a.example/{key}', applied: [200..404]}
        secret: [{header: A, secret: k}, {header: a, secret: k, host: A.EXAMPLE}]
secrets: {k: {env: K}}
";
    secrets_are_not_repeated: "
version: 1
models:
  m: {provider: openai, model: m, api_key: sk-live-12345}
  n: {provider: openai, model: m, api_key: {secret: sk-live-12345}}
  o: {provider: openai, model: m, api_key: {secret: 'sk live 12345'}}
secrets:
  a: sk-live-12345
  b: {env: sk-live-12345}
  c: {env: [sk-live-12345]}
  d: {value: x}
  e: [sk-live-12345]
agents:
  a: {model: m, tools: [{http: {allow: ['GET https://me:sk-live-12345@x/'], secret: {header: 'Bearer sk-live-12345', secret: sk-live-12345}}}]}
";
    later_sections: "
version: 1
mcp: {}
tasks: {broken: [}
";
    duplicates: "
version: 1
version: 1
models:
  m: {provider: script, file: a, file: b}
  m: {provider: script, file: a}
agents: {a: {model: m}, 'a': {model: m}}
";
    anchors_aliases_and_tags: "
version: !!int 1
models:
  m: &m {provider: script, file: a}
  n: *m
  o: {<<: *m, file: !x b}
? {complex: key}
: 1
? [list]
: 2
";
    syntax_after_other_mistakes: "
version: 3
modles: {}
agents:
  a: {model: m
  b: ]
";
    a_tab: "
version: 1
models:
\tm: {provider: script, file: a}
";
    unclosed_quote: "version: 1\nnmae: \"x\nmodels: {}\n";
    several_documents: "version: 1\nnmae: x\n---\nversion: 1\n";
    empty: "";
    only_a_comment: "# nothing\n";
    a_list: "- 1\n";
    a_scalar: "hello\n";
    undefined_alias: "version: 1\nname: *x\n";
    unicode_columns: "version: 1\nname: ok\nmodels: {\"é日本\": 1, größe: {provider: script, file: x}}\nagents: {a: {model: 'ünknown ☃', instructions: 'ünïcödé', mdoel: x}}\n";
}

#[test]
fn no_message_holds_a_secret() {
    for place in [
        "sk-live-12345",
        "{secret: sk-live-12345}",
        "[sk-live-12345]",
        "{secret: [sk-live-12345]}",
        "{sk: 1}",
    ] {
        let text = format!(
            "version: 1\nmodels: {{m: {{provider: openai, model: m, api_key: {place}}}}}\nsecrets: {{a: {place}}}\n"
        );
        let findings = check(&text).findings;
        assert!(findings.len() >= 2);
        assert!(
            !listing(&findings).contains("12345"),
            "{}",
            listing(&findings)
        );
    }
}

#[test]
fn foreign_encodings_are_named() {
    let utf16: Vec<u8> = "version: 1"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let marked = [b"\xFF\xFE".as_slice(), &utf16].concat();
    for (bytes, encoding, byte) in [
        (utf16.as_slice(), "UTF-16", 1),
        (marked.as_slice(), "UTF-16", 0),
        (b"\xFE\xFF\0v\0e".as_slice(), "UTF-16", 0),
        (b"\0\0\xFE\xFF\0\0\0v".as_slice(), "UTF-32", 0),
    ] {
        let findings = mainstay_manifest::check("m", bytes).findings;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].problem, Problem::Encoding { encoding, byte });
    }
}

#[test]
fn a_byte_order_mark_is_one_finding_among_the_others() {
    let findings = check("\u{FEFF}version: 1\nnmae: x\n").findings;
    insta::assert_snapshot!(listing(&findings));
}

#[test]
fn bytes_that_are_not_utf8_are_placed_and_the_rest_is_read() {
    let bytes = b"version: 1\nname: \xC3\xA9t\xE9\nnmae: x\n";
    let findings = mainstay_manifest::check("mainstay.yaml", bytes).findings;
    assert_eq!(findings[0].problem, Problem::NotUtf8 { byte: 20 });
    insta::assert_snapshot!(listing(&findings));
}

#[test]
fn control_characters_are_placed() {
    let findings = check("version: 1\nname: \"a\0b\"\nx: \u{7f}\n").findings;
    let expected = [(2, 9, 0, 19), (3, 4, 0x7f, 26)];
    let found = findings.iter().map(|finding| match finding.problem {
        Problem::ControlCharacter { code_point, byte } => {
            (finding.line, finding.column, code_point, byte)
        }
        _ => panic!("{finding}"),
    });
    assert!(found.eq(expected), "{}", listing(&findings));
}

#[test]
fn an_error_carries_all_findings() {
    use mainstay_contract::{Code, Coded};
    let error = check("version: 2\nx: 1\n").into_result().unwrap_err();
    assert_eq!(error.findings.len(), 2);
    let report = error.report();
    assert_eq!(report.code, Code::ManifestInvalid);
    assert_eq!(report.data["findings"][1]["problem"]["kind"], "unknown_key");
    assert_eq!(report.data["findings"][1]["line"], 2);
}
