//! Takes note of what the command asks for, call by call.

use super::calls;
use super::intent::{Intent, Kinds};
use super::listener::{Listener, Notification};
use super::record::Record;
use super::report::{Observed, SpawnError};
use super::resolve::{Resolved, View, normal};
use super::spec::ObserveSpec;
use super::target::{Asked, Target};
use crate::sandbox::bpf::ARCHITECTURE;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// As the kernel has it: a script's interpreter may be a script.
const INTERPRETERS_MAX: usize = 5;
const FIRST_LINE_BYTES_MAX: u64 = 256;

/// What one command asks for.
pub(super) struct Tracer<'a> {
    spec: &'a ObserveSpec,
    /// The files as the command sees them.
    view: View,
    /// The files as they are, where the command sees others.
    real: Option<View>,
    record: Record,
}

impl<'a> Tracer<'a> {
    /// Begins with a command that is ready to be executed.
    pub(super) fn new(spec: &'a ObserveSpec, command: libc::pid_t) -> io::Result<Self> {
        let real = spec.enforced_stage().map(|_| View::of("self"));
        Ok(Self {
            spec,
            view: View::of(&command.to_string())?,
            real: real.transpose()?,
            record: Record::default(),
        })
    }

    /// The report.
    pub(super) fn conclude(self, spawn_error: Option<SpawnError>) -> Observed {
        self.record.conclude(spawn_error)
    }

    /// Takes note of what is asked next, before it happens.
    pub(super) fn trace(&mut self, listener: &Listener) -> io::Result<()> {
        let Some(notification) = listener.receive()? else {
            return Ok(());
        };
        let asked = asked(&notification);
        // Whoever asked may be gone, and its number somebody else's.
        if listener.is_valid(&notification) {
            match asked {
                Ok(asked) => self.note(asked, &notification),
                Err(error) if is_the_calls_own(&error) => {}
                Err(_) => self.record.unseen(),
            }
        }
        listener.answer(&notification)
    }

    fn note(&mut self, asked: Vec<Asked>, notification: &Notification) {
        for asked in asked {
            let resolved = self.note_one(&asked);
            if asked.intent == Intent::Execute {
                self.note_interpreters(&resolved, notification);
            }
            if resolved.found.is_none() && asked.intent.needs_presence() {
                return;
            }
        }
    }

    fn note_one(&mut self, asked: &Asked) -> Resolved {
        let named = normal(&asked.path);
        let resolved = self.view.resolve(&asked.path, asked.is_followed);
        let Resolved { path, links, found } = &resolved;
        let has_folder = || path.parent().is_some_and(|folder| self.view.has(folder));
        let kinds = asked.intent.kinds(*found, has_folder);
        for link in links {
            if self.is_inside(link) {
                self.record.access(link, Kinds::READ, true);
            }
        }
        self.note_path(path, kinds, found.is_some());
        if named != *path {
            self.note_path(&named, kinds, found.is_some() || links.contains(&named));
        }
        if self.is_inside(path) {
            self.judge(asked, &named, &resolved, kinds);
        }
        resolved
    }

    fn note_path(&mut self, path: &Path, kinds: Kinds, existed: bool) {
        if self.is_inside(path) {
            self.record.access(path, kinds, existed);
        } else if kinds.is_use() {
            self.record.outside(path);
        }
    }

    /// Compares what is asked of a path in the workspace with what was declared.
    fn judge(&mut self, asked: &Asked, named: &Path, resolved: &Resolved, kinds: Kinds) {
        let Resolved { path, found, .. } = resolved;
        let is_output = self.spec.is_output(path) || self.spec.is_output(named);
        let is_way = asked.intent == Intent::Make && self.spec.holds_outputs(path);
        if kinds.written && !is_output && !is_way {
            self.record.undeclared_write(path.clone());
        }
        let is_hidden = |real: &View| {
            let there = real.resolve(&asked.path, asked.is_followed);
            there.found.is_some()
        };
        if found.is_none()
            && asked.intent.needs_presence()
            && !is_output
            && self.real.as_ref().is_some_and(is_hidden)
        {
            self.record.hidden(path.clone());
        }
    }

    /// The kernel itself opens the interpreter of a script.
    fn note_interpreters(&mut self, script: &Resolved, notification: &Notification) {
        let mut next = self.interpreter(script);
        for _ in 0..INTERPRETERS_MAX {
            let Some(interpreter) = next else {
                return;
            };
            let folder = fs::read_link(format!("/proc/{}/cwd", notification.pid));
            let path = folder.unwrap_or_default().join(interpreter);
            let resolved = self.note_one(&Asked {
                path,
                is_followed: true,
                intent: Intent::Execute,
            });
            next = self.interpreter(&resolved);
        }
    }

    /// The interpreter that the first line of a script names.
    fn interpreter(&self, script: &Resolved) -> Option<PathBuf> {
        script.found.filter(|found| found.is_executable)?;
        let mut line = Vec::new();
        let file = self.view.open(&script.path).ok()?;
        file.take(FIRST_LINE_BYTES_MAX)
            .read_to_end(&mut line)
            .ok()?;
        let line = line
            .strip_prefix(b"#!")?
            .split(|byte| *byte == b'\n')
            .next()?;
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let name = words.find(|word| !word.is_empty())?;
        Some(PathBuf::from(OsStr::from_bytes(name)))
    }

    fn is_inside(&self, path: &Path) -> bool {
        path.starts_with(&self.spec.root)
    }
}

/// What a call asks for; of another architecture's nothing is known.
fn asked(notification: &Notification) -> io::Result<Vec<Asked>> {
    let call = calls::find(notification.data.nr);
    match call {
        Some(call) if notification.data.arch == ARCHITECTURE => Target(notification).asked(call),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

/// Whether the call itself fails for the same reason.
fn is_the_calls_own(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EFAULT)
}
