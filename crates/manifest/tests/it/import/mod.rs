//! Set-ups of other task runners, and what becomes of them.

mod any;
mod make;
mod npm;
mod turbo;

use mainstay_manifest::import::{ImportError, Imported, Runner, Workspace, import};

/// A workspace of these files; an empty text is a file of which only the name matters.
fn workspace(files: &[(&str, &str)]) -> Workspace {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    Workspace {
        name: "shop".to_owned(),
        files: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        texts: files
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(owned)
            .collect(),
    }
}

fn run(runner: Runner, files: &[(&str, &str)]) -> Result<Imported, ImportError> {
    let imported = import(runner, &workspace(files))?;
    for (path, text) in &imported.files {
        assert_sound(path, text);
    }
    Ok(imported)
}

/// What was written is a manifest without findings.
fn assert_sound(path: &str, text: &str) {
    let findings = match path {
        "mainstay.yaml" => mainstay_manifest::check(path, text.as_bytes()).findings,
        _ => mainstay_manifest::check_project(path, text.as_bytes()).findings,
    };
    let found = findings.iter().map(|finding| format!("{finding}\n"));
    assert!(findings.is_empty(), "{}{text}", found.collect::<String>());
}

/// Manifests and notes as a person would look at them.
fn shown(runner: Runner, files: &[(&str, &str)]) -> String {
    let imported = run(runner, files).unwrap();
    let mut shown = String::new();
    for (path, text) in &imported.files {
        shown += &format!("==> {path}\n{text}\n");
    }
    shown += "==> notes\n";
    for note in &imported.notes {
        shown += &format!("{note}\n");
    }
    shown
}
