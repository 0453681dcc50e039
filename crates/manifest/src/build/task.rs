//! Projects, tasks, and the cache of their results.

use super::Names;
use crate::finding::{Findings, Place, Problem};
use crate::format::is_part;
use crate::value::{Entry, Object, Value};
use crate::{
    Cache, Concurrency, Placed, Program, Project, Ready, RemoteCache, Restore, SecretRef, Spot,
    Task, Variable,
};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(5);

impl<T> Placed<T> {
    fn new(place: &Place, value: T) -> Self {
        let at = Spot {
            line: place.at.line,
            column: place.at.column,
        };
        Self { at, value }
    }
}

/// The texts of a list with their places.
pub(super) fn placed(object: &Object, key: &str) -> Vec<Placed<String>> {
    let items = object.list(key).unwrap_or_default().iter();
    let texts = items.filter_map(|item| match &item.value {
        Value::Text(text) => Some(Placed::new(&item.place, text.clone())),
        _ => None,
    });
    texts.collect()
}

pub(super) fn project(root: &Object, findings: &mut Findings) -> Project {
    let name = root.get("name").zip(root.text("name"));
    let entries = root.map("tasks").unwrap_or_default();
    if let Some((item, text)) = name.filter(|(_, text)| !entries.is_empty() && !is_part(text)) {
        let message = format!("`{text}` cannot name the project of the tasks below");
        let expected = "a name".to_owned();
        let finding = item.place.finding(Problem::Value { expected }, message);
        findings.add(finding.hint(
            "use at most 64 ASCII letters, digits, `_`, `-`, `.` and start with a letter or digit",
        ));
    }
    let tasks = entries.iter().filter_map(|entry| task(entry, findings));
    Project {
        tasks: tasks.collect(),
        name: name
            .filter(|(_, text)| is_part(text))
            .map(|(item, text)| Placed::new(&item.place, text.to_owned())),
        depends_on: placed(root, "depends_on"),
    }
}

fn task(Entry { name, item }: &Entry, findings: &mut Findings) -> Option<Placed<Task>> {
    let item = item.as_ref()?;
    let object = item.object()?;
    if !is_part(name) {
        let expected = "a name".to_owned();
        let message = format!("`{name}` cannot name a task");
        let finding = item.place.finding(Problem::Value { expected }, message);
        findings.add(
            finding.hint("use at most 64 letters, digits, `_`, `-`, `.`; a letter or digit first"),
        );
        return None;
    }
    contradictions(object, &item.place, findings);
    let program = program(object, &item.place, findings)?;
    let listed = |key| object.is_written(key).then(|| placed(object, key));
    let texts = |key| object.texts(key).unwrap_or_default();
    let number = |key| object.integer(key).and_then(|n| u32::try_from(n).ok());
    let task = Task {
        name: name.clone(),
        program,
        workdir: object
            .get("workdir")
            .zip(object.text("workdir"))
            .map(|(item, text)| Placed::new(&item.place, text.to_owned())),
        inputs: listed("inputs"),
        outputs: listed("outputs"),
        env: variables(object, "env"),
        pass_env: variables(object, "pass_env"),
        tools: texts("tools"),
        after: placed(object, "after"),
        follows: placed(object, "follows"),
        mutex: texts("mutex"),
        mutex_shared: texts("mutex_shared"),
        weight: number("weight").unwrap_or(1),
        tags: texts("tags"),
        timeout: object.duration("timeout"),
        grace: object.duration("grace").unwrap_or(GRACE),
        retries: number("retries").unwrap_or(0),
        cache: object.boolean("cache"),
        jobserver: object.boolean("jobserver").unwrap_or(false),
        persistent: object.boolean("persistent").unwrap_or(false),
        ready: object.object("ready").map(ready).unwrap_or_default(),
    };
    Some(Placed::new(&item.place, task))
}

fn program(object: &Object, place: &Place, findings: &mut Findings) -> Option<Program> {
    match (object.texts("command"), object.text("shell")) {
        (Some(command), None) if !command.is_empty() => Some(Program::Command(command)),
        (None, Some(script)) => Some(Program::Shell(script.to_owned())),
        (Some(_), Some(_)) => {
            let message = "`command` and `shell` are both there";
            let finding = place.finding(Problem::Conflict, message);
            findings.add(finding.hint("keep one of them"));
            None
        }
        _ => {
            let is_told = object.is_written("command") || object.is_written("shell");
            let is_meant = object.meant.contains("command") || object.meant.contains("shell");
            if !is_told && !is_meant && !findings.is_cut() {
                let message = "the key `command` (or `shell`) is missing";
                findings.add(place.finding(Problem::MissingKey { key: "command" }, message));
            }
            None
        }
    }
}

/// Fields that mean nothing beside others.
fn contradictions(object: &Object, place: &Place, findings: &mut Findings) {
    let is = |key| object.boolean(key) == Some(true);
    let mut refuse = |key: &str, message: String, hint: &str| {
        if let Some(at) = object.key_at(key) {
            let finding = place.key(key, at).finding(Problem::Conflict, message);
            findings.add(finding.hint(hint));
        }
    };
    if is("persistent") {
        for key in ["cache", "outputs", "timeout", "retries"] {
            if key != "cache" || is("cache") {
                let message = format!("`{key}` means nothing for a task that stays up");
                refuse(key, message, "leave it out, or leave `persistent` out");
            }
        }
    } else {
        let message = "`ready` means nothing for a task that ends".to_owned();
        refuse("ready", message, "leave it out, or add `persistent: true`");
    }
    let shared = object.texts("mutex_shared").unwrap_or_default();
    let own = object.texts("mutex").unwrap_or_default();
    if let Some(name) = own.iter().find(|name| shared.contains(name)) {
        let message = format!("`{name}` is held alone and together with others");
        refuse("mutex_shared", message, "keep it in one of the two lists");
    }
}

fn variables(object: &Object, key: &str) -> Vec<Variable> {
    let texts = object.texts(key).unwrap_or_default().into_iter();
    let variables = texts.map(|text| match text.split_once('=') {
        Some((name, value)) => Variable {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        },
        None => Variable {
            name: text,
            value: None,
        },
    });
    variables.collect()
}

fn ready(object: &Object) -> Ready {
    Ready {
        line: object.text("line").map(str::to_owned),
        port: object
            .integer("port")
            .and_then(|port| u16::try_from(port).ok()),
        timeout: object.duration("timeout"),
    }
}

pub(super) fn concurrency(root: &Object) -> Concurrency {
    let Some(object) = root.object("concurrency") else {
        return Concurrency::default();
    };
    let number = |value: u64| u32::try_from(value).ok();
    let tags = object.map("tags").unwrap_or_default().iter();
    let tags = tags.filter_map(|entry| match &entry.item.as_ref()?.value {
        Value::Integer(count) => Some((entry.name.clone(), number(*count)?)),
        _ => None,
    });
    Concurrency {
        jobs: object.integer("jobs").and_then(number),
        tags: tags.collect(),
    }
}

pub(super) fn cache(root: &Object, names: &Names<'_>, findings: &mut Findings) -> Option<Cache> {
    let Some(item) = root.get("cache").filter(|_| root.is_written("cache")) else {
        return Some(Cache::default());
    };
    let object = item.object()?;
    let remote = match object.object("remote") {
        Some(remote) => Some(self::remote(remote, names, findings)?),
        None => None,
    };
    Some(Cache {
        restore: match object.text("restore") {
            Some("hardlink") => Restore::Hardlink,
            _ => Restore::Copy,
        },
        size_max: object.bytes("max_size"),
        age_max: object.duration("max_age"),
        remote,
    })
}

fn remote(object: &Object, names: &Names<'_>, findings: &mut Findings) -> Option<RemoteCache> {
    let mut secret = |key| {
        let secret = names.secret(object.object(key)?, findings)?;
        Some(SecretRef { secret })
    };
    let (token, sign) = (secret("token"), secret("sign"));
    Some(RemoteCache {
        url: object.text("url")?.to_owned(),
        instance: object.text("instance").unwrap_or_default().to_owned(),
        token,
        sign,
        read_only: object.boolean("read_only").unwrap_or(false),
        timeout: object.duration("timeout"),
    })
}
