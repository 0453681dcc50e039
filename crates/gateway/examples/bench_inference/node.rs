//! The program as it is delivered, with keys, limits and budgets on, in front of a provider.

use crate::load::Target;
use crate::process::Process;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A key of a caller; its secret is its name, long enough to be one.
pub(crate) const CALLER: &str = "caller";
/// Keys with a budget that ends soon.
pub(crate) const ONE: &str = "one";
pub(crate) const CROWD: &str = "crowd";
/// What those two may spend, in dollars. An answer costs about 0.025.
pub(crate) const BUDGET: f64 = 5.0;

/// A node that runs.
pub(crate) struct Node {
    pub(crate) process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Node {
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mainstay.yaml"), manifest(upstream)).unwrap();
        for name in [CALLER, ONE, CROWD] {
            std::fs::write(folder.path().join(name), secret(name)).unwrap();
        }
        let mut command = Command::new(program());
        command.current_dir(folder.path()).args([
            "--data-dir",
            "data",
            "--cache-dir",
            "cache",
            "serve",
            "--listen",
            "127.0.0.1:0",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let said = child.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().parse();
        Self {
            process: Process(child),
            address: address.unwrap_or_else(|_| panic!("the node said {line:?}")),
            _folder: folder,
        }
    }

    /// The node for whoever shows a key.
    pub(crate) fn target(&self, key: &str) -> Target {
        Target {
            address: self.address,
            key: secret(key),
        }
    }
}

fn secret(name: &str) -> String {
    format!("sk-{name}-0123456789abcdef0123456789abcdef")
}

/// The folder of everything built, and the program in it beside this one.
pub(crate) fn built() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().to_owned()
}

fn program() -> PathBuf {
    let program = built().join("mainstay");
    assert!(program.exists(), "build {} first", program.display());
    program
}

/// Everything is limited, by bounds that no measurement reaches.
fn manifest(upstream: SocketAddr) -> String {
    let limits =
        "requests_per_minute: 100000000, tokens_per_minute: 10000000000, concurrency: 20000";
    let model = |name: &str, price: u32| {
        format!(
            "  {name}: {{provider: openai_compatible, model: {name}, base_url: \"http://{upstream}/v1\", \
             price: {{input_per_million: {price}, output_per_million: {price}}}, \
             limits: {{{limits}}}, budget: {{usd: 1000000, per: day}}, \
             timeout: {{first_token: 60s, idle: 10m, total: 30m}}}}\n"
        )
    };
    let key = |name: &str, rest: &str| format!("  {name}: {{secret: {name}, {rest}}}\n");
    let often = format!("limits: {{{limits}}}, budget: {{usd: 1000000, per: day}}");
    let little = format!("budget: {{usd: {BUDGET}, per: total}}");
    let secrets = [CALLER, ONE, CROWD].map(|name| format!("  {name}: {{file: {name}}}\n"));
    [
        "version: 1\nname: bench\nmodels:\n".to_owned(),
        model("instant", 1),
        model("stamped", 1),
        model("silent", 1),
        model("slow", 1000),
        "keys:\n".to_owned(),
        key(CALLER, &often),
        key(ONE, &little),
        key(CROWD, &little),
        "secrets:\n".to_owned(),
        secrets.concat(),
    ]
    .concat()
}
