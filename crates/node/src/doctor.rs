//! What this host can and cannot do, and whether what is stored is sound.

use crate::error::RequestError;
use crate::node::Inner;
use mainstay_runtimes::sandbox::HostSupport;
use mainstay_sessions::WorkspaceMode;
use serde::Serialize;

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
    let store = inner.store.clone();
    let verified = tokio::task::spawn_blocking(move || store.verify()).await;
    let verified = verified.map_err(|error| RequestError::Internal(error.to_string()))?;
    let report = verified.map_err(RequestError::Store)?;
    let sound = report.findings.is_empty();
    if sound {
        let detail = format!(
            "{} records and {} blobs verified",
            report.records, report.blobs
        );
        checks.push(ok("store", &detail));
    }
    for finding in &report.findings {
        let detail = finding.to_string();
        checks.push(Check {
            name: "store",
            status: CheckStatus::Damaged,
            detail,
        });
    }
    Ok(DoctorReport { checks, sound })
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

fn missing(name: &'static str, detail: &str) -> Check {
    Check {
        name,
        status: CheckStatus::Missing,
        detail: detail.to_owned(),
    }
}
