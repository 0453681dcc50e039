//! What a command that is held to its declarations sees and leaves.

use super::place::Place;
use mainstay_runtimes::observe::Mode;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, Instant};

fn place(inputs: &[&str], outputs: &[&str]) -> Place {
    Place::new(Mode::Enforce).declare(inputs, outputs)
}

#[test]
fn what_is_not_declared_is_hidden_and_told() {
    let place = place(&["src/one"], &["out"]);
    let (said, observed) = place.script(
        "find . -type f; cat src/two || true; test -e docs/three || true; test -e none || true; \
         test -e out || true; cat src/one",
    );
    assert_eq!(said, "./src/one\nsrc/one\n");
    assert_eq!(place.names(&observed.hidden), ["docs/three", "src/two"]);
    assert!(observed.undeclared_writes.is_empty());
}

#[test]
fn what_is_written_is_on_the_stage_only() {
    let place = place(&["src/one"], &["out"]);
    fs::write(place.path("out"), "as before\n").unwrap();
    let (_, observed) = place.script("cat src/one > out; mkdir made; echo x > made/stray");
    assert_eq!(
        fs::read_to_string(place.staged("out")).unwrap(),
        "src/one\n"
    );
    assert!(place.staged("made/stray").exists());
    // What the input was bound onto is gone.
    assert!(place.staged("src").exists() && !place.staged("src/one").exists());
    assert_eq!(
        fs::read_to_string(place.path("out")).unwrap(),
        "as before\n"
    );
    assert!(!place.path("made").exists());
    let undeclared = place.names(&observed.undeclared_writes);
    assert_eq!(undeclared, ["made", "made/stray"]);
    assert!(observed.hidden.is_empty());
}

#[test]
fn inputs_cannot_be_changed() {
    let place = place(&["src/one", "src/two"], &[]);
    let before = fs::metadata(place.path("src/one")).unwrap();
    let (said, observed) = place.script(
        "for act in 'echo x > src/one' 'echo x >> src/one' 'rm -f src/one' 'mv src/two other' \
         'chmod 777 src/one' 'touch src/one' 'truncate -s 0 src/one'; \
         do if (eval \"$act\") 2> /dev/null; then echo \"$act\"; fi; done; cat src/one",
    );
    assert_eq!(said, "src/one\n");
    let after = fs::metadata(place.path("src/one")).unwrap();
    let parts = |found: &fs::Metadata| (found.mode(), found.mtime_nsec(), found.ctime_nsec());
    assert_eq!(parts(&after), parts(&before));
    assert_eq!(
        fs::read_to_string(place.path("src/one")).unwrap(),
        "src/one\n"
    );
    let undeclared = place.names(&observed.undeclared_writes);
    assert_eq!(undeclared, ["other", "src/one", "src/two"]);
}

#[test]
fn an_input_that_is_an_output_is_changed_as_a_copy() {
    let place = place(&["src/one"], &["src/one"]);
    let before = fs::metadata(place.path("src/one")).unwrap();
    let (said, observed) = place.script("stat -c %Y src/one; echo more >> src/one");
    assert_eq!(said, format!("{}\n", before.mtime()));
    assert!(observed.undeclared_writes.is_empty());
    let staged = fs::read_to_string(place.staged("src/one")).unwrap();
    assert_eq!(staged, "src/one\nmore\n");
    assert_eq!(
        fs::read_to_string(place.path("src/one")).unwrap(),
        "src/one\n"
    );
}

#[test]
fn links_and_folders_are_inputs_too() {
    let place = place(&["near", "docs", "src/one", "lost", "gone"], &[]);
    symlink("src/one", place.path("near")).unwrap();
    symlink("src/two", place.path("lost")).unwrap();
    let (said, observed) = place.script("ls; ls docs; cat near; cat lost || readlink lost");
    assert_eq!(said, "docs\nlost\nnear\nsrc\nsrc/one\nsrc/two\n");
    assert_eq!(place.names(&observed.hidden), ["src/two"]);
}

#[test]
fn the_stage_may_lie_in_the_workspace() {
    let mut place = place(&["src/one"], &[]);
    place.spec.stage = Some(place.path(".own/stage"));
    fs::create_dir_all(place.path(".own/stage")).unwrap();
    let (said, _) = place.script("ls -A; cat src/one > made");
    assert_eq!(said, "src\n");
    assert_eq!(
        fs::read_to_string(place.staged("made")).unwrap(),
        "src/one\n"
    );
}

#[test]
fn it_begins_in_its_own_folder_though_that_is_not_declared() {
    let place = place(&[], &[]);
    let mut wrapper = place.wrapper();
    wrapper.current_dir(place.path("docs"));
    let output = wrapper
        .args(["sh", "-c", "/bin/pwd; ls -A"])
        .output()
        .unwrap();
    let expected = format!("{}\n", place.path("docs").display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn programs_are_inputs_as_well() {
    let place = place(&[], &[]);
    place.plain("cp /bin/true tool");
    let (_, observed) = place.run(&["./tool"]);
    assert_eq!(observed.spawn_error.unwrap().errno, 2);
    assert_eq!(place.names(&observed.hidden), ["tool"]);
    let place = place.declare(&["tool"], &[]);
    let (output, _) = place.run(&["./tool"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn ten_thousand_inputs_are_soon_in_place() {
    let mut place = place(&[], &[]);
    for number in 0..10_000 {
        let path = place.path(&format!("src/{number}"));
        fs::write(&path, "").unwrap();
        place.spec.inputs.push(path);
    }
    let started = Instant::now();
    let (said, _) = place.script("ls src | wc -l");
    assert_eq!(said, "10000\n");
    let took = started.elapsed();
    println!("10,000 inputs: {took:?}");
    // Far more than it takes, for machines that do something else beside.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
