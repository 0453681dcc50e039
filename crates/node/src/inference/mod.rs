//! The models of the manifest behind the gateway, and what becomes of a manifest that is edited while the
//! node runs.

mod prices;
mod provider;
mod settings;

pub(crate) use provider::{Place, open_pinned};

use provider::Opened;

use crate::manifest_file::ManifestFile;
use crate::secrets;
use mainstay_gateway::{Gateway, Ledger, LedgerError, Settings};
use mainstay_manifest::{Manifest, Model};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the manifest is looked at, and spending made safe.
const EVERY: Duration = Duration::from_secs(1);

/// The name of the ledger in the data directory.
const LEDGER: &str = "spending.jsonl";

/// The models.
pub(crate) struct Models {
    gateway: Gateway,
    record: Option<PathBuf>,
    known: Mutex<Known>,
}

/// What the gateway serves now, and out of which manifest.
#[derive(Default)]
struct Known {
    manifest: Option<Arc<Manifest>>,
    opened: Opened,
    keys: Vec<(String, Option<[u8; 32]>)>,
}

impl Models {
    /// Opens the gateway with what the manifest says; with nothing where there is none, or none that is
    /// valid: it is looked at again.
    pub(crate) fn open(
        data_dir: &Path,
        file: &ManifestFile,
        record: Option<PathBuf>,
    ) -> Result<Self, LedgerError> {
        let ledger = Ledger::open(&data_dir.join(LEDGER))?;
        let models = Self {
            gateway: Gateway::open(Settings::default(), ledger),
            record,
            known: Mutex::default(),
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
        let (manifest, folder) = match file.read() {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%error, "the manifest cannot be read, and the models stay as they are");
                return;
            }
        };
        let mut known = self.lock();
        let keys = hashes(&manifest, folder);
        let is_same = known
            .manifest
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &manifest));
        if is_same && keys == known.keys {
            return;
        }
        let Known { opened, .. } = &mut *known;
        match settings::of(&manifest, folder, self.record(), &keys, opened) {
            Ok(settings) => {
                self.gateway.configure(settings);
                (known.manifest, known.keys) = (Some(manifest), keys);
            }
            Err(error) => {
                tracing::warn!(error = %error.message, "the models stay as they are");
                // It is not tried again before it changes.
                (known.manifest, known.keys) = (Some(manifest), keys);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hashes of the callers' keys, by name; none where a key cannot be read, which nobody can show then.
fn hashes(manifest: &Manifest, folder: &Path) -> Vec<(String, Option<[u8; 32]>)> {
    let hash = |(name, key): (&String, &mainstay_manifest::Key)| {
        let source = manifest.secrets.get(&key.secret)?;
        let hash = match secrets::read(&key.secret, source, folder) {
            Ok(secret) => Some(*blake3::hash(secret.expose().as_bytes()).as_bytes()),
            Err(report) => {
                tracing::debug!(key = name, error = %report.message, "a key cannot be read");
                None
            }
        };
        Some((name.clone(), hash))
    };
    manifest.keys.iter().filter_map(hash).collect()
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
