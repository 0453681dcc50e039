//! The files that a manifest names for its models, read as the node reads them.

use super::provider::{self, Place};
use super::{hashes, local, prices};
use crate::error::RequestError;
use crate::manifest_file::ManifestFile;
use crate::secrets;
use mainstay_contract::Code;
use mainstay_manifest::{Finding, Manifest, Model, Provider as Source, SecretSource, unusable};
use mainstay_runner::workspace::read_manifest;
use std::path::Path;

/// What is wrong with the files that a manifest names for its models.
#[derive(Debug, Clone, Default)]
pub struct FileFindings {
    /// What cannot be used.
    pub errors: Vec<Finding>,
    /// What is not there, and may be when the node runs: secrets.
    pub warnings: Vec<Finding>,
}

/// A field, what is wrong with its file, and whether that holds elsewhere, too.
struct Unusable<'a> {
    field: Vec<&'a str>,
    message: String,
    is_certain: bool,
}

/// Reads the files that a manifest names for its models: prices, certificates, scripts, secrets, and whether a model
/// on this machine is there. Nothing is started,
/// and nobody is asked.
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
    if let Err(report) = prices::table(manifest, folder) {
        found.push(Unusable {
            field: vec!["prices"],
            message: report.message,
            is_certain: true,
        });
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
    for (name, source) in &manifest.secrets {
        if let (SecretSource::File(_), Err(report)) = (source, secrets::read(name, source, folder))
        {
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
