//! From values to the [`Manifest`], and the mistakes that only the whole can show: references to
//! nothing, contradictions, fields without effect.

mod agent;
mod free;
mod header;
mod health;
mod http;
mod key;
mod limit;
mod model;
mod route;
mod task;

use crate::finding::{Findings, Place, Problem};
use crate::near::near;
use crate::value::{Entry, Item, Object, Value};
use crate::{Manifest, Project, SecretSource};
use mainstay_contract::AgentName;
use std::collections::{BTreeMap, BTreeSet};

/// Builds the manifest. `None` where a value that it needs was refused before.
pub(crate) fn manifest(root: &Item, findings: &mut Findings) -> Option<Manifest> {
    let root = root.object()?;
    let names = Names {
        models: Declared::new(root, "models"),
        secrets: Declared::new(root, "secrets"),
        tasks: Declared::new(root, "tasks"),
        free: free::models(root),
        has_budgets: has_budgets(root),
    };
    let models = entries(root, "models");
    let models: BTreeMap<_, _> = models
        .filter_map(|(name, item)| {
            Some((name.clone(), model::model(name, item?, &names, findings)?))
        })
        .collect();
    model::breakers_agree(root, &models, findings);
    let mut agents = BTreeMap::new();
    for (name, item) in entries(root, "agents") {
        let agent = item.and_then(|item| agent::agent(item, &names, findings));
        if let (Ok(name), Some(agent)) = (AgentName::new(name.as_str()), agent) {
            agents.insert(name, agent);
        }
    }
    let keys = key::keys(root, &names, findings);
    let secrets = entries(root, "secrets");
    let secrets = secrets.filter_map(|(name, item)| Some((name.clone(), secret(item?)?)));
    Some(Manifest {
        version: u32::try_from(root.integer("version")?).ok()?,
        name: root.text("name").map(str::to_owned),
        models,
        agents,
        secrets: secrets.collect(),
        keys,
        prices: root.text("prices").map(str::to_owned),
        projects: task::placed(root, "projects"),
        project: task::project(root, findings),
        concurrency: task::concurrency(root),
        cache: task::cache(root, &names, findings)?,
    })
}

/// Builds the manifest of a project below the workspace's root.
pub(crate) fn project(root: &Item, findings: &mut Findings) -> Option<Project> {
    Some(task::project(root.object()?, findings))
}

fn entries<'a>(
    root: &'a Object,
    section: &str,
) -> impl Iterator<Item = (&'a String, Option<&'a Item>)> {
    let entries = root.map(section).unwrap_or_default();
    entries
        .iter()
        .map(|Entry { name, item }| (name, item.as_ref()))
}

fn has_budgets(root: &Object) -> bool {
    let mut callers = entries(root, "keys").chain(entries(root, "agents"));
    callers.any(|(_, item)| {
        item.and_then(Item::object)
            .is_some_and(|caller| caller.is_written("budget"))
    })
}

fn secret(item: &Item) -> Option<SecretSource> {
    let Value::Tagged(word, Some(inner)) = &item.value else {
        return None;
    };
    let Value::Text(text) = &inner.value else {
        return None;
    };
    match *word {
        "env" => Some(SecretSource::Env(text.clone())),
        "file" => Some(SecretSource::File(text.clone())),
        _ => None,
    }
}

/// The names that the manifest declares.
struct Names<'a> {
    models: Declared<'a>,
    secrets: Declared<'a>,
    tasks: Declared<'a>,
    /// The models that cost nothing, whatever they are asked.
    free: BTreeSet<&'a str>,
    /// Whether a key or an agent has a budget: it holds for whatever model is called.
    has_budgets: bool,
}

/// The names of one section.
struct Declared<'a> {
    section: &'static str,
    /// `None` where the section itself was refused: then nothing can be called unknown.
    names: Option<BTreeMap<&'a str, Option<&'a Item>>>,
}

impl<'a> Declared<'a> {
    fn new(root: &'a Object, section: &'static str) -> Self {
        let names = root.map(section).map(|entries| {
            let entries = entries.iter();
            entries
                .map(|entry| (entry.name.as_str(), entry.item.as_ref()))
                .collect()
        });
        Self { section, names }
    }

    /// What is declared under a name, where it is usable.
    fn get(&self, name: &str) -> Option<&'a Item> {
        *self.names.as_ref()?.get(name)?
    }

    /// Reports a reference to a name that is not declared. `is_secret`: do not repeat it.
    fn refer(&self, name: &str, place: &Place, is_secret: bool, findings: &mut Findings) {
        let Some(names) = self
            .names
            .as_ref()
            .filter(|names| !names.contains_key(name))
        else {
            return;
        };
        if findings.is_cut() {
            return;
        }
        let section = self.section;
        let message = if is_secret {
            format!("`{section}` declares no such name")
        } else {
            format!("`{section}` declares no `{name}`")
        };
        let mut finding = place.finding(Problem::UnknownReference { section }, message);
        if !findings.is_full() {
            finding.near = near(name, names.keys().copied());
        }
        if finding.near.is_empty() {
            let listed: Vec<String> = names
                .keys()
                .take(10)
                .map(|name| format!("`{name}`"))
                .collect();
            finding.hint = Some(match listed.as_slice() {
                [] => format!("declare it under `{section}`"),
                _ => format!("declared there: {}", listed.join(", ")),
            });
        }
        findings.add(finding);
    }
}

impl Names<'_> {
    /// Whether a model, with all that stands in for it, costs nothing.
    fn is_free(&self, model: &str) -> bool {
        self.free.contains(model)
    }

    /// Checks the secret named by `object.secret`.
    fn secret(&self, object: &Object, findings: &mut Findings) -> Option<String> {
        let item = object.get("secret")?;
        let name = object.text("secret")?;
        self.secrets.refer(name, &item.place, true, findings);
        Some(name.to_owned())
    }
}
