//! What a manifest needs around it for its models: files, secrets and prices, read as the node reads them.

use super::provider::{self, Place};
use super::{hashes, local, prices};
use crate::error::RequestError;
use crate::manifest_file::ManifestFile;
use crate::secrets;
use mainstay_contract::Code;
use mainstay_inference::{PriceTable, Pricing};
use mainstay_manifest::{Finding, HeaderValue, Manifest, Model, Provider as Source, unusable};
use mainstay_runner::workspace::read_manifest;
use std::path::Path;

/// What is wrong around a manifest's models.
#[derive(Debug, Clone, Default)]
pub struct FileFindings {
    /// What cannot be used.
    pub errors: Vec<Finding>,
    /// What is not there, and may be when the node runs: secrets and keys.
    pub warnings: Vec<Finding>,
}

/// A field, what is wrong with what it names or needs, and whether that holds elsewhere, too.
struct Unusable<'a> {
    field: Vec<&'a str>,
    message: String,
    is_certain: bool,
}

/// Reads what a manifest names for its models: prices, certificates, scripts, secrets, and whether a model
/// on this machine is there. Nothing is started, and nobody is asked.
///
/// # Errors
/// [`RequestError`] where the manifest itself cannot be used.
pub fn check_files(manifest: &Path) -> Result<FileFindings, RequestError> {
    let file = ManifestFile::new(Some(manifest.to_owned()));
    let (read, folder) = file.read()?;
    let bytes = read_manifest(manifest).map_err(|error| RequestError::ManifestUnreadable {
        path: manifest.to_owned(),
        error,
    })?;
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    let mut findings = FileFindings::default();
    for it in found(&read, folder) {
        let finding = unusable(&name, &bytes, &it.field, &it.message);
        match it.is_certain {
            true => findings.errors.push(finding),
            false => findings.warnings.push(finding),
        }
    }
    for list in [&mut findings.errors, &mut findings.warnings] {
        list.sort_by_key(|finding| (finding.line, finding.column));
    }
    Ok(findings)
}

fn found<'a>(manifest: &'a Manifest, folder: &Path) -> Vec<Unusable<'a>> {
    let mut found = Vec::new();
    match prices::table(manifest, folder) {
        Ok(table) => found.extend(of_budgets(manifest, folder, &table)),
        Err(report) => found.push(Unusable {
            field: vec!["prices"],
            message: report.message,
            is_certain: true,
        }),
    }
    let place = Place {
        folder,
        secrets: &manifest.secrets,
        record: None,
        script: None,
        exe: Path::new(""),
        on_local: None,
    };
    let models = manifest.models.iter();
    found.extend(models.filter_map(|(name, model)| of_model(name, model, &place)));
    let models = manifest.models.iter();
    found.extend(models.filter_map(|(name, model)| without_key(name, model)));
    for (name, source) in &manifest.secrets {
        if let Err(report) = secrets::read(name, source, folder) {
            found.push(Unusable {
                field: vec!["secrets", name],
                message: report.message,
                is_certain: false,
            });
        }
    }
    found.extend(of_keys(manifest, folder));
    found
}

fn of_model<'a>(name: &'a str, model: &'a Model, place: &Place<'_>) -> Option<Unusable<'a>> {
    let report = match &model.provider {
        Source::Pool { .. } => return None,
        // Opened, it would be loaded.
        Source::Local { path, .. } => local::model_file(name, path, place.folder).err()?,
        _ => provider::open_asked(name, model, place).err()?,
    };
    let is_secret = report.code == Code::SecretUnavailable;
    let field = match model.provider {
        _ if is_secret => "headers",
        Source::Local { .. } => "path",
        Source::Script { .. } => "file",
        _ => "ca_file",
    };
    Some(Unusable {
        field: vec!["models", name, field],
        message: report.message,
        is_certain: !is_secret,
    })
}

/// A model that nobody answers without a key. A server of one's own, which is not https here, may do without.
fn without_key<'a>(name: &'a str, model: &'a Model) -> Option<Unusable<'a>> {
    let provider = &model.provider;
    let is_hosted = matches!(
        provider,
        Source::OpenAi { .. }
            | Source::Anthropic { .. }
            | Source::Gemini { .. }
            | Source::AzureOpenAi { .. }
    );
    let is_https = provider
        .base_url()
        .is_some_and(|url| url.starts_with("https:"));
    let may_be_key = |(name, value): (&String, &HeaderValue)| {
        let name = name.to_ascii_lowercase();
        matches!(value, HeaderValue::Secret(_)) || name.contains("key") || name == "authorization"
    };
    let has_key = provider.api_key().is_some() || model.headers.iter().any(may_be_key);
    (is_hosted && is_https && !has_key).then(|| Unusable {
        field: vec!["models", name],
        message: format!(
            "there is no `api_key`, and {} answers nobody without one",
            provider.word()
        ),
        is_certain: false,
    })
}

/// Budgets that nobody could hold: every call that they count would be refused.
fn of_budgets<'a>(manifest: &'a Manifest, folder: &Path, table: &PriceTable) -> Vec<Unusable<'a>> {
    let unknown = |section: &'static str, name: &'a str, model: &str| Unusable {
        field: vec![section, name, "budget"],
        message: format!(
            "the price of the model `{model}` is not known, so every call would be refused; \
             give it a `price`, or say `if_price_unknown: allow`"
        ),
        is_certain: true,
    };
    let models = manifest.models.iter().filter(|(_, model)| {
        model.budget.is_some() && matches!(prices::pricing(model, table), Pricing::Unknown)
    });
    let agents = manifest.agents.iter().filter(|(_, agent)| {
        let has_budget =
            agent.budget.is_some() || agent.session_budget.is_some() || agent.own_budget.is_some();
        let model = manifest.models.get(&agent.model);
        let price = model.map(|model| prices::of_turn(manifest, folder, model));
        has_budget && matches!(price, Some(Ok(None)))
    });
    let models = models.map(|(name, _)| unknown("models", name, name));
    let agents = agents.map(|(name, agent)| unknown("agents", name.as_str(), &agent.model));
    models.chain(agents).collect()
}

/// Keys that can be read and let nobody in all the same.
fn of_keys<'a>(manifest: &'a Manifest, folder: &Path) -> Vec<Unusable<'a>> {
    let hashes = hashes(manifest, folder).into_iter();
    let unusable = |(name, hash): (String, Result<_, String>)| {
        let (name, key) = manifest.keys.get_key_value(&name)?;
        let source = manifest.secrets.get(&key.secret)?;
        secrets::read(&key.secret, source, folder).ok()?;
        Some(Unusable {
            field: vec!["keys", name],
            message: hash.err()?,
            is_certain: true,
        })
    };
    hashes.filter_map(unusable).collect()
}
