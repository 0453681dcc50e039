//! Random work in a view, with crashes, against the same work in a plain copy.

use super::child::{Step, as_ordinary_user, inside};
use super::random::Random;
use super::{Bench, is_root};
use mainstay_runtimes::sandbox::WorkspaceMount;
use mainstay_runtimes::workspace::{View, WorkspaceError, apply, diff};
use mainstay_sessions::WorkspaceMode;
use std::path::{Path, PathBuf};

const ROUNDS: usize = 4;

/// Mounts the view somewhere else than over its folder, so that both can be seen.
fn merged(bench: &Bench, view: &View) -> (Option<WorkspaceMount>, PathBuf) {
    match view.mount() {
        WorkspaceMount::Overlay {
            lower, upper, work, ..
        } => {
            let at = bench.path("merged");
            std::fs::create_dir_all(&at).unwrap();
            let mount = WorkspaceMount::Overlay {
                lower,
                upper,
                work,
                at: at.clone(),
            };
            (Some(mount), at)
        }
        WorkspaceMount::Bind { source, .. } => (None, source),
    }
}

fn copy(from: &Path, to: &Path) {
    // As the owner, for files without permissions.
    let script = format!("cp -a '{}' '{}'", from.display(), to.display());
    inside(
        None,
        vec![Step::Script {
            script,
            root: PathBuf::from("/"),
        }],
    );
}

fn same(left: &Path, right: &Path, is_mounted: bool) -> Step {
    Step::Compare {
        left: left.to_owned(),
        right: right.to_owned(),
        is_mounted,
    }
}

fn random_work(seed: u64, mode: WorkspaceMode) {
    let bench = Bench::new(mode);
    let random = &mut Random(seed);
    let begin = Step::Change {
        seed: seed ^ 0xb35e,
        count: 60,
        roots: vec![bench.folder().to_owned()],
    };
    // A view cannot know what its folder hides from everybody.
    let open = Step::Script {
        script: "chmod -R u+rwX .".to_owned(),
        root: bench.folder().to_owned(),
    };
    inside(None, vec![begin, open]);
    unlink_twins(bench.folder());
    let (reference, elsewhere) = (bench.path("reference"), bench.path("elsewhere"));
    copy(bench.folder(), &reference);
    copy(bench.folder(), &elsewhere);
    let mut view = bench.create();
    for round in 0..ROUNDS {
        let (mount, at) = merged(&bench, &view);
        let work = |seed, roots: &[&PathBuf]| Step::Change {
            seed,
            count: 25,
            roots: roots.iter().map(|root| (*root).clone()).collect(),
        };
        let seed = seed * 100 + round as u64;
        let steps = vec![work(seed, &[&at, &reference]), same(&at, &reference, true)];
        inside(mount.clone(), steps);
        bench.commit(&mut view);
        match random.below(4) {
            0 => {
                inside(mount, vec![work(seed ^ 0xdead, &[&at])]);
                view.rollback(&bench.store).unwrap();
            }
            1 => {
                inside(mount, vec![work(seed ^ 0xdead, &[&at])]);
                view = bench.restore(view);
            }
            2 => view = bench.restore(view),
            _ => {}
        }
        let (mount, at) = merged(&bench, &view);
        inside(mount, vec![same(&at, &reference, true)]);
        assert_eq!(
            bench.commit(&mut view),
            None,
            "nothing changed, seed {seed}"
        );
    }
    let state = view.state();
    diff(&bench.params, state, &bench.store).unwrap();
    apply(&bench.params, state, &elsewhere, &bench.store).unwrap();
    // As if the process died in the middle.
    bench.store.fails_after.set(Some(random.below(6)));
    let died = apply(&bench.params, state, bench.folder(), &bench.store);
    bench.store.fails_after.set(None);
    if let Err(error) = died {
        assert!(matches!(error, WorkspaceError::Store(_)), "{error}");
        apply(&bench.params, state, bench.folder(), &bench.store).unwrap();
    }
    let steps = vec![
        same(bench.folder(), &reference, false),
        same(&elsewhere, &reference, false),
    ];
    inside(None, steps);
    let again = apply(&bench.params, state, bench.folder(), &bench.store).unwrap();
    assert_eq!(again.changed, Vec::<String>::new());
}

/// An overlay parts the names of one file when it is written to, so the folder begins without such.
fn unlink_twins(folder: &Path) {
    let find = "find . -type f -links +1 -print0 | while IFS= read -r -d '' f; do cp -a -- \"$f\" ./.twin && mv -f -- ./.twin \"$f\"; done";
    let script = format!("bash -c '{}'", find.replace('\'', "'\\''"));
    inside(
        None,
        vec![Step::Script {
            script,
            root: folder.to_owned(),
        }],
    );
}

#[test]
fn random_work_in_an_overlay_survives_crashes_and_comes_home() {
    for seed in 1..=12 {
        random_work(seed, WorkspaceMode::Overlay);
    }
}

#[test]
fn random_work_in_a_copy_survives_crashes_and_comes_home() {
    for seed in 1..=6 {
        random_work(seed, WorkspaceMode::Copy);
    }
}

#[test]
fn an_ordinary_user_has_the_same() {
    if is_root() {
        as_ordinary_user(
            "workspace::model::random_work_in_an_overlay_survives_crashes_and_comes_home",
        );
        as_ordinary_user("workspace::model::random_work_in_a_copy_survives_crashes_and_comes_home");
    }
}

/// More of the same, for a seed range: `SEEDS=1000..1200`.
#[test]
#[ignore = "as long as it is told to"]
fn random_work_for_long() {
    let seeds = std::env::var("SEEDS").unwrap_or_default();
    let Some((first, end)) = seeds.split_once("..") else {
        return;
    };
    for seed in first.parse::<u64>().unwrap()..end.parse().unwrap() {
        random_work(seed, WorkspaceMode::Overlay);
        random_work(seed, WorkspaceMode::Copy);
    }
}
