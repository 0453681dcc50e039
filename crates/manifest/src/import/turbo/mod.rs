//! `turbo.json`, of version 1 (`pipeline`) and 2 (`tasks`), with the configurations of packages.
//!
//! Turbo makes a task of every script that it has a definition for. Where a package has no such script,
//! what waits for it waits for what it would have waited for, and depends on the package's files.

mod definition;
mod graph;
mod settings;
mod task;

use super::draft::{Draft, Project};
use super::notes::Notes;
use super::packages::Packages;
use super::{ImportError, Workspace, glob, json};
use definition::Definitions;
use graph::Graph;
use settings::Settings;

/// The names that the file may have.
pub(super) const FILES: [&str; 2] = ["turbo.json", "turbo.jsonc"];

/// Carries a turbo workspace over.
pub(super) fn draft(workspace: &Workspace, notes: &mut Notes) -> Result<Draft, ImportError> {
    let (file, text) = find(workspace, "").ok_or(ImportError::Missing { file: FILES[0] })?;
    let root = json::parse(&file, text, notes)?;
    let packages = Packages::read(workspace, notes)?;
    let settings = Settings::read(&file, &root, &packages, notes);
    let mut definitions = Definitions::of_root(&file, &root, notes);
    for (index, package) in packages.list.iter().enumerate().skip(1) {
        if let Some((file, text)) = find(workspace, &package.folder) {
            let node = json::parse(&file, text, notes)?;
            settings::tell_package(&file, &node, notes);
            definitions.add_package(index, &file, &node, notes);
        }
    }
    definitions.tell_unused(&packages, notes);
    let graph = Graph::new(&packages, &definitions);
    let mut members = Vec::new();
    for (index, package) in packages.list.iter().enumerate() {
        let drafter = task::Drafter {
            graph: &graph,
            settings: &settings,
            index,
        };
        let keys = graph.tasks(index);
        members.push(Project {
            folder: package.folder.clone(),
            name: package.project.clone(),
            depends_on: packages.used_projects(package),
            tasks: keys.iter().map(|&key| drafter.task(key, notes)).collect(),
        });
    }
    Ok(Draft {
        projects: packages.projects.clone(),
        jobs: settings.jobs,
        members,
    })
}

fn find<'w>(workspace: &'w Workspace, folder: &str) -> Option<(String, &'w String)> {
    FILES.iter().find_map(|name| {
        let path = glob::join(folder, name);
        workspace.texts.get(&path).map(|text| (path, text))
    })
}
