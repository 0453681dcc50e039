//! Whatever the bytes: no panic, no endless work, places inside the file, and a manifest exactly when
//! nothing was found.

use mainstay_manifest::{BYTES_MAX, Problem};
use proptest::prelude::*;
use std::time::Duration;

const FULL: &str = include_str!("../manifests/full.yaml");
const INFERENCE: &str = include_str!("../manifests/inference.yaml");

fn hold(bytes: &[u8]) -> usize {
    let checked = mainstay_manifest::check("mainstay.yaml", bytes);
    assert_eq!(checked.manifest.is_some(), checked.findings.is_empty());
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split(['\n', '\r']).count() + 1;
    for finding in &checked.findings {
        assert!(
            finding.line >= 1 && finding.line as usize <= lines,
            "{finding}"
        );
        assert!(finding.column >= 1, "{finding}");
        assert!(finding.to_string().len() < 5000, "{finding}");
    }
    checked.findings.len()
}

/// Of the processor, which a busy machine does not change much: far above what is needed, far below what a flaw
/// would take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A quarter of the most allowed: enough to tell linear from quadratic.
const LARGE: usize = BYTES_MAX / 4;

/// What this thread has worked so far.
fn processor_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)
        .try_into()
        .unwrap()
}

fn hold_quickly(what: &str, bytes: &[u8]) -> usize {
    let start = processor_time();
    let count = hold(bytes);
    let took = processor_time() - start;
    println!("{what}: {took:?}, {count} findings");
    assert!(took < PATIENCE, "{what} took {took:?}");
    count
}

/// Models of which each falls back to the next, and to the first.
fn fallbacks() -> String {
    let model = |n: usize| {
        let next = n + 1;
        format!("  m{n}: {{provider: script, file: x, fallback: [m{next}, m0]}}\n")
    };
    let models: String = (0..20_000).map(model).collect();
    format!("version: 1\nmodels:\n{models}  m20000: {{provider: script, file: x}}\n")
}

/// A pool of many models, and many agents with a budget for it.
fn pools() -> String {
    let models = (0..20_000).map(|n| format!("  m{n}: {{provider: script, file: x}}\n"));
    let names: Vec<String> = (0..20_000).map(|n| format!("m{n}")).collect();
    let agents = (0..20_000).map(|n| format!("  a{n}: {{model: p, budget: {{usd: 1}}}}\n"));
    format!(
        "version: 1\nmodels:\n  p: {{pool: [{}]}}\n{}agents:\n{}",
        names.join(", "),
        models.collect::<String>(),
        agents.collect::<String>()
    )
}

fn filled(unit: &str) -> String {
    unit.repeat(LARGE / unit.len())
}

#[test]
fn a_huge_file_is_refused_unread() {
    let bytes = vec![b'['; 100_000_000];
    let start = processor_time();
    let findings = mainstay_manifest::check("m", &bytes).findings;
    assert!(processor_time() - start < Duration::from_secs(1));
    assert!(matches!(
        findings[0].problem,
        Problem::TooLarge {
            bytes: 100_000_000,
            ..
        }
    ));
}

#[test]
fn deep_nesting_is_refused() {
    for unit in ["[", "{a: ", "- ", "? ", "{? ", "[{a: ["] {
        let text = unit.repeat(100_000);
        let findings = mainstay_manifest::check("m", text.as_bytes()).findings;
        let is_named = findings
            .iter()
            .any(|finding| matches!(finding.problem, Problem::TooDeep { .. } | Problem::Syntax));
        assert!(is_named, "{unit}: {findings:?}");
        hold_quickly(unit, text.as_bytes());
    }
}

#[test]
fn large_files_take_bounded_time() {
    let names: String = (0..50_000).map(|n| format!("k{n}: 1\n")).collect();
    let models: String = (0..20_000)
        .map(|n| format!("  m{n}: {{provider: script, file: x}}\n"))
        .collect();
    let agents: String = (0..20_000)
        .map(|n| format!("  a{n}: {{model: x{n}}}\n"))
        .collect();
    for (what, text) in [
        ("one word", filled("a")),
        ("one line of words", filled("a ")),
        ("lines of words", filled("a\n")),
        ("colons", filled(": ")),
        ("many colons", filled(":")),
        ("duplicates", filled("a: 1\n")),
        ("a wide list", filled("- x\n")),
        ("a flow list", format!("tools: [{}", filled("a,"))),
        ("a flow map", format!("x: {{{}", filled("a,"))),
        ("quotes", filled("\"")),
        (
            "a quoted text",
            format!("name: \"{}\"", &filled("a\n")[20..]),
        ),
        ("escapes", format!("name: \"{}\"", &filled("\\n")[20..])),
        ("comments", filled("#\n")),
        ("question marks", filled("?\n")),
        ("tabs", filled("\t")),
        ("blank lines", filled("\n")),
        ("line feeds and spaces", filled(" \n")),
        ("anchors", filled("&a ")),
        ("tags", filled("! ")),
        ("percent", filled("%\n")),
        (
            "block scalar",
            format!("name: |\n{}", &filled(" a\n")[20..]),
        ),
        ("indent", format!("a:{}", &filled(" ")[20..])),
        ("documents", filled("---\n")),
        ("unknown keys", names),
        (
            "unknown references",
            format!("version: 1\nmodels:\n{models}agents:\n{agents}"),
        ),
        ("a long way of fallbacks", fallbacks()),
        ("a wide pool", pools()),
        ("NUL", filled("\0")),
    ] {
        let text = &text[..text.len().min(LARGE)];
        hold_quickly(what, text.as_bytes());
    }
}

#[test]
fn endless_findings_are_counted() {
    let names: String = (0..5000).map(|n| format!("k{n}: 1\n")).collect();
    let findings = mainstay_manifest::check("m", names.as_bytes()).findings;
    assert_eq!(findings.len(), 1001);
    // 5000 unknown keys and one missing `version`.
    let last = &findings[1000].problem;
    assert_eq!(last, &Problem::TooManyFindings { hidden: 4001 });
}

#[test]
fn every_beginning_of_a_manifest_is_harmless() {
    for text in [FULL, INFERENCE] {
        for end in 0..text.len() {
            hold(&text.as_bytes()[..end]);
        }
    }
}

#[test]
fn every_single_byte_change_is_harmless() {
    let all = b"\0\t\n \"[{}:*-\xFF".as_slice();
    for (text, others) in [(FULL, all), (INFERENCE, b"\n{:".as_slice())] {
        let mut bytes = text.as_bytes().to_vec();
        for index in 0..bytes.len() {
            let kept = bytes[index];
            for &byte in others {
                bytes[index] = byte;
                hold(&bytes);
            }
            bytes[index] = kept;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        hold(&bytes);
    }

    #[test]
    fn random_yaml_is_harmless(text in "([-\\[\\]{}?:,&*!|>'\"%@`#\n\r\t ~a-z0-9.é]|- |: |\\? |\n  |models|agents|version: 1\n){0,80}") {
        hold(text.as_bytes());
    }

    #[test]
    fn mutated_manifests_are_harmless(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[-\\[\\]{}?:,&*!|>'\"%#\n\t ~a-z0-9é\u{0}]{0,4}"), 1..6)
    ) {
        let mut characters: Vec<char> = FULL.chars().collect();
        for (at, length, insert) in cuts {
            let at = at.index(characters.len());
            let end = (at + length.index(12)).min(characters.len());
            characters.splice(at..end, insert.chars());
        }
        hold(characters.into_iter().collect::<String>().as_bytes());
    }
}
