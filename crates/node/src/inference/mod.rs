//! The models of the manifest behind the gateway, and what becomes of a manifest that is edited while the
//! node runs.

mod call;
mod day;
mod files;
mod health;
mod local;
mod prices;
mod provider;
mod settings;
mod views;

pub(crate) use call::{Calling, Said};
pub use call::{ModelCall, ModelReply, ReplyTokens};
pub use day::{Day, NoDay};
pub use files::{FileFindings, check_files};
pub use health::{HealthFailure, HealthState, HealthStatus};
pub use views::{
    BudgetStatus, ModelStatus, PriceStatus, Usage, UsageFilter, UsageLine, WorkerStatus,
};
pub(crate) use views::{models, usage};

pub(crate) use prices::of_turn as price_of_turn;
pub(crate) use provider::{Place, open_pinned};

use health::Probers;
use provider::Opened;

use crate::manifest_file::ManifestFile;
use crate::metrics::one_text;
use crate::secrets;
use mainstay_gateway::{Gateway, Ledger, LedgerError, Settings};
use mainstay_local::{Status, Unready};
use mainstay_manifest::{Manifest, Model, Provider as Source};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How often the manifest is looked at, and spending made safe.
const EVERY: Duration = Duration::from_secs(1);

/// The name of the ledger in the data directory.
pub(crate) const LEDGER: &str = "spending.jsonl";

/// The models.
pub(crate) struct Models {
    gateway: Gateway,
    record: Option<PathBuf>,
    exe: PathBuf,
    known: Mutex<Known>,
    /// Whether there is a manifest, and none that could be used so far.
    has_none: AtomicBool,
    /// How the models on this machine are doing, by name.
    local: Mutex<BTreeMap<String, Followed>>,
    /// Who asks for the health of servers.
    probers: Probers,
}

/// A model on this machine, of which the gateway is told as long as this is there.
struct Followed {
    status: watch::Receiver<Status>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the gateway serves now, and out of which manifest.
#[derive(Default)]
struct Known {
    manifest: Option<Arc<Manifest>>,
    /// The last that was looked at; not the same where it could not be used.
    seen: Option<Arc<Manifest>>,
    opened: Opened,
    keys: Vec<Hashed>,
    /// What was wrong with the manifest when it was looked at last; it is said once.
    complaint: Option<String>,
}

impl Models {
    /// Opens the gateway with what the manifest says; with nothing where there is none, or none that is
    /// valid: it is looked at again.
    pub(crate) fn open(
        data_dir: &Path,
        file: &ManifestFile,
        record: Option<PathBuf>,
        exe: PathBuf,
    ) -> Result<Self, LedgerError> {
        let ledger = Ledger::open(&data_dir.join(LEDGER))?;
        let models = Self {
            gateway: Gateway::open(Settings::default(), ledger),
            record,
            exe,
            known: Mutex::default(),
            has_none: AtomicBool::new(false),
            local: Mutex::default(),
            probers: Probers::default(),
        };
        models.refresh(file);
        Ok(models)
    }

    pub(crate) const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub(crate) fn record(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    pub(crate) fn exe(&self) -> &Path {
        &self.exe
    }

    /// Whether no model is known because the manifest is not valid, and none before it was.
    pub(crate) fn has_none(&self) -> bool {
        self.has_none.load(Ordering::Relaxed)
    }

    /// How a model on this machine is doing; nothing for any other.
    pub(crate) fn local_status(&self, name: &str) -> Option<Status> {
        let local = self.followed();
        local.get(name).map(|local| local.status.borrow().clone())
    }

    /// How the server of a model is doing; nothing where it is not asked.
    pub(crate) fn health(&self, name: &str) -> Option<HealthStatus> {
        self.probers.status(name)
    }

    /// Waits until the servers that are asked for their health have answered once, two seconds at most.
    pub(crate) async fn known(&self) {
        self.probers.known().await;
    }

    /// Why a model cannot be used as it stands in the manifest, or its key not be read; nothing where both can.
    pub(crate) fn unusable(&self, name: &str, file: &ManifestFile) -> Option<String> {
        let known = self.lock();
        let reason = known.opened.unusable(name).cloned();
        let manifest = known.manifest.clone();
        drop(known);
        let without_key = || {
            let manifest = manifest?;
            let key = manifest.models.get(name)?.provider.api_key()?;
            let source = manifest.secrets.get(&key.secret)?;
            let read = secrets::read(&key.secret, source, file.path()?.parent()?);
            read.err().map(|report| report.message)
        };
        reason.or_else(without_key)
    }

    /// Asks no more servers for their health.
    pub(crate) fn stop(&self) {
        self.probers.stop();
    }

    /// The text that Prometheus reads.
    pub(crate) fn metrics_text(&self) -> String {
        one_text(self.probers.metrics_text(), &self.gateway.metrics_text())
    }

    /// Whether a model is served as it stands here.
    pub(crate) fn serves(&self, name: &str, model: &Model) -> bool {
        let known = self.lock();
        let served = known
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.models.get(name));
        served == Some(model)
    }

    /// Takes over a manifest that changed, and keys that did. One that is not valid changes nothing.
    pub(crate) fn refresh(&self, file: &ManifestFile) {
        if file.path().is_none() {
            return;
        }
        self.take_over(file);
        let has_none = self.lock().manifest.is_none();
        self.has_none.store(has_none, Ordering::Relaxed);
    }

    fn take_over(&self, file: &ManifestFile) {
        let (manifest, folder) = match file.read() {
            Ok(read) => read,
            Err(error) => {
                let complaint = Some(error.to_string());
                let mut known = self.lock();
                if known.complaint != complaint {
                    tracing::warn!(%error, "the manifest cannot be used, and the models stay as they are");
                    known.complaint = complaint;
                }
                return;
            }
        };
        let mut known = self.lock();
        known.complaint = None;
        let keys = hashes(&manifest, folder);
        warn_of(&keys, &known.keys);
        let is_same = known
            .seen
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &manifest));
        if is_same && keys == known.keys && !known.opened.has_unusable() {
            return;
        }
        let Known { opened, .. } = &mut *known;
        let on_local = |name: &str, status: watch::Receiver<Status>| {
            let task = follow(self.gateway.clone(), name, status.clone());
            let followed = Followed { status, task };
            self.followed().insert(name.to_owned(), followed);
        };
        let place = Place {
            folder,
            secrets: &manifest.secrets,
            record: self.record(),
            script: None,
            exe: &self.exe,
            on_local: Some(&on_local),
        };
        match settings::of(&manifest, folder, &keys, &place, opened) {
            Ok(settings) => {
                self.configure(settings, &manifest, opened);
                known.manifest = Some(Arc::clone(&manifest));
            }
            // It is not tried again before it changes.
            Err(error) => {
                tracing::warn!(error = %error.message, "the models stay as they are");
            }
        }
        (known.seen, known.keys) = (Some(manifest), keys);
    }

    /// Serves these models from now on, as far as they can be used.
    fn configure(&self, mut settings: Settings, manifest: &Manifest, opened: &Opened) {
        let is_local = |name: &str| {
            let model = manifest.models.get(name);
            model.is_some_and(|model| matches!(model.provider, Source::Local { .. }))
        };
        self.followed().retain(|name, _| is_local(name));
        let asked = opened.asked();
        let anew = self.probers.exchange(&asked);
        let mut unusable = Vec::new();
        for (name, deployment) in &mut settings.gate.deployments {
            let is_told = asked.contains_key(name) || is_local(name);
            let reason = opened.unusable(name);
            deployment.is_ready = match reason.is_some() || anew.contains(name) {
                true => Some(false),
                false => (!is_told).then_some(true),
            };
            unusable.extend(reason.map(|reason| (Arc::clone(name), reason)));
        }
        self.gateway.configure(settings);
        for (name, reason) in unusable {
            self.gateway.set_ready(&name, false, Some(EVERY), reason);
        }
        self.probers.begin(&self.gateway);
    }

    fn followed(&self) -> MutexGuard<'_, BTreeMap<String, Followed>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the gateway whether a local model takes requests, for as long as it runs. While a worker is replaced
/// it does: they wait for the new one.
fn follow(gateway: Gateway, name: &str, mut status: watch::Receiver<Status>) -> AbortHandle {
    let name: Arc<str> = Arc::from(name);
    let task = tokio::spawn(async move {
        loop {
            let closed = match &status.borrow_and_update().readiness {
                Ok(_) | Err(Unready::Starting | Unready::Restarting { .. }) => None,
                Err(Unready::Quarantined { loss, .. }) => {
                    tracing::error!(model = %name, %loss, "a local model is out of service");
                    Some(format!("its worker was lost too often: {loss}"))
                }
                Err(Unready::Stopping | Unready::Stopped) => Some(String::new()),
            };
            let reason = closed.as_deref().unwrap_or_default();
            gateway.set_ready(&name, closed.is_none(), None, reason);
            if status.changed().await.is_err() {
                return;
            }
        }
    });
    task.abort_handle()
}

/// The hash of a caller's key, or why nobody can show it.
type Hashed = (String, Result<[u8; 32], String>);

/// The hashes of the callers' keys, by name. Of several with the same value nobody could tell whose limits count, so
/// none of them lets anybody in.
fn hashes(manifest: &Manifest, folder: &Path) -> Vec<Hashed> {
    let hash = |(name, key): (&String, &mainstay_manifest::Key)| {
        let source = manifest.secrets.get(&key.secret)?;
        let hash = match secrets::read(&key.secret, source, folder) {
            Ok(secret) => Ok(*blake3::hash(secret.expose().as_bytes()).as_bytes()),
            Err(report) => Err(report.message),
        };
        Some((name.clone(), hash))
    };
    let mut read: Vec<Hashed> = manifest.keys.iter().filter_map(hash).collect();
    let mut owners: HashMap<[u8; 32], Vec<String>> = HashMap::new();
    for (name, hash) in &read {
        if let Ok(hash) = hash {
            owners.entry(*hash).or_default().push(name.clone());
        }
    }
    for (_, hash) in &mut read {
        let names = hash.as_ref().ok().and_then(|hash| owners.get(hash));
        if let Some(names) = names.filter(|names| names.len() > 1) {
            *hash = Err(format!(
                "the keys `{}` have the same value",
                names.join("`, `")
            ));
        }
    }
    read
}

/// Says which keys let nobody in, of those that did not stand so before.
fn warn_of(keys: &[Hashed], before: &[Hashed]) {
    for key @ (name, hash) in keys {
        if let (Err(why), false) = (hash, before.contains(key)) {
            tracing::warn!(key = name, error = %why, "a caller's key lets nobody in");
        }
    }
}

/// Keeps the models as the manifest has them until the node stops.
pub(crate) async fn keep(inner: std::sync::Weak<crate::node::Inner>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let kept = tokio::task::spawn_blocking(move || {
            inner.models.refresh(&inner.manifest);
            inner.models.gateway.sync();
        });
        if kept.await.is_err() {
            tracing::error!("keeping the models up to date failed");
        }
    }
}
