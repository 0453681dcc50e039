//! Whatever the files say: no panic, and what is written is a manifest without findings.

use super::run;
use mainstay_manifest::import::Runner;
use proptest::prelude::*;

const TURBO: &str = r#"{"tasks": {"build": {"dependsOn": ["^build", "a#test", "$X"], "inputs": ["$TURBO_DEFAULT$", "!x"], "outputs": ["dist/**"], "env": ["A*"]}, "//#test": {"cache": false}}}"#;
const PACKAGE: &str = r#"{"name": "@a/b", "workspaces": ["p/*"], "scripts": {"build": "x", "test": "y", "pretest": "z"}, "dependencies": {"a": "*"}}"#;
const MAKE: &str = "CC ?= cc\nOBJ := $(patsubst %.c,build/%.o,$(wildcard *.c))\nifeq ($(OS),x)\nA = $(subst a,b,$(A))\nelse\nendif\n\nall: app | dir\n.PHONY: all\napp: $(OBJ) ; $(CC) -o $@ $^ \\\n\t-lm\nbuild/%.o: %.c\n\t@$(CC) -c $< -o $@ $$HOME ${CFLAGS:.c=.o}\n\t-rm $(@D)\ndefine f\n$(1) x\nendef\nx:: A = $(call f,$(foreach i,a b,$(i)))\nx:: y\n\ttouch $@\nx\\ y z &: a.c | .\n\tcp $< '$@'\n%.u %.v: %.c ; cat $<\nw: a.u a.v FORCE\n\techo $*\nFORCE:\n";

fn mutated(text: &str, cuts: &[(prop::sample::Index, prop::sample::Index, String)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (at, length, insert) in cuts {
        let at = at.index(characters.len().max(1)).min(characters.len());
        let end = (at + length.index(12)).min(characters.len());
        characters.splice(at..end, insert.chars());
    }
    characters.into_iter().collect()
}

fn cuts() -> impl Strategy<Value = Vec<(prop::sample::Index, prop::sample::Index, String)>> {
    let insert = "[-\\[\\]{}()?:,&*!|>'\"%#$@=;^<+\n\t\\\\ ~a-z0-9é\u{0}\u{7}\u{85}\u{2028}]{0,4}";
    prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            insert,
        ),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_harmless(text in "\\PC{0,200}|[-\\[\\]{}():,*!\"%#$@=;^<\n\t\\\\ a-c]{0,200}") {
        let _ = run(Runner::Make, &[("Makefile", &text), ("a.c", "")]);
        let _ = run(Runner::Npm, &[("package.json", &text)]);
        let _ = run(Runner::Turbo, &[("package.json", PACKAGE), ("turbo.json", &text)]);
    }

    #[test]
    fn mutated_json_is_harmless(cuts in cuts()) {
        let package = mutated(PACKAGE, &cuts);
        let _ = run(Runner::Npm, &[("package.json", &package), ("p/c/package.json", PACKAGE)]);
        let turbo = mutated(TURBO, &cuts);
        let _ = run(Runner::Turbo, &[
            ("package.json", PACKAGE),
            ("turbo.json", &turbo),
            ("p/c/package.json", PACKAGE),
            ("p/a/package.json", r#"{"name": "a", "scripts": {"test": "1"}}"#),
        ]);
    }

    #[test]
    fn mutated_makefiles_are_harmless(cuts in cuts()) {
        let _ = run(Runner::Make, &[("Makefile", &mutated(MAKE, &cuts)), ("a.c", ""), ("x.h", "")]);
    }
}

#[test]
fn large_makefiles_take_bounded_time() {
    let many = |unit: &str| unit.repeat(300_000 / unit.len());
    let lines = |make: &dyn Fn(usize) -> String| (0..10_000).map(make).collect::<String>();
    for (what, text) in [
        ("references", many("$(")),
        ("a long list", format!("A = {}\nall: $(A)\n", many("x "))),
        (
            "every target needs every file",
            format!(
                "{}: {}\n\ttrue\n",
                lines(&|n| format!("t{n} ")),
                lines(&|n| format!("f{n} "))
            ),
        ),
        (
            "targets",
            lines(&|n| format!("t{n}: t{}\n\ttouch $@\n", n + 1)),
        ),
        (
            "patterns",
            lines(&|n| format!("%.{n}: %.{}\n\ttrue\nall: x.{n}\n", n + 1)),
        ),
        ("conditions", many("ifdef A\n")),
        ("joined lines", many("\\\n")),
    ] {
        let start = std::time::Instant::now();
        let _ = run(Runner::Make, &[("Makefile", &text), ("a.c", "")]);
        println!("{what}: {:?}", start.elapsed());
        assert!(
            start.elapsed() < std::time::Duration::from_secs(10),
            "{what}"
        );
    }
}
