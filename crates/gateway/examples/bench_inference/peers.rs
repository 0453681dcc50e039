//! Other gateways, as `cargo xtask bench inference` installs them, each with one process and its defaults.
//!
//! LiteLLM is asked for the same work. The two routers neither know callers nor count money: they are here for
//! their speed.

use crate::load::{Client, Target, alone};
use crate::node::built;
use crate::process::Process;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a peer may take until it answers.
const START: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    LiteLlm,
    Smg,
    VllmRouter,
}

/// A peer that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) target: Target,
    _folder: TempDir,
}

impl Peer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::Smg => "smg",
            Self::VllmRouter => "vllm-router",
        }
    }

    /// Where its program is, if it is installed.
    fn program(self) -> Option<PathBuf> {
        let place = match self {
            Self::LiteLlm => "litellm/bin/litellm",
            Self::Smg => "routers/bin/smg",
            Self::VllmRouter => "routers/bin/vllm-router",
        };
        let program = built().parent()?.join("tools").join(place);
        program.exists().then_some(program)
    }

    /// Starts it in front of a provider and waits until it answers; nothing where it is not installed.
    pub(crate) fn start(self, upstream: SocketAddr) -> Option<Running> {
        let folder = tempfile::tempdir().unwrap();
        let address = free();
        let key = format!("sk-{:016x}{:016x}", random(), random());
        let port = address.port().to_string();
        // A peer gets no environment: nothing of this machine is its business.
        let mut command = Command::new(self.program()?);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .env("LANG", "C.UTF-8")
            .current_dir(folder.path());
        if self == Self::Smg {
            command.arg("launch");
        }
        command.args(["--host", "127.0.0.1", "--port", &port]);
        match self {
            Self::LiteLlm => {
                let text = litellm(upstream, &key);
                std::fs::write(folder.path().join("config.yaml"), text).unwrap();
                command
                    .args(["--config", "config.yaml", "--num_workers", "1"])
                    .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                    .env("NO_PROXY", "127.0.0.1");
            }
            Self::Smg | Self::VllmRouter => {
                let metrics = free().port().to_string();
                let upstream = format!("http://{upstream}");
                command.args(["--worker-urls", &upstream, "--policy", "round_robin"]);
                command.args(["--prometheus-port", &metrics]);
            }
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let running = Running {
            process: Process(command.spawn().unwrap()),
            target: Target { address, key },
            _folder: folder,
        };
        running.wait(self);
        Some(running)
    }
}

impl Running {
    fn wait(&self, peer: Peer) {
        let until = Instant::now() + START;
        let request = self.target.request("instant", "");
        let answers = || {
            alone(async {
                let asking = async {
                    let mut client = Client::open(self.target.address).await?;
                    client.exchange(&request).await
                };
                let asked = tokio::time::timeout(Duration::from_secs(5), asking).await;
                matches!(asked, Ok(Ok(200)))
            })
        };
        while !answers() {
            let log = || std::fs::read_to_string(self._folder.path().join("log"));
            assert!(Instant::now() < until, "{}: {:?}", peer.name(), log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn litellm(upstream: SocketAddr, key: &str) -> String {
    format!(
        "model_list: [{{model_name: instant, litellm_params: {{model: openai/instant, \
         api_base: \"http://{upstream}/v1\", api_key: none, rpm: 100000000, tpm: 1000000000}}}}]\n\
         litellm_settings: {{telemetry: false}}\ngeneral_settings: {{master_key: \"{key}\"}}\n"
    )
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}

fn random() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}
