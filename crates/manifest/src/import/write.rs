//! The text of manifests, in the style that a person would write.

use super::draft::{Draft, Project, Run, Task};
use crate::FILE_NAME;
use std::fmt::Write as _;

const WIDTH: usize = 100;

/// Each project's manifest, by path.
pub(super) fn files(draft: &Draft) -> Vec<(String, String)> {
    let path = |project: &Project| match project.folder.as_str() {
        "" => FILE_NAME.to_owned(),
        folder => format!("{folder}/{FILE_NAME}"),
    };
    let text = |project: &Project| {
        let mut text = String::new();
        if project.folder.is_empty() {
            text.push_str("version: 1\n");
        }
        field(&mut text, "", "name", &scalar(&project.name));
        if project.folder.is_empty() {
            list(&mut text, "", "projects", &draft.projects);
            if let Some(jobs) = draft.jobs {
                field(&mut text, "", "concurrency", &format!("{{jobs: {jobs}}}"));
            }
        }
        body(&mut text, project);
        text
    };
    let members = draft.members.iter();
    members
        .map(|project| (path(project), text(project)))
        .collect()
}

fn body(text: &mut String, project: &Project) {
    some_list(text, "", "depends_on", &project.depends_on);
    if project.tasks.is_empty() {
        return;
    }
    text.push_str("\ntasks:\n");
    for each in &project.tasks {
        task(text, each);
    }
}

fn task(text: &mut String, task: &Task) {
    const INDENT: &str = "    ";
    let _ = writeln!(text, "  {}:", scalar(&task.name));
    match &task.run {
        Run::Nothing => list(text, INDENT, "command", &["true".to_owned()]),
        Run::Command(words) => list(text, INDENT, "command", words),
        Run::Shell(script) => shell(text, INDENT, script),
    }
    if let Some(inputs) = &task.inputs {
        list(text, INDENT, "inputs", inputs);
    }
    some_list(text, INDENT, "outputs", &task.outputs);
    some_list(text, INDENT, "env", &Vec::from_iter(task.env.clone()));
    some_list(
        text,
        INDENT,
        "pass_env",
        &Vec::from_iter(task.pass_env.clone()),
    );
    some_list(text, INDENT, "after", &task.after);
    if task.is_uncached {
        field(text, INDENT, "cache", "false");
    }
    if task.is_persistent {
        field(text, INDENT, "persistent", "true");
    }
}

fn field(text: &mut String, indent: &str, key: &str, value: &str) {
    let _ = writeln!(text, "{indent}{key}: {value}");
}

fn some_list(text: &mut String, indent: &str, key: &str, items: &[String]) {
    if !items.is_empty() {
        list(text, indent, key, items);
    }
}

/// On one line where it fits.
fn list(text: &mut String, indent: &str, key: &str, items: &[String]) {
    let items: Vec<String> = items.iter().map(|item| scalar(item)).collect();
    let line = format!("{indent}{key}: [{}]", items.join(", "));
    if line.chars().count() <= WIDTH {
        text.push_str(&line);
        text.push('\n');
        return;
    }
    let _ = writeln!(text, "{indent}{key}:");
    for item in items {
        let _ = writeln!(text, "{indent}  - {item}");
    }
}

/// A script: as a block where that shows it unchanged.
fn shell(text: &mut String, indent: &str, script: &str) {
    let is_plain = |c: char| c == '\n' || c == '\t' || is_printable(c);
    let starts_well = script.starts_with(|c: char| !c.is_whitespace());
    let ends_well = !script.ends_with(char::is_whitespace);
    if !script.contains('\n') || !starts_well || !ends_well || !script.chars().all(is_plain) {
        return field(text, indent, "shell", &quoted(script));
    }
    let _ = writeln!(text, "{indent}shell: |-");
    for line in script.split('\n') {
        let gap = if line.is_empty() { "" } else { "  " };
        let indent = if line.is_empty() { "" } else { indent };
        let _ = writeln!(text, "{indent}{gap}{line}");
    }
}

/// A text, in quotes where something else could be read in it.
fn scalar(text: &str) -> String {
    let is_start = |c: char| c.is_ascii_alphabetic() || "_/.$".contains(c);
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "_/.$*+-=@^~".contains(c);
    let is_plain = text.starts_with(is_start) && text.chars().all(is_inside);
    if is_plain && !is_other_value(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Whether some reader of YAML takes the word for a boolean, nothing or a number.
fn is_other_value(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let words = [
        "true", "false", "yes", "no", "on", "off", "y", "n", "null", ".inf", ".nan",
    ];
    let is_number = word.starts_with('.') && word[1..].starts_with(|c: char| c.is_ascii_digit());
    words.contains(&lower.as_str()) || is_number
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            good if is_printable(good) => quoted.push(good),
            other => {
                let code = u32::from(other);
                let _ = match code {
                    0..=0xFF => write!(quoted, "\\x{code:02x}"),
                    0x100..=0xFFFF => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether YAML shows the character as it is, on one line.
fn is_printable(character: char) -> bool {
    let is_line_end = matches!(character, '\u{2028}' | '\u{2029}');
    let is_allowed = matches!(
        character,
        ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}'
    );
    is_allowed && !is_line_end && character != '\u{FEFF}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_be_misread_is_quoted() {
        for plain in [
            "npm",
            "src/**",
            "/tsconfig.json",
            ".next/**",
            "NODE_ENV",
            "a-b.o",
            ".",
        ] {
            assert_eq!(scalar(plain), plain);
        }
        for (text, written) in [
            ("^build", "\"^build\""),
            ("lib:build", "\"lib:build\""),
            ("!dist/**", "\"!dist/**\""),
            ("**", "\"**\""),
            ("true", "\"true\""),
            ("8", "\"8\""),
            (".5", "\".5\""),
            ("a b", "\"a b\""),
            ("é\u{7}\u{2028}", "\"é\\x07\\u2028\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }
}
