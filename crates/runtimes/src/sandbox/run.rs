//! The node's side of a run.

use super::capture::{Chunk, Stream, capture};
use super::cgroup::{CgroupPlace, Hierarchy};
use super::job::{Ended, Job};
use super::spec::{
    ExitKind, Network, Program, SandboxError, SandboxExit, SandboxSpec, WorkspaceMount,
};
use super::support::{self, HostSupport};
use super::zygote::{Helper, Zygote};
use crate::workspace::disk;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::{RwLock, mpsc};

/// How long output may lag behind the end of a run; nothing can hold the pipes by then.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What a node's sandboxes are made of.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// This program; its `main` calls [`super::sandbox_main`] when the first argument is `__sandbox`.
    pub exe: PathBuf,
    /// Tells this node's control groups from those of others: ASCII letters, digits and `-`.
    pub node: String,
    /// A private folder for output that does not fit into memory; emptied at each start.
    pub scratch: PathBuf,
}

/// Starts sandboxes.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    zygote: Zygote,
    /// Held by every helper whose outcome is known and which still cleans up.
    leaving: Arc<RwLock<()>>,
    hierarchy: Option<Hierarchy>,
    masks: Vec<PathBuf>,
    support: HostSupport,
    runs: AtomicU64,
}

impl Sandbox {
    /// Removes what an earlier node of the same name left, and finds out what the host can do.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] where the scratch folder cannot be made.
    pub async fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let failed = |error: io::Error| SandboxError::Setup {
            step: format!("making {}", config.scratch.display()),
            error: error.to_string(),
        };
        let _nothing_there = disk::remove(&config.scratch);
        std::fs::create_dir_all(&config.scratch).map_err(failed)?;
        let hierarchy = Hierarchy::find(&format!("mainstay-{}", config.node));
        if let Some(hierarchy) = &hierarchy {
            hierarchy.sweep();
        }
        let is_root = rustix::process::geteuid().is_root();
        let mut sandbox = Self {
            support: HostSupport {
                is_root,
                namespaces: Ok(()),
                overlay: Ok(()),
                cgroup: support::cgroup_version(hierarchy.as_ref()),
                landlock: support::has_landlock(),
                seccomp: support::has_seccomp(),
            },
            masks: if is_root {
                support::masks()
            } else {
                Vec::new()
            },
            hierarchy,
            zygote: Zygote::new(config.exe.clone()),
            leaving: Arc::default(),
            config,
            runs: AtomicU64::new(0),
        };
        sandbox.support.namespaces = sandbox.probe(None).await;
        sandbox.support.overlay = sandbox.probe_overlay().await;
        Ok(sandbox)
    }

    /// This program.
    #[must_use]
    pub fn exe(&self) -> &Path {
        &self.config.exe
    }

    /// What the host can do.
    #[must_use]
    pub fn support(&self) -> &HostSupport {
        &self.support
    }

    /// Runs a tool to its end. Dropping the future kills it and all that it started.
    ///
    /// # Errors
    /// [`SandboxError`] where it could not run; a tool that fails is no error.
    pub async fn run(
        &self,
        spec: &SandboxSpec,
        live: Option<mpsc::Sender<Chunk>>,
    ) -> Result<SandboxExit, SandboxError> {
        let (job, weaker) = self.job(spec)?;
        let started = Instant::now();
        let Helper {
            mut socket,
            stdout,
            stderr,
        } = self.start(&job).await?;
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let file = |stream: &str| self.config.scratch.join(format!("{run}.{stream}"));
        let most = spec.output_bytes_max;
        let output = async {
            tokio::try_join!(
                capture(stdout, Stream::Stdout, most, file("out"), live.clone()),
                capture(stderr, Stream::Stderr, most, file("err"), live.clone()),
            )
        };
        let mut output = std::pin::pin!(output);
        let mut captured = None;
        let ended = {
            let mut ended = std::pin::pin!(receive(&mut socket));
            loop {
                tokio::select! {
                    ended = &mut ended => break ended,
                    done = &mut output, if captured.is_none() => captured = Some(done),
                }
            }
        };
        let captured = match captured {
            Some(done) => done,
            None => tokio::time::timeout(DRAIN_LIMIT, output)
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut))),
        };
        let ended = ended.map_err(|error| SandboxError::HelperDied {
            why: error.to_string(),
        })?;
        self.let_go(socket).await;
        let (stdout, stderr) = captured.map_err(|error| SandboxError::Setup {
            step: "reading output".to_owned(),
            error: error.to_string(),
        })?;
        Ok(SandboxExit {
            status: status(ended)?,
            stdout,
            stderr,
            wall: started.elapsed(),
            weaker,
        })
    }

    /// Leaves a helper to its cleaning up.
    async fn let_go(&self, mut socket: UnixStream) {
        let leaving = Arc::clone(&self.leaving).read_owned().await;
        tokio::spawn(async move {
            let _closed = socket.read(&mut [0]).await;
            drop(leaving);
        });
    }

    /// Waits until helpers whose runs are over have cleaned up.
    pub async fn settled(&self) {
        let _all = self.leaving.write().await;
    }

    /// Ends what waits for runs; the next one would begin it again.
    pub async fn close(&self) {
        self.settled().await;
        self.zygote.end().await;
    }

    async fn start(&self, job: &Job) -> Result<Helper, SandboxError> {
        let failed = |error: io::Error| SandboxError::Setup {
            step: "starting the helper".to_owned(),
            error: error.to_string(),
        };
        let message = Job::encode(job).map_err(failed)?;
        self.zygote.fork(&message).await.map_err(failed)
    }

    fn job(&self, spec: &SandboxSpec) -> Result<(Job, Vec<String>), SandboxError> {
        for path in spec.read.iter().chain(&spec.write) {
            if !path.exists() {
                return Err(SandboxError::NoSuchPath { path: path.clone() });
            }
        }
        let has_limits = spec.memory_bytes.is_some() || spec.pids.is_some();
        let weaker = self.weaker(spec)?;
        let (uid, gid) = self.owner(spec)?;
        let name = format!(
            "{}-{}",
            std::process::id(),
            self.runs.fetch_add(1, Ordering::Relaxed)
        );
        let place = |hierarchy: &Hierarchy| CgroupPlace {
            hierarchy: hierarchy.clone(),
            name,
            memory_bytes: spec.memory_bytes,
            pids: spec.pids,
        };
        let cgroup = self.hierarchy.as_ref().filter(|_| has_limits).map(place);
        let is_old = cgroup.is_none();
        let job = Job {
            spec: spec.clone(),
            is_root: self.support.is_root,
            uid,
            gid,
            masks: if uid == 0 {
                self.masks.clone()
            } else {
                Vec::new()
            },
            cgroup,
            memory_bytes: spec.memory_bytes.filter(|_| is_old),
            pids: spec.pids.filter(|_| is_old),
        };
        Ok((job, weaker))
    }

    /// What this host enforces less strictly than asked; an error unless that is allowed.
    fn weaker(&self, spec: &SandboxSpec) -> Result<Vec<String>, SandboxError> {
        let mut weaker = Vec::new();
        if self.hierarchy.is_none() {
            if spec.memory_bytes.is_some() {
                weaker.push("memory (per process only: no usable control group)".to_owned());
            }
            // Process limits are counted per user namespace since Linux 5.14, but never for root.
            if spec.pids.is_some() && self.support.is_root {
                weaker.push("pids (no usable control group)".to_owned());
            }
        }
        match weaker.first() {
            Some(what) if !spec.is_weaker_allowed => {
                Err(SandboxError::Unsupported { what: what.clone() })
            }
            _ => Ok(weaker),
        }
    }

    /// Whom the tool runs as: root's tools run as the owner of the workspace, others as the node.
    fn owner(&self, spec: &SandboxSpec) -> Result<(u32, u32), SandboxError> {
        let own = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let Some(workspace) = spec.workspace.as_ref().filter(|_| self.support.is_root) else {
            return Ok(own);
        };
        let folder = workspace.folder();
        match std::fs::metadata(folder) {
            Ok(found) => Ok((found.uid(), found.gid())),
            Err(_) => Err(SandboxError::NoSuchPath {
                path: folder.clone(),
            }),
        }
    }

    async fn probe(&self, workspace: Option<WorkspaceMount>) -> Result<(), String> {
        let spec = SandboxSpec {
            program: Program::Command {
                argv: vec!["/bin/true".to_owned()],
            },
            workspace,
            read: Vec::new(),
            write: Vec::new(),
            hide: Vec::new(),
            env: BTreeMap::new(),
            cwd: PathBuf::from("/"),
            home: PathBuf::from("/home/agent"),
            network: Network::None,
            memory_bytes: None,
            pids: None,
            timeout: Duration::from_secs(10),
            output_bytes_max: 4096,
            is_weaker_allowed: true,
        };
        match self.run(&spec, None).await {
            Ok(SandboxExit {
                status: ExitKind::Code(0),
                ..
            }) => Ok(()),
            Ok(exit) => Err(format!(
                "{:?}: {}",
                exit.status,
                String::from_utf8_lossy(&exit.stderr.head).trim()
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn probe_overlay(&self) -> Result<(), String> {
        let root = self.config.scratch.join("probe");
        let folder = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(&path)
                .map(|()| path)
                .map_err(|error| error.to_string())
        };
        let workspace = WorkspaceMount::Overlay {
            lower: folder("lower")?,
            upper: folder("upper")?,
            work: folder("work")?,
            at: PathBuf::from("/probe"),
        };
        let probed = self.probe(Some(workspace)).await;
        let _left_for_the_next_start = disk::remove(&root);
        probed
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(hierarchy) = &self.hierarchy {
            hierarchy.remove();
        }
    }
}

async fn receive(socket: &mut UnixStream) -> io::Result<Ended> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).await?;
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    socket.read_exact(&mut body).await?;
    serde_json::from_slice(&body).map_err(io::Error::other)
}

fn status(ended: Ended) -> Result<ExitKind, SandboxError> {
    Ok(match ended {
        Ended::Code(code) => ExitKind::Code(code),
        Ended::Signal(signal) => ExitKind::Signal(signal),
        Ended::TimedOut => ExitKind::TimedOut,
        Ended::OutOfMemory => ExitKind::OutOfMemory,
        Ended::Cancelled => ExitKind::Cancelled,
        Ended::Failed { step, error } => return Err(SandboxError::Setup { step, error }),
    })
}
