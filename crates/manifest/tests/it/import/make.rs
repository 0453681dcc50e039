//! Makefiles.

use super::{run, shown};
use mainstay_manifest::import::{ImportError, Runner};

#[test]
fn a_program_in_c() {
    let shown = shown(
        Runner::Make,
        &[
            (
                "Makefile",
                "# A small program.\n\
CC ?= gcc\n\
CFLAGS += -O2 -Wall\n\
BUILD := build\n\
SRC := $(wildcard src/*.c)\n\
OBJ := $(SRC:src/%.c=$(BUILD)/%.o)\n\
VERSION := $(shell git describe --tags)\n\
PREFIX ?= /usr/local\n\
\n\
.PHONY: all clean test install debug\n\
all: $(BUILD)/app\n\
\n\
$(BUILD)/app: $(OBJ)\n\
\t$(CC) $(LDFLAGS) -o $@ $^ -lm\n\
\n\
$(BUILD)/%.o: src/%.c | $(BUILD)\n\
\t@echo \"CC $<\"\n\
\t@$(CC) $(CFLAGS) -MMD -DVERSION='\"$(VERSION)\"' -c -o $@ $<\n\
\n\
$(BUILD):\n\
\tmkdir -p $@\n\
\n\
test: all tests/run.sh\n\
\tcd tests && ./run.sh ../$(BUILD)/app; \\\n\
\t  echo \"status $$?\"\n\
\n\
debug: CFLAGS += -g\n\
debug: all\n\
\n\
install: all\n\
\tinstall -m 755 $(BUILD)/app $(DESTDIR)$(PREFIX)/bin\n\
\n\
clean:\n\
\t-rm -rf $(BUILD)\n\
\n\
-include $(OBJ:.o=.d)\n",
            ),
            ("src/main.c", ""),
            ("src/parse.c", ""),
            ("src/parse.h", ""),
            ("tests/run.sh", ""),
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn what_make_can_do_besides() {
    let shown = shown(
        Runner::Make,
        &[
            (
                "Makefile",
                "SHELL := /bin/bash\n\
.SHELLFLAGS := -eu -o pipefail -c\n\
include config.mk missing.mk\n\
export GOFLAGS := -mod=vendor\n\
export TOKEN\n\
.DELETE_ON_ERROR:\n\
VPATH = src\n\
ifeq ($(shell uname),Darwin)\n\
EXT = dylib\n\
else ifdef DEBUG\n\
EXT = dbg\n\
else\n\
EXT = so\n\
endif\n\
upper = $(subst a,A,$(1))\n\
define recipe\n\
@echo one\n\
@echo $(call upper,banana)\n\
endef\n\
$(eval $(call generate,x))\n\
help: ; @grep -h '##' $(MAKEFILE_LIST)\n\
lib.$(EXT): a.o sub/b.o\n\
\t$(recipe)\n\
parser.c parser.h &: parser.y\n\
\tbison -d $<\n\
objects = x.o y.o\n\
$(objects): %.o: %.c common.h\n\
\tcc -c $< -o $@\n\
log:: a.txt\n\
\tcat a.txt\n\
log:: b.txt\n\
\tcat b.txt\n\
/etc/app.conf: app.conf\n\
\tcp $< $@\n\
sub:\n\
\t$(MAKE) -C sub\n\
.PHONY: help sub lint/all ghost\n\
lint/all: $(wildcard *.y)\n\
%.pdf: %.tex\n\
\tlatex $<\n\
what is this\n",
            ),
            ("config.mk", "NAME = demo\n$(info hello)\n"),
            ("a.c", ""),
            ("sub/b.cpp", ""),
            ("x.c", ""),
            ("y.c", ""),
            ("common.h", ""),
            ("parser.y", ""),
            ("a.txt", ""),
            ("app.conf", ""),
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn names_with_spaces_and_rules_of_several_kinds() {
    let shown = shown(
        Runner::Make,
        &[
            (
                "Makefile",
                "all: my\\ file.o a\\:b list[1] h\\#1 | out\\ dir\n\
.PHONY: all\n\
my\\ file.o: my\\ file.c *.txt\n\
\tcc -c '$<' -o '$@'\n\
out\\ dir a\\:b list[1] h\\#1:\n\
\ttouch '$@'\n\
log:: a.txt\n\
\techo $< > $@\n\
log:: b.txt c.txt | d\n\
\techo $^ >> $@\n\
always::\n\
\ttouch $@\n\
gen.h: spec\n\
gen.c gen.h &: grammar\n\
\tgenerate $<\n\
main: main.tab.c main.tab.h gen.h\n\
\tcc -o $@ $^\n\
%.tab.c %.tab.h: %.y\n\
\tbison $<\n\
early.o: early.h\n\
early.o: early.c\n\
\tcc -c $<\n\
stamp: FORCE\n\
\tdate > $@\n\
FORCE:\n\
both := a.txt | b.txt\n\
ordered: $(both) .WAIT c.txt\n\
\tcat $^ > $@\n\
include config.make\n\
unknown: a.txt $(shell ls)\n\
\tcat $^ > $@\n\
.RECIPEPREFIX = >\n\
last: a.txt\n\
>cp $< $@\n",
            ),
            ("my file.c", ""),
            ("a.txt", ""),
            ("b b.txt", ""),
            ("c.txt", ""),
            ("grammar", ""),
            ("spec", ""),
            ("main.y", ""),
            ("early.c", ""),
            ("early.h", ""),
            ("config.make", ""),
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn functions_and_references_are_evaluated() {
    for (text, expanded) in [
        ("$(patsubst %.c,%.o,a.c b.h)", "a.o b.h"),
        ("$(A:.c=.o)", "x.o y.o"),
        ("$(filter-out x%,$(A))", "y.c"),
        ("$(sort b a b)", "a b"),
        ("$(addprefix d/,$(notdir p/q r))", "d/q d/r"),
        ("$(dir a/b c)", "a/ ./"),
        ("$(basename a.b/c.d e)", "a.b/c e"),
        ("$(suffix a.b/c.d e)", ".d"),
        ("$(if $(B),yes,no) $(or ,$(A),z)", "no x.c y.c"),
        ("$(foreach i,1 2,<$(i)>)", "<1> <2>"),
        ("$(call F,p,q)", "q-p"),
        (
            "$(words $(A)) $(word 2,$(A)) $(wordlist 1,1,$(A))",
            "2 y.c x.c",
        ),
        ("$(join a b,1 2 3)", "a1 b2 3"),
        ("$(wildcard *.txt)", "one.txt two.txt"),
        (
            "$$HOME ${A} $(origin A) $(shell date)",
            "$HOME x.c y.c file $(date)",
        ),
        ("$(@D)|$(@F)|$<|$^", "out|t|in.txt|in.txt other"),
    ] {
        let makefile = format!(
            "A = x.c y.c\nB =\nF = $2-$1\nout/t: in.txt other\n\techo ${{empty}}{text}\nempty =\n"
        );
        let files = [
            ("Makefile", makefile.as_str()),
            ("one.txt", ""),
            ("two.txt", ""),
        ];
        let written = run(Runner::Make, &files).unwrap().files.remove(0).1;
        let wanted = format!("echo {expanded}");
        assert!(written.contains(&wanted), "{text}: {wanted}\n{written}");
    }
}

#[test]
fn variables_that_never_end_are_refused() {
    let mut bomb = "A0 = xxxxxxxxxx\n".to_owned();
    for number in 1..20 {
        let before = number - 1;
        bomb += &format!("A{number} = {}\n", format!("$(A{before})").repeat(10));
    }
    let files = [("Makefile", format!("{bomb}all: $(A19)\n"))];
    let error = run(Runner::Make, &[(files[0].0, &files[0].1)]).unwrap_err();
    assert!(matches!(error, ImportError::TooLarge { .. }), "{error}");
    let looped = run(
        Runner::Make,
        &[("Makefile", "A = $(B)\nB = $(A)\nall:\n\techo $(A)\n")],
    );
    assert!(
        looped
            .unwrap()
            .notes
            .iter()
            .any(|note| note.why.contains("does not evaluate"))
    );
}

#[test]
fn a_makefile_is_needed() {
    assert_eq!(
        run(Runner::Make, &[]),
        Err(ImportError::Missing { file: "Makefile" })
    );
}
