//! From what the manifests say to tasks and their graph, with everything that is wrong told at once.

use super::project::{Folder, finding};
use super::{Task, Workspace};
use mainstay_manifest::{Finding, Manifest, Placed, Problem, Spot, near};
use mainstay_tasks::{
    Bytes, Declared, Graph, GraphFinding, Needs, Pattern, Patterns, TaskId, feeds,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// A task and where its manifest has it.
struct Draft<'f> {
    folder: &'f Folder,
    at: Spot,
    task: Task,
    after: Vec<TaskId>,
    follows: Vec<TaskId>,
}

struct Resolver<'f> {
    folders: &'f [Folder],
    /// The tasks of each project.
    known: HashMap<&'f str, BTreeSet<&'f str>>,
    findings: Vec<Finding>,
}

/// Resolves everything, or says what is wrong.
pub(super) fn workspace(
    root: PathBuf,
    folders: Vec<Folder>,
    whole: Manifest,
) -> Result<Workspace, Vec<Finding>> {
    let known = folders.iter().map(|folder| {
        let tasks = folder.project.tasks.iter();
        let names = tasks.map(|task| task.value.name.as_str()).collect();
        (folder.name.as_str(), names)
    });
    let mut resolver = Resolver {
        known: known.collect(),
        folders: &folders,
        findings: Vec::new(),
    };
    resolver.projects();
    let mut drafts = resolver.drafts();
    drafts.sort_by(|a, b| a.task.id.cmp(&b.task.id));
    let read = resolver.feed(&mut drafts);
    let graph = resolver.graph(&drafts, &read);
    let mut findings = resolver.findings;
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let Some(graph) = graph.filter(|_| findings.is_empty()) else {
        return Err(findings);
    };
    let projects = folders
        .iter()
        .map(|folder| (folder.name.clone(), folder.path.clone()));
    let projects = projects.collect();
    let mut tasks: Vec<Task> = drafts.into_iter().map(|draft| draft.task).collect();
    exclude_foreign(&mut tasks, &graph);
    Ok(Workspace {
        root,
        tasks,
        graph,
        projects,
        jobs: whole.concurrency.jobs,
        tags: whole.concurrency.tags,
        cache: whole.cache,
        secrets: whole.secrets,
    })
}

impl<'f> Resolver<'f> {
    /// Names that two projects share, and projects that are not there.
    fn projects(&mut self) {
        let start = Spot { line: 1, column: 1 };
        let mut seen: BTreeMap<&str, &Folder> = BTreeMap::new();
        for folder in self.folders {
            let named = folder.project.name.as_ref().map_or(start, |name| name.at);
            let has_tasks = !folder.project.tasks.is_empty();
            if let Some(other) = seen.insert(&folder.name, folder)
                && has_tasks
                && !other.project.tasks.is_empty()
            {
                let message = format!(
                    "the project `{}` is there twice, also in {}",
                    folder.name, other.file
                );
                let mut found = finding(&folder.file, named, "name", Problem::Repeated, message);
                found.hint = Some("give one of them another `name`".to_owned());
                self.findings.push(found);
            }
        }
        for folder in self.folders {
            for Placed { at, value } in &folder.project.depends_on {
                if self.known.contains_key(value.as_str()) {
                    continue;
                }
                let message = format!("there is no project `{value}`");
                let section = "projects";
                let problem = Problem::UnknownReference { section };
                let mut found = finding(&folder.file, *at, "depends_on", problem, message);
                found.near = near(value, self.known.keys().copied());
                self.findings.push(found);
            }
        }
    }

    #[expect(clippy::vec_box, reason = "they are sorted, and large")]
    fn drafts(&mut self) -> Vec<Box<Draft<'f>>> {
        let folders = self.folders;
        let mut drafts = Vec::new();
        for folder in folders {
            for Placed { at, value } in &folder.project.tasks {
                drafts.extend(self.draft(folder, *at, value).map(Box::new));
            }
        }
        drafts
    }

    fn draft(
        &mut self,
        folder: &'f Folder,
        at: Spot,
        task: &'f mainstay_manifest::Task,
    ) -> Option<Draft<'f>> {
        let id = match TaskId::new(&folder.name, &task.name) {
            Ok(id) => id,
            Err(error) => {
                let expected = "a name".to_owned();
                let problem = Problem::Value { expected };
                let message = error.to_string();
                self.findings
                    .push(finding(&folder.file, at, "name", problem, message));
                return None;
            }
        };
        let field = |key: &str| format!("tasks.{}.{key}", task.name);
        let inputs = task.inputs.as_ref();
        let inputs = inputs.map(|texts| self.patterns(folder, &field("inputs"), texts));
        let declared = task.outputs.as_deref().unwrap_or_default();
        let outputs = self.patterns(folder, &field("outputs"), declared);
        self.reads_itself(folder, &task.name, inputs.as_deref(), &outputs, task);
        let cwd = match &task.workdir {
            None => folder.path.clone(),
            Some(Placed { at, value }) => self.workdir(folder, &field("workdir"), *at, value),
        };
        let is_declared = inputs.is_some() || task.outputs.is_some();
        let after = self.references(folder, &field("after"), &task.after);
        let follows = self.references(folder, &field("follows"), &task.follows);
        let task = Task {
            id,
            project: folder.path.clone(),
            cwd,
            program: task.program.clone(),
            inputs,
            foreign: Vec::new(),
            outputs,
            env: task.env.clone(),
            pass_env: task.pass_env.clone(),
            tools: task.tools.clone(),
            needs: Needs {
                weight: task.weight,
                mutex: task.mutex.clone(),
                mutex_shared: task.mutex_shared.clone(),
                tags: task.tags.clone(),
            },
            timeout: task.timeout,
            grace: task.grace,
            retries: task.retries,
            is_cached: task.cache.unwrap_or(is_declared) && !task.persistent,
            has_jobserver: task.jobserver,
            is_persistent: task.persistent,
            ready: task.ready.clone(),
        };
        Some(Draft {
            folder,
            at,
            task,
            after,
            follows,
        })
    }

    fn patterns(&mut self, folder: &Folder, field: &str, texts: &[Placed<String>]) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for Placed { at, value } in texts {
            match Pattern::parse(&folder.path, value) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    let expected = "a path or a pattern".to_owned();
                    let problem = Problem::Value { expected };
                    let message = error.to_string();
                    self.findings
                        .push(finding(&folder.file, *at, field, problem, message));
                }
            }
        }
        patterns
    }

    fn workdir(&mut self, folder: &Folder, field: &str, at: Spot, text: &str) -> Bytes {
        let escaped: String = text
            .chars()
            .flat_map(|c| {
                "*?[]{}\\!"
                    .contains(c)
                    .then_some('\\')
                    .into_iter()
                    .chain([c])
            })
            .collect();
        let path = Pattern::parse(&folder.path, &escaped).ok();
        path.and_then(|pattern| pattern.literal())
            .unwrap_or_else(|| {
                let expected = "a folder of the workspace".to_owned();
                let message = format!("`{text}` leaves the workspace");
                let problem = Problem::Value { expected };
                self.findings
                    .push(finding(&folder.file, at, field, problem, message));
                folder.path.clone()
            })
    }

    /// What a task makes is no input of its own: where nothing else would be left of a pattern, somebody
    /// is mistaken.
    fn reads_itself(
        &mut self,
        folder: &Folder,
        name: &str,
        inputs: Option<&[Pattern]>,
        outputs: &[Pattern],
        task: &mainstay_manifest::Task,
    ) {
        let inputs = inputs.unwrap_or_default().iter();
        let places = task.inputs.as_deref().unwrap_or_default();
        for (pattern, place) in inputs
            .zip(places)
            .filter(|(pattern, _)| !pattern.is_exclusion())
        {
            let mut made = outputs.iter().filter(|output| !output.is_exclusion());
            if made.any(|output| output.covers(pattern)) {
                let message =
                    format!("`{name}` makes `{pattern}` itself, so it cannot be its input");
                let other = name.to_owned();
                let problem = Problem::Overlap { other };
                let field = format!("tasks.{name}.inputs");
                let mut found = finding(&folder.file, place.at, &field, problem, message);
                found.hint = Some("leave it out here or under `outputs`".to_owned());
                self.findings.push(found);
            }
        }
    }

    fn references(
        &mut self,
        folder: &Folder,
        field: &str,
        texts: &[Placed<String>],
    ) -> Vec<TaskId> {
        let mut ids = Vec::new();
        for Placed { at, value } in texts {
            if let Some(task) = value.strip_prefix('^') {
                let projects = folder.project.depends_on.iter();
                let projects = projects.filter(|project| {
                    let tasks = self.known.get(project.value.as_str());
                    tasks.is_some_and(|tasks| tasks.contains(task))
                });
                ids.extend(projects.filter_map(|p| TaskId::new(&p.value, task).ok()));
                continue;
            }
            let (project, task) = value.split_once(':').unwrap_or((&folder.name, value));
            let tasks = self.known.get(project);
            match TaskId::new(project, task) {
                Ok(id) if tasks.is_some_and(|tasks| tasks.contains(task)) => ids.push(id),
                _ => {
                    let found = self.unknown(folder, field, *at, value, project, task);
                    self.findings.push(found);
                }
            }
        }
        ids
    }

    fn unknown(
        &self,
        folder: &Folder,
        field: &str,
        at: Spot,
        text: &str,
        project: &str,
        task: &str,
    ) -> Finding {
        let section = "tasks";
        let problem = Problem::UnknownReference { section };
        let (message, names) = match self.known.get(project) {
            Some(tasks) => {
                let names: Vec<String> = near(task, tasks.iter().copied());
                (format!("there is no task `{text}`"), names)
            }
            None => {
                let names = near(project, self.known.keys().copied());
                (format!("there is no project `{project}`"), names)
            }
        };
        let mut found = finding(&folder.file, at, field, problem, message);
        found.near = names;
        found
    }

    /// Makes who reads what another makes wait for it; tells who makes the same.
    fn feed(&mut self, drafts: &mut [Box<Draft<'f>>]) -> BTreeSet<(TaskId, TaskId)> {
        let mut patterns: Vec<Patterns<'_>> = drafts
            .iter()
            .map(|draft| Patterns {
                inputs: draft.task.inputs.as_deref().unwrap_or_default(),
                outputs: &draft.task.outputs,
            })
            .collect();
        // As if one more task read all manifests: who makes what it reads is mistaken.
        let manifests: Vec<Pattern> = (self.folders.iter())
            .filter_map(|folder| Pattern::parse(&folder.path, mainstay_manifest::FILE_NAME).ok())
            .collect();
        let reader_of_manifests = u32::try_from(patterns.len()).unwrap_or(u32::MAX);
        patterns.push(Patterns {
            inputs: &manifests,
            outputs: &[],
        });
        let feeds = feeds(&patterns);
        for (later, earlier) in feeds.overlaps {
            let (later, earlier) = (&drafts[later as usize], &drafts[earlier as usize]);
            let message = format!(
                "`{}` and `{}` make the same files",
                later.task.id, earlier.task.id
            );
            let other = earlier.task.id.to_string();
            let problem = Problem::Overlap { other };
            let field = format!("tasks.{}.outputs", later.task.id.task());
            let mut found = finding(&later.folder.file, later.at, &field, problem, message);
            found.hint = Some("let each file be the output of one task".to_owned());
            self.findings.push(found);
        }
        let mut read = BTreeSet::new();
        for (reader, maker) in feeds.reads {
            if reader == reader_of_manifests {
                let found = makes_a_manifest(&drafts[maker as usize]);
                self.findings.push(found);
                continue;
            }
            let maker = drafts[maker as usize].task.id.clone();
            let reader = &mut drafts[reader as usize];
            read.insert((reader.task.id.clone(), maker.clone()));
            reader.after.push(maker);
        }
        read
    }

    fn graph(
        &mut self,
        drafts: &[Box<Draft<'f>>],
        read: &BTreeSet<(TaskId, TaskId)>,
    ) -> Option<Graph> {
        let declared = drafts.iter().map(|draft| Declared {
            id: draft.task.id.clone(),
            after: draft.after.clone(),
            follows: draft.follows.clone(),
        });
        let problems = match Graph::build(declared.collect()) {
            Ok(graph) => return Some(graph),
            Err(problems) => problems,
        };
        for problem in problems {
            let found = graph_finding(&problem, drafts, read);
            self.findings.extend(found);
        }
        None
    }
}

fn makes_a_manifest(draft: &Draft<'_>) -> Finding {
    let name = draft.task.id.task();
    let file = mainstay_manifest::FILE_NAME;
    let message = format!("the outputs of `{name}` mean a `{file}`, which no task makes");
    let expected = "files that the task makes".to_owned();
    let problem = Problem::Value { expected };
    let field = format!("tasks.{name}.outputs");
    let mut found = finding(&draft.folder.file, draft.at, &field, problem, message);
    found.hint = Some(format!(
        "name its outputs more closely, or exclude `!{file}`"
    ));
    found
}

fn graph_finding(
    problem: &GraphFinding,
    drafts: &[Box<Draft<'_>>],
    read: &BTreeSet<(TaskId, TaskId)>,
) -> Option<Finding> {
    let place = |task: &TaskId| {
        let at = drafts
            .binary_search_by(|draft| draft.task.id.cmp(task))
            .ok()?;
        Some((&drafts[at].folder.file, drafts[at].at))
    };
    let (task, tasks) = match problem {
        GraphFinding::Itself { task } => (task, vec![task.clone()]),
        GraphFinding::Cycle { tasks } => (tasks.first()?, tasks.clone()),
        // Both were reported where the names were resolved.
        GraphFinding::Duplicate { .. } | GraphFinding::Unknown { .. } => return None,
    };
    let (file, at) = place(task)?;
    let mut round: Vec<String> = tasks.iter().map(|task| format!("`{task}`")).collect();
    round.push(format!("`{task}`"));
    let message = match tasks.len() {
        1 => format!("`{task}` waits for itself"),
        _ => format!("tasks wait for each other: {}", round.join(" → ")),
    };
    let names = tasks.iter().map(ToString::to_string).collect();
    let field = format!("tasks.{}", task.task());
    let problem = Problem::Cycle { tasks: names };
    let mut found = finding(file, at, &field, problem, message);
    let next = tasks.iter().cycle().skip(1);
    let reads: Vec<String> = tasks
        .iter()
        .zip(next)
        .filter(|(reader, maker)| read.contains(&((*reader).clone(), (*maker).clone())))
        .map(|(reader, maker)| format!("`{reader}` reads what `{maker}` makes"))
        .collect();
    if !reads.is_empty() {
        found.hint = Some(format!("{}; exclude it with `!…`", reads.join(", ")));
    }
    Some(found)
}

/// Where a task declares no inputs, what others make beside it is none, unless it waits for them.
fn exclude_foreign(tasks: &mut [Task], graph: &Graph) {
    let mut made: BTreeMap<Bytes, Vec<(u32, Pattern)>> = BTreeMap::new();
    for (number, task) in (0..).zip(tasks.iter()) {
        for output in task.outputs.iter().filter(|output| !output.is_exclusion()) {
            let entry = made.entry(task.project.clone()).or_default();
            entry.push((number, output.clone()));
        }
    }
    for number in 0..u32::try_from(tasks.len()).unwrap_or(u32::MAX) {
        let task = &tasks[number as usize];
        if task.inputs.is_some() || !task.is_cached {
            continue;
        }
        let waited: BTreeSet<u32> = graph.closure(&[number]).into_iter().collect();
        let beside = made.get(&task.project).into_iter().flatten();
        let foreign = beside
            .filter(|(maker, _)| *maker == number || !waited.contains(maker))
            .map(|(_, pattern)| pattern.clone());
        tasks[number as usize].foreign = foreign.collect();
    }
}
