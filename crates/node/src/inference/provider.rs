//! Opens the providers that the manifest names. One that did not change stays open, with its connections.

use super::health::Asked;
use super::local::LocalProvider;
use crate::secrets;
use mainstay_contract::{Code, Coded, ErrorReport, Secret};
use mainstay_inference::{
    Answering, BoxFuture, Dialect, EmbeddingRequest, Embeddings, InferenceError, Origin, Provider,
    ProviderCall,
};
use mainstay_local::Status;
use mainstay_manifest::{
    HeaderValue, Model, Provider as Source, SecretSource, Timeouts as Written,
};
use mainstay_providers::{
    Form, HealthProbe, HttpSettings, ProviderSettings, Recorder, ResponseLimits, Route, Script,
    SecretReader, Service, Timeouts, open,
};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Open providers, by the model as it stands in the manifest.
#[derive(Default)]
pub(super) struct Opened(HashMap<String, (Model, Outcome)>);

/// Is told a local model's name, and how it is doing from then on.
pub(crate) type OnLocal<'a> = dyn Fn(&str, watch::Receiver<Status>) + 'a;

/// What a provider is opened with beside its model.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) secrets: &'a BTreeMap<String, SecretSource>,
    pub(crate) record: Option<&'a Path>,
    /// The content of a script that is not read from its file.
    pub(crate) script: Option<Vec<u8>>,
    /// The program that is started again as a worker.
    pub(crate) exe: &'a Path,
    /// Told of every local model that is started.
    pub(crate) on_local: Option<&'a OnLocal<'a>>,
}

impl Place<'_> {
    fn local(&self, name: &str, source: &Source) -> Result<Arc<dyn Provider>, Box<ErrorReport>> {
        let provider = LocalProvider::start(name, source, self.folder, self.exe)?;
        if let Some(told) = self.on_local {
            told(name, provider.watch());
        }
        Ok(Arc::new(provider))
    }
}

impl Opened {
    /// Opens the providers of these models and forgets all others.
    pub(super) fn exchange(
        &mut self,
        models: &BTreeMap<String, Model>,
        place: &Place<'_>,
    ) -> HashMap<Arc<str>, Arc<dyn Provider>> {
        let mut opened = HashMap::new();
        for (name, model) in models {
            if !model.pool().is_empty() {
                continue;
            }
            // A script may change without the manifest.
            let is_script = matches!(model.provider, Source::Script { .. });
            let known = self.0.get(name);
            let known = known.filter(|(known, outcome)| {
                known == model && !is_script && matches!(outcome, Outcome::Opened(..))
            });
            let provider = match known {
                Some((_, outcome)) => outcome.clone(),
                None => match open_asked(name, model, place) {
                    Ok(outcome) => outcome,
                    Err(report) => {
                        let message = report.message;
                        if self.unusable(name) != Some(&message) {
                            tracing::warn!(model = name, error = message, "a model cannot be used");
                        }
                        let model = name.clone();
                        Outcome::Failed(Arc::new(Unusable { model, message }))
                    }
                },
            };
            opened.insert(name.clone(), (model.clone(), provider));
        }
        self.0 = opened;
        let by_name = self.0.iter();
        by_name
            .map(|(name, (_, outcome))| (Arc::from(name.as_str()), outcome.provider()))
            .collect()
    }

    /// The servers that are to be asked for their health, by the model.
    pub(super) fn asked(&self) -> BTreeMap<Arc<str>, Arc<Asked>> {
        let asked = self
            .0
            .iter()
            .filter_map(|(name, (_, outcome))| match outcome {
                Outcome::Opened(_, Some(asked)) => {
                    Some((Arc::from(name.as_str()), Arc::clone(asked)))
                }
                Outcome::Opened(_, None) | Outcome::Failed(_) => None,
            });
        asked.collect()
    }

    /// Why a model could not be opened; nothing where it was.
    pub(super) fn unusable(&self, name: &str) -> Option<&String> {
        match self.0.get(name)? {
            (_, Outcome::Failed(unusable)) => Some(&unusable.message),
            (_, Outcome::Opened(..)) => None,
        }
    }

    /// Whether a model could not be opened, and may be by now.
    pub(super) fn has_unusable(&self) -> bool {
        let mut outcomes = self.0.values().map(|(_, outcome)| outcome);
        outcomes.any(|outcome| matches!(outcome, Outcome::Failed(_)))
    }
}

/// What became of opening a model.
#[derive(Clone)]
pub(super) enum Outcome {
    /// With its server, where that is asked for its health.
    Opened(Arc<dyn Provider>, Option<Arc<Asked>>),
    Failed(Arc<Unusable>),
}

impl Outcome {
    fn provider(&self) -> Arc<dyn Provider> {
        match self {
            Self::Opened(provider, _) => Arc::clone(provider),
            Self::Failed(unusable) => Arc::clone(unusable) as Arc<dyn Provider>,
        }
    }
}

/// Stands where a model could not be opened, and says why to whoever asks it.
pub(super) struct Unusable {
    model: String,
    message: String,
}

impl Unusable {
    fn error(&self) -> InferenceError {
        InferenceError::ModelNotFound {
            origin: Origin {
                provider: "the manifest".to_owned(),
                model: self.model.clone(),
                answering: false,
            },
            message: self.message.clone(),
        }
    }
}

impl Provider for Unusable {
    fn dialect(&self, _caller: Option<Dialect>) -> Option<Dialect> {
        None
    }

    fn call(
        self: Arc<Self>,
        _call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        Box::pin(async move { Err(self.error()) })
    }

    fn embed(
        self: Arc<Self>,
        _request: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        Box::pin(async move { Err(self.error()) })
    }
}

/// A secret of the manifest, read whenever it is asked for.
struct FromManifest {
    name: String,
    source: SecretSource,
    folder: PathBuf,
}

impl SecretReader for FromManifest {
    fn read(&self) -> Result<Secret, Box<ErrorReport>> {
        secrets::read(&self.name, &self.source, &self.folder)
    }
}

/// Opens one model, and what asks for the health of its server.
pub(super) fn open_asked(
    name: &str,
    model: &Model,
    place: &Place<'_>,
) -> Result<Outcome, Box<ErrorReport>> {
    let Some(check) = model.health.clone() else {
        return Ok(Outcome::Opened(open_pinned(name, model, place)?, None));
    };
    let settings = http(model, place)?;
    let probe = HealthProbe::open(&settings, &check.url, check.timeout);
    let asked = Asked {
        probe: probe.map_err(|error| Box::new(error.report()))?,
        check,
        base_url: settings.base_url.clone(),
    };
    let provider = opened(ProviderSettings::Http(Box::new(settings)), place)?;
    Ok(Outcome::Opened(provider, Some(Arc::new(asked))))
}

/// Opens one model.
pub(crate) fn open_pinned(
    name: &str,
    model: &Model,
    place: &Place<'_>,
) -> Result<Arc<dyn Provider>, Box<ErrorReport>> {
    let settings = match &model.provider {
        Source::Script { file } => script(file, place)?,
        Source::Local { .. } => return place.local(name, &model.provider),
        Source::Pool { .. } => {
            let message = format!("the model {name} is a pool and has no provider of its own");
            return Err(Box::new(ErrorReport::new(Code::Internal, message)));
        }
        _ => ProviderSettings::Http(Box::new(http(model, place)?)),
    };
    opened(settings, place)
}

fn opened(
    settings: ProviderSettings,
    place: &Place<'_>,
) -> Result<Arc<dyn Provider>, Box<ErrorReport>> {
    let provider = open(settings).map_err(|error| Box::new(error.report()))?;
    recorded(provider, place.record)
}

fn script(file: &str, place: &Place<'_>) -> Result<ProviderSettings, Box<ErrorReport>> {
    let failed = |message: String| Box::new(ErrorReport::new(Code::ManifestInvalid, message));
    let bytes = match &place.script {
        Some(bytes) => bytes.clone(),
        None => std::fs::read(place.folder.join(file))
            .map_err(|error| failed(format!("the script {file} cannot be read: {error}")))?,
    };
    let steps = Script::parse(file, &bytes).map_err(|error| failed(error.to_string()))?;
    Ok(ProviderSettings::Script { steps })
}

fn http(model: &Model, place: &Place<'_>) -> Result<HttpSettings, Box<ErrorReport>> {
    let service = match &model.provider {
        Source::OpenAi { .. } => Service::OpenAi,
        Source::Anthropic { .. } => Service::Anthropic,
        Source::Gemini { .. } => Service::Gemini,
        Source::AzureOpenAi { api_version, .. } => Service::AzureOpenAi {
            api_version: api_version.clone(),
        },
        _ => Service::OpenAiCompatible,
    };
    let api_key = match model.provider.api_key() {
        None => None,
        Some(key) => Some(Arc::new(secret(&key.secret, place)?) as Arc<dyn SecretReader>),
    };
    let header = |(name, value): (&String, &HeaderValue)| {
        let value = match value {
            HeaderValue::Text(text) => Secret::new(text.clone()),
            HeaderValue::Secret(name) => secret(name, place)?.read()?,
        };
        Ok((name.clone(), value))
    };
    let headers: Result<_, Box<ErrorReport>> = model.headers.iter().map(header).collect();
    Ok(HttpSettings {
        provider: model.provider.word().to_owned(),
        service,
        base_url: model.provider.base_url().unwrap_or_default().to_owned(),
        model: model.provider.model().unwrap_or_default().to_owned(),
        api_key,
        headers: headers?,
        route: route(model, place)?,
        timeouts: timeouts(model.timeout),
        limits: ResponseLimits::default(),
    })
}

fn route(model: &Model, place: &Place<'_>) -> Result<Route, Box<ErrorReport>> {
    let read = |file: &String| {
        std::fs::read(place.folder.join(file)).map_err(|error| {
            let message = format!("the certificates {file} cannot be read: {error}");
            Box::new(ErrorReport::new(Code::ManifestInvalid, message))
        })
    };
    Ok(Route {
        authorities: model.ca_file.as_ref().map(read).transpose()?,
        proxy: model.proxy_url.clone(),
    })
}

fn secret(name: &str, place: &Place<'_>) -> Result<FromManifest, Box<ErrorReport>> {
    let source = place.secrets.get(name).cloned().ok_or_else(|| {
        let message = format!("the secret `{name}` is not declared");
        Box::new(ErrorReport::new(Code::SecretUnavailable, message).about("secret", name))
    })?;
    Ok(FromManifest {
        name: name.to_owned(),
        source,
        folder: place.folder.to_owned(),
    })
}

/// An answer that comes whole begins when it is complete: the bound of its beginning is that of the whole
/// call, where the manifest does not say otherwise.
fn timeouts(written: Written) -> Timeouts {
    let first_token_whole = match written.first_token_written {
        true => written.first_token,
        false => written.total,
    };
    Timeouts {
        connect: written.connect,
        first_token: written.first_token,
        first_token_whole,
        idle: written.idle,
        total: written.total,
    }
}

fn recorded(
    provider: Arc<dyn Provider>,
    record: Option<&Path>,
) -> Result<Arc<dyn Provider>, Box<ErrorReport>> {
    let Some(path) = record else {
        return Ok(provider);
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    let file = file.map_err(|error| {
        let message = format!(
            "the recording {} cannot be written: {error}",
            path.display()
        );
        Box::new(ErrorReport::new(Code::InvalidRequest, message))
    })?;
    Ok(Arc::new(Recorder::new(provider, file, Form::of(path))))
}
