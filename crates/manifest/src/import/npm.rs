//! The scripts of `package.json`: each becomes a task.
//!
//! Scripts say neither what they read nor what they write, so none is cached.

use super::draft::{Draft, Project, Run, Task, always_passed};
use super::notes::Notes;
use super::packages::{Package, Packages, Script};
use super::{ImportError, Workspace};

/// Carries the scripts of all packages over.
pub(super) fn draft(workspace: &Workspace, notes: &mut Notes) -> Result<Draft, ImportError> {
    let packages = Packages::read(workspace, notes)?;
    let project = |package: &Package| {
        let scripts = package.scripts.iter();
        let own = scripts.filter(|script| !is_hook(package, script, &packages, notes));
        let tasks: Vec<Task> = own.map(|script| task(script, &packages)).collect();
        tell(package, &tasks, &packages, notes);
        Project {
            folder: package.folder.clone(),
            name: package.project.clone(),
            depends_on: packages.used_projects(package),
            tasks,
        }
    };
    let members = packages.list.iter().map(project).collect();
    Ok(Draft {
        projects: packages.projects.clone(),
        jobs: None,
        members,
    })
}

fn task(script: &Script, packages: &Packages) -> Task {
    Task {
        name: packages.tasks.get(&script.name),
        run: Run::Command(packages.manager.command(&script.name)),
        pass_env: always_passed(),
        is_uncached: true,
        ..Task::default()
    }
}

/// Whether the package manager runs the script around another one by itself.
fn is_hook(package: &Package, script: &Script, packages: &Packages, notes: &mut Notes) -> bool {
    let program = packages.manager.program();
    for (prefix, when) in [("pre", "before"), ("post", "after")] {
        let Some(around) = script.name.strip_prefix(prefix) else {
            continue;
        };
        if package.script(around).is_none() {
            continue;
        }
        let is_hook = packages.manager.runs_hooks();
        let why = if is_hook {
            format!("no task of its own: `{program} run {around}` runs it {when} `{around}`")
        } else {
            format!("a task of its own: this {program} does not run it {when} `{around}`")
        };
        notes.add(&package.file, script.line, script.name.as_str(), why);
        return is_hook;
    }
    false
}

/// What holds for all scripts of a package.
fn tell(package: &Package, tasks: &[Task], packages: &Packages, notes: &mut Notes) {
    let Some(first) = tasks.first() else { return };
    let (file, line) = (&package.file, None);
    let why = format!(
        "they name neither inputs nor outputs, so their tasks have `cache: false`; give `{}` its \
         `inputs` and `outputs` and take `cache: false` away to have it cached",
        first.name
    );
    notes.add(file, line, "scripts", why);
    if package.folder.is_empty() {
        let passed = super::draft::ALWAYS_PASSED.join(", ");
        let why = format!(
            "{} hands every variable to a script; tasks are given {passed}: name others under \
             `pass_env`, or under `env` where the result depends on them",
            packages.manager.program()
        );
        notes.add(file, line, "environment", why);
    }
    for script in &package.scripts {
        let name = packages.tasks.get(&script.name);
        if name != script.name {
            let why = format!("the task is called `{name}`");
            notes.add(file, script.line, script.name.as_str(), why);
        }
    }
}
