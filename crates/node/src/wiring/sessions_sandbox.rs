//! From a turn's snapshot to a sandbox.

use crate::tools::Context;
use mainstay_manifest::Network;
use mainstay_runtimes::sandbox::{self, Program, SandboxSpec};
use std::collections::BTreeMap;
use std::path::Path;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a tool of this turn gets: the view as its workspace, the listed paths, and nothing of the
/// node's own environment.
pub(crate) fn sandbox_spec(
    context: &Context<'_>,
    program: Program,
    network: Network,
) -> SandboxSpec {
    let shell = context.shell;
    let limits = &shell.agent.sandbox;
    let workspace = context.inner.workspaces.mount(context.session);
    let cwd = workspace
        .as_ref()
        .map_or_else(|| shell.home.clone(), |mount| mount.at().clone());
    let network = match network {
        Network::None => sandbox::Network::None,
        Network::Host => sandbox::Network::Host,
    };
    SandboxSpec {
        program,
        env: environment(context, &shell.home),
        workspace,
        read: shell.read.clone(),
        write: shell.write.clone(),
        hide: context.inner.workspaces.hidden(),
        cwd,
        home: shell.home.clone(),
        network,
        memory_bytes: limits.memory,
        pids: limits.pids,
        timeout: limits.timeout,
        output_bytes_max: usize::try_from(limits.output).unwrap_or(usize::MAX),
        is_weaker_allowed: limits.weaker,
    }
}

fn environment(context: &Context<'_>, home: &Path) -> BTreeMap<String, String> {
    let cargo = home.join(".cargo/bin");
    let has_cargo = context
        .shell
        .read
        .iter()
        .any(|path| cargo.starts_with(path));
    let path = if has_cargo {
        format!("{}:{PATH}", cargo.display())
    } else {
        PATH.to_owned()
    };
    let pairs = [
        ("PATH", path),
        ("HOME", home.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("MAINSTAY_SESSION", context.session.to_string()),
        ("MAINSTAY_TURN", context.turn.to_string()),
        ("MAINSTAY_STEP", context.step.to_string()),
        ("MAINSTAY_IDEMPOTENCY_KEY", context.key.to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
