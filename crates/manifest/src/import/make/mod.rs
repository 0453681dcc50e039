//! Makefiles of GNU make.
//!
//! A makefile is read with its variables and conditions as make would read it in an empty environment.
//! Rules for files become tasks with inputs and outputs, phony targets tasks that are never cached.
//! Pattern rules, and the two built-in ones for objects, are applied to what the file itself names.
//! What only running a program could tell stays in the shell's text or is noted.

mod evidence;
mod expand;
mod functions;
mod lines;
mod plan;
mod read;
mod recipe;
mod rule;
mod syntax;
mod task;

use super::draft::{Draft, Project};
use super::name::{Names, mapped};
use super::notes::Notes;
use super::{ImportError, Workspace};
use plan::Plan;
use rule::Makefile;

/// The names that the file may have, in the order of make.
pub(super) const FILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// Carries a makefile over.
pub(super) fn draft(workspace: &Workspace, notes: &mut Notes) -> Result<Draft, ImportError> {
    let found = FILES
        .iter()
        .find_map(|&file| Some((file, workspace.texts.get(file)?)));
    let (file, text) = found.ok_or(ImportError::Missing { file: "Makefile" })?;
    let makefile = read::read(file, text, workspace, notes);
    let plan = Plan::new(&makefile, &workspace.files, notes);
    check(&makefile)?;
    let names = Names::new(plan.nodes.iter().map(|node| node.target.as_str()));
    let drafter = task::Drafter::new(&makefile, &plan, &names);
    let tasks = plan
        .nodes
        .iter()
        .map(|node| drafter.task(node, notes))
        .collect();
    check(&makefile)?;
    let name = mapped(&workspace.name);
    let members = vec![Project {
        name,
        tasks,
        ..Project::default()
    }];
    Ok(Draft {
        projects: vec![".".to_owned()],
        jobs: None,
        members,
    })
}

/// Ends what would not end within reason.
fn check(makefile: &Makefile<'_>) -> Result<(), ImportError> {
    if !makefile.variables.is_spent() {
        return Ok(());
    }
    Err(ImportError::TooLarge {
        file: makefile.file.clone(),
        bytes_max: expand::BYTES_MAX,
    })
}
