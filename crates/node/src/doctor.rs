//! What this host can and cannot do, and whether what is stored is sound.

use crate::config::{NodeConfig, StoreUrl};
use crate::error::RequestError;
use crate::inference::{LEDGER, check_files};
use crate::node::Inner;
use crate::workspaces::blocking;
use mainstay_contract::{Code, Coded};
use mainstay_gateway::Ledger;
use mainstay_runtimes::sandbox::{HostSupport, Sandbox, SandboxConfig};
use mainstay_runtimes::workspace;
use mainstay_sessions::WorkspaceMode;
use mainstay_storage::{DataDirLock, OpenParams, SqliteJournal, VerifyReport};
use serde::Serialize;
use std::path::Path;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It works, with less protection.
    Weaker,
    /// It does not work.
    Missing,
    /// Stored data is damaged.
    Damaged,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it went.
    pub status: CheckStatus,
    /// What that means here.
    pub detail: String,
}

/// All that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    /// One by one.
    pub checks: Vec<Check>,
    /// Whether what is stored is sound.
    pub sound: bool,
}

pub(crate) async fn examine(inner: &Inner) -> Result<DoctorReport, RequestError> {
    let mut checks = host(inner.sandbox.support());
    checks.push(match inner.workspaces.mode() {
        WorkspaceMode::Overlay => ok("workspace", "views are copy-on-write"),
        WorkspaceMode::Copy => Check {
            name: "workspace",
            status: CheckStatus::Weaker,
            detail: "no overlay here: every session works on a full copy of its folder".to_owned(),
        },
    });
    checks.extend(manifest(inner.manifest.path()));
    let store = inner.store.clone();
    let verified = tokio::task::spawn_blocking(move || store.verify()).await;
    let verified = verified.map_err(|error| RequestError::Internal(error.to_string()))?;
    let report = verified.map_err(RequestError::Store)?;
    let workspaces = damaged_workspaces(inner).await?;
    let sound = report.findings.is_empty() && workspaces.is_empty();
    if sound {
        checks.push(whole(&report));
    }
    let findings = report.findings.iter().map(ToString::to_string);
    for detail in findings.chain(workspaces) {
        checks.push(damaged("store", detail));
    }
    Ok(DoctorReport { checks, sound })
}

/// Looks at the host and at what is stored, each for itself, where no node can be opened.
pub async fn examine_apart(config: NodeConfig) -> DoctorReport {
    let mut checks = host_alone(&config).await;
    let looked = tokio::task::spawn_blocking(move || stored(&config)).await;
    match looked {
        Ok(stored) => checks.extend(stored),
        Err(error) => checks.push(damaged("store", error.to_string())),
    }
    let is_damaged = |check: &Check| matches!(check.status, CheckStatus::Damaged);
    let sound = !checks.iter().any(is_damaged);
    DoctorReport { checks, sound }
}

async fn host_alone(config: &NodeConfig) -> Vec<Check> {
    let node = format!("doctor-{}", std::process::id());
    let scratch = std::env::temp_dir().join(format!("mainstay-{node}"));
    let sandbox = Sandbox::new(SandboxConfig {
        exe: config.exe.clone(),
        node,
        scratch: scratch.clone(),
    });
    let checks = match sandbox.await {
        Ok(sandbox) => {
            let checks = host(sandbox.support());
            sandbox.close().await;
            checks
        }
        Err(error) => vec![missing("sandbox", &error.to_string())],
    };
    let _absent = std::fs::remove_dir_all(scratch);
    checks
}

fn stored(config: &NodeConfig) -> Vec<Check> {
    let mut checks = manifest(config.manifest.as_deref());
    let lock = DataDirLock::acquire(&config.data_dir);
    if let Err(error) = &lock {
        checks.push(damaged("data_dir", error.to_string()));
        if error.code() == Code::StoreLocked {
            return checks;
        }
    }
    let StoreUrl::Sqlite(database) = config.store.clone();
    let blobs = config.blobs_dir();
    let journal = SqliteJournal::open(OpenParams { database, blobs });
    match journal.and_then(|journal| journal.verify()) {
        Ok(report) if report.findings.is_empty() => checks.push(whole(&report)),
        Ok(report) => {
            let findings = report.findings.iter();
            checks.extend(findings.map(|finding| damaged("store", finding.to_string())));
        }
        Err(error) => checks.push(damaged("store", error.to_string())),
    }
    checks.push(match Ledger::open(&config.data_dir.join(LEDGER)) {
        Ok(_) => ok("ledger", "what was spent on models is known"),
        Err(error) => damaged("ledger", error.to_string()),
    });
    checks
}

/// Whether the manifest can be used, and the files that it names for its models.
fn manifest(path: Option<&Path>) -> Vec<Check> {
    let Some(path) = path else {
        return Vec::new();
    };
    let findings = match check_files(path) {
        Ok(findings) => findings,
        Err(error) => return vec![missing("manifest", &error.to_string())],
    };
    let errors = findings.errors.iter().map(ToString::to_string);
    let mut checks: Vec<_> = errors.map(|error| missing("manifest", &error)).collect();
    checks.extend(findings.warnings.iter().map(|warning| Check {
        name: "manifest",
        status: CheckStatus::Weaker,
        detail: warning.to_string(),
    }));
    if checks.is_empty() {
        checks.push(ok(
            "manifest",
            "it is valid, and its models' files are there",
        ));
    }
    checks
}

fn whole(report: &VerifyReport) -> Check {
    let VerifyReport { records, blobs, .. } = report;
    ok(
        "store",
        &format!("{records} records and {blobs} blobs verified"),
    )
}

/// What is wrong with the committed views of sessions.
async fn damaged_workspaces(inner: &Inner) -> Result<Vec<String>, RequestError> {
    let sessions = inner.reader.with(|journal| journal.sessions()).await;
    let mut damaged = Vec::new();
    for row in sessions.map_err(RequestError::Store)? {
        // What cannot be replayed is found by the store's own verification.
        let Ok(Some((machine, _))) = inner.reader.session(&row.session).await else {
            continue;
        };
        let Some((state, _)) = machine.workspace() else {
            continue;
        };
        let (store, blobs) = (inner.store.clone(), inner.workspaces.blobs());
        let missing =
            blocking(move || workspace::missing(state, &blobs, &|digest| store.holds(digest)));
        let name = format!("the workspace of session {}", row.session);
        match missing.await {
            Ok(missing) => {
                let tell = |digest| format!("{name} names blob {digest}, which is not stored");
                damaged.extend(missing.iter().map(tell));
            }
            Err(error) => damaged.push(format!("{name} cannot be read: {error}")),
        }
    }
    Ok(damaged)
}

fn host(support: &HostSupport) -> Vec<Check> {
    let tried = |name, tried: &Result<(), String>, works: &str| match tried {
        Ok(()) => ok(name, works),
        Err(why) => missing(name, why),
    };
    let found = |name, is_there: bool, works: &str, without: &str| {
        if is_there {
            ok(name, works)
        } else {
            Check {
                name,
                status: CheckStatus::Weaker,
                detail: without.to_owned(),
            }
        }
    };
    let cgroup = match support.cgroup {
        Some(version) => ok(
            "cgroup",
            &format!("memory and process limits by control groups {version}"),
        ),
        None => Check {
            name: "cgroup",
            status: CheckStatus::Weaker,
            detail: "no control group can be made: limits hold per process only".to_owned(),
        },
    };
    let user = if support.is_root {
        "root"
    } else {
        "an ordinary user"
    };
    vec![
        ok("user", &format!("the node runs as {user}")),
        tried(
            "sandbox",
            &support.namespaces,
            "tools run in namespaces of their own",
        ),
        tried(
            "overlay",
            &support.overlay,
            "overlays can be mounted in the sandbox",
        ),
        found(
            "landlock",
            support.landlock,
            "file access is fenced twice",
            "only mounts fence file access",
        ),
        found(
            "seccomp",
            support.seccomp,
            "dangerous system calls are refused",
            "no seccomp in this kernel",
        ),
        cgroup,
    ]
}

fn ok(name: &'static str, detail: &str) -> Check {
    Check {
        name,
        status: CheckStatus::Ok,
        detail: detail.to_owned(),
    }
}

fn damaged(name: &'static str, detail: String) -> Check {
    Check {
        name,
        status: CheckStatus::Damaged,
        detail,
    }
}

fn missing(name: &'static str, detail: &str) -> Check {
    Check {
        name,
        status: CheckStatus::Missing,
        detail: detail.to_owned(),
    }
}
