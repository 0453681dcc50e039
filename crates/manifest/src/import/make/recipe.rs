//! The lines of a recipe as what a task runs.
//!
//! Make gives each line a shell of its own and stops at the first that fails. One script means the same
//! where lines are joined by `&&` and those that could touch others are put in brackets.

use crate::import::draft::Run;

/// Who reads recipes.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) program: String,
    pub(super) flags: Vec<String>,
    /// One shell reads all lines.
    pub(super) is_one: bool,
}

/// Words after which a line changes the shell that reads it, or does not end where it seems to.
const KEYWORDS: [&str; 30] = [
    ".", "alias", "break", "case", "cd", "continue", "eval", "exec", "exit", "export", "for", "if",
    "local", "popd", "pushd", "read", "readonly", "return", "set", "shift", "shopt", "source",
    "trap", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
];

/// What expanded lines run; `unless`: what they do not run for once it is there.
pub(super) fn run(lines: &[String], shell: &Shell, unless: Option<&str>) -> Run {
    let lines = lines.iter().flat_map(|line| split(line));
    let script = if shell.is_one {
        let mut lines = lines;
        let first = lines.next().map(|line| prefixed(&line).1.to_owned());
        first
            .into_iter()
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        let parts: Vec<_> = lines.filter_map(|line| part(&line)).collect();
        match parts.as_slice() {
            [(false, only)] => only.clone(),
            parts => {
                // A shell that stops at failures by itself ignores them before `&&`.
                let stops = |flag: &String| flag.starts_with('-') && flag.contains('e');
                let link = if shell.flags.iter().any(stops) {
                    "\n"
                } else {
                    " &&\n"
                };
                parts
                    .iter()
                    .map(|(is_ignored, text)| apart(*is_ignored, text))
                    .collect::<Vec<_>>()
                    .join(link)
            }
        }
    };
    if script.trim().is_empty() {
        return Run::Nothing;
    }
    let script = match unless {
        Some(name) if is_simple(&script) => format!("test -e {} || {script}", quoted(name)),
        Some(name) => format!("test -e {} || {{\n{script}\n}}", quoted(name)),
        None => script,
    };
    let is_usual = shell.program.rsplit('/').next() == Some("sh") && shell.flags == ["-c"];
    if is_usual {
        return Run::Shell(script);
    }
    let mut words = vec![shell.program.clone()];
    words.extend(shell.flags.iter().cloned());
    words.push(script);
    Run::Command(words)
}

/// A name as one word for the shell.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    match name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

/// Lines that come from one variable with several, continued ones kept together.
fn split(line: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in line.split('\n') {
        match lines.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.push('\n');
                last.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

/// Whether failure is ignored, and the line without make's marks.
fn prefixed(line: &str) -> (bool, &str) {
    let text = line.trim_start_matches(|c: char| c.is_whitespace() || "@-+".contains(c));
    let is_ignored = line[..line.len() - text.len()].contains('-');
    (is_ignored, text.trim_end())
}

/// What the shell is to read of a line, and whether its failure is ignored.
fn part(line: &str) -> Option<(bool, String)> {
    let (is_ignored, text) = prefixed(line);
    let is_nothing = text.is_empty() || text.starts_with('#');
    (!is_nothing).then(|| (is_ignored, text.to_owned()))
}

/// The text so that it changes nothing for the lines after it.
fn apart(is_ignored: bool, text: &str) -> String {
    // What could hide a bracket ends with its line.
    let end = if text.contains(['#', '\\', '<']) {
        "\n"
    } else {
        ""
    };
    match (is_simple(text), is_ignored) {
        (true, false) => text.to_owned(),
        (true, true) => format!("({text} || true)"),
        (false, false) => format!("({text}{end})"),
        (false, true) => format!("{{ ({text}{end}) || true; }}"),
    }
}

/// Whether the line is one command that leaves the shell as it was.
fn is_simple(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_special = KEYWORDS.contains(&first) || first.contains('=') || first == "!";
    let is_group = text.starts_with(['(', '{']) || text.contains("()") || text.contains("<<");
    !is_special && !is_group && !text.contains([';', '&', '|', '#', '`', '\\', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(lines: &[&str], flags: &[&str], is_one: bool) -> String {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        let shell = Shell {
            program: "/bin/sh".to_owned(),
            flags: owned(flags),
            is_one,
        };
        match run(&owned(lines), &shell, None) {
            Run::Nothing => String::new(),
            Run::Shell(script) => script,
            Run::Command(words) => words.join(" "),
        }
    }

    #[test]
    fn lines_stay_apart() {
        let usual = |lines: &[&str]| script(lines, &["-c"], false);
        assert_eq!(
            usual(&["@cc -c x.c", "-rm y", "# no"]),
            "cc -c x.c &&\n(rm y || true)"
        );
        assert_eq!(usual(&["cd a; make", "ls"]), "(cd a; make) &&\nls");
        assert_eq!(usual(&["-@a || b"]), "{ (a || b) || true; }");
        assert_eq!(usual(&["cd a; make # all"]), "cd a; make # all");
        assert_eq!(
            usual(&["cd a; make # all", "b"]),
            "(cd a; make # all\n) &&\nb"
        );
        assert_eq!(usual(&["cc ${CFLAGS} < x", "b"]), "cc ${CFLAGS} < x &&\nb");
        assert_eq!(usual(&["a \\\n b\n@c"]), "(a \\\n b\n) &&\nc");
        assert_eq!(usual(&["", "@", "#"]), "");
    }

    #[test]
    fn other_shells_are_named() {
        assert_eq!(script(&["a", "b"], &["-ec"], false), "/bin/sh -ec a\nb");
        assert_eq!(script(&["@cd x", "@ls"], &["-c"], true), "cd x\n@ls");
    }
}
