//! Whatever the files say: no panic, and what is written is YAML.

use super::run;
use mainstay_manifest::import::Runner;
use proptest::prelude::*;

const TURBO: &str = r#"{"tasks": {"build": {"dependsOn": ["^build", "a#test", "$X"], "inputs": ["$TURBO_DEFAULT$", "!x"], "outputs": ["dist/**"], "env": ["A*"]}, "//#test": {"cache": false}}}"#;
const PACKAGE: &str = r#"{"name": "@a/b", "workspaces": ["p/*"], "scripts": {"build": "x", "test": "y", "pretest": "z"}, "dependencies": {"a": "*"}}"#;
const MAKE: &str = "CC ?= cc\nOBJ := $(patsubst %.c,build/%.o,$(wildcard *.c))\nifeq ($(OS),x)\nA = $(subst a,b,$(A))\nelse\nendif\n\nall: app | dir\n.PHONY: all\napp: $(OBJ) ; $(CC) -o $@ $^ \\\n\t-lm\nbuild/%.o: %.c\n\t@$(CC) -c $< -o $@ $$HOME ${CFLAGS:.c=.o}\n\t-rm $(@D)\ndefine f\n$(1) x\nendef\nx:: A = $(call f,$(foreach i,a b,$(i)))\nx:: y\n";

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
