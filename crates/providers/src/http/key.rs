//! The key of a provider: read once, and again when the provider refuses it.

use super::ProviderOpenError;
use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_contract::{ErrorReport, Secret};
use mainstay_inference::Cleaner;
use std::sync::{Arc, Mutex, PoisonError};

/// Where secrets come from.
pub trait SecretReader: Send + Sync {
    /// Reads the secret as it is now.
    ///
    /// # Errors
    /// A report that says why it cannot be read.
    fn read(&self) -> Result<Secret, Box<ErrorReport>>;
}

/// A secret that never changes.
impl SecretReader for Secret {
    fn read(&self) -> Result<Secret, Box<ErrorReport>> {
        Ok(self.clone())
    }
}

/// How a provider wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// In a header of its own.
    Named(&'static str),
}

/// The headers that every request carries, with the key as it was when they were made.
pub(super) struct Keyed {
    pub(super) headers: HeaderMap,
    pub(super) cleaner: Cleaner,
    secret: Option<Secret>,
}

/// Holds the key.
pub(super) struct KeyRing {
    reader: Option<Arc<dyn SecretReader>>,
    form: KeyHeader,
    fixed: HeaderMap,
    fixed_secrets: Vec<Secret>,
    current: Mutex<Option<Arc<Keyed>>>,
}

/// Why there is no key to send.
#[derive(Debug)]
pub(super) enum KeyError {
    Unreadable(Box<ErrorReport>),
    Unsendable,
}

impl KeyError {
    pub(super) fn message(self) -> String {
        match self {
            Self::Unreadable(report) => report.message,
            Self::Unsendable => "the key holds characters that cannot be sent: look for a line break or a space at its end".to_owned(),
        }
    }
}

impl KeyRing {
    pub(super) fn new(
        reader: Option<Arc<dyn SecretReader>>,
        form: KeyHeader,
        headers: &[(String, Secret)],
        plain: &[(&'static str, &'static str)],
        model: &str,
    ) -> Result<Self, ProviderOpenError> {
        let mut fixed = HeaderMap::new();
        for (name, value) in plain {
            fixed.insert(*name, HeaderValue::from_static(value));
        }
        fixed.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let agent = concat!("mainstay/", env!("CARGO_PKG_VERSION"));
        fixed.insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in headers {
            let refused = || ProviderOpenError::Header {
                model: model.to_owned(),
                name: name.clone(),
            };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused())?;
            value.set_sensitive(true);
            fixed.insert(name, value);
        }
        Ok(Self {
            reader,
            form,
            fixed,
            fixed_secrets: headers.iter().map(|(_, value)| value.clone()).collect(),
            current: Mutex::new(None),
        })
    }

    /// The key in use; read where none was yet.
    pub(super) fn current(&self) -> Result<Arc<Keyed>, KeyError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keyed) = &*current {
            return Ok(Arc::clone(keyed));
        }
        let keyed = Arc::new(self.read()?);
        *current = Some(Arc::clone(&keyed));
        Ok(keyed)
    }

    /// Reads the key again after the provider refused `refused`. However many calls are refused at once, it
    /// is read once: whoever comes later finds that it changed. Nothing where it is the same as before.
    pub(super) fn after_refusal(
        &self,
        refused: &Arc<Keyed>,
    ) -> Result<Option<Arc<Keyed>>, KeyError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keyed) = current
            .as_ref()
            .filter(|keyed| !Arc::ptr_eq(keyed, refused))
        {
            return Ok(Some(Arc::clone(keyed)).filter(|keyed| keyed.secret != refused.secret));
        }
        let keyed = Arc::new(self.read()?);
        *current = Some(Arc::clone(&keyed));
        Ok((keyed.secret != refused.secret).then_some(keyed))
    }

    /// Reads the key as it is now, and keeps the one in use.
    pub(super) fn read(&self) -> Result<Keyed, KeyError> {
        let mut headers = self.fixed.clone();
        let mut secrets = self.fixed_secrets.clone();
        let Some(reader) = &self.reader else {
            return Ok(Keyed {
                headers,
                cleaner: Cleaner::new(secrets),
                secret: None,
            });
        };
        let secret = reader.read().map_err(KeyError::Unreadable)?;
        let text = secret.expose();
        let (name, value) = match self.form {
            KeyHeader::Bearer => (http::header::AUTHORIZATION, format!("Bearer {text}")),
            KeyHeader::Named(name) => (HeaderName::from_static(name), text.to_owned()),
        };
        let value = HeaderValue::from_str(&value).ok();
        let value = value.filter(|_| text.trim() == text);
        let mut value = value.ok_or(KeyError::Unsendable)?;
        value.set_sensitive(true);
        headers.insert(name, value);
        secrets.push(secret.clone());
        Ok(Keyed {
            headers,
            cleaner: Cleaner::new(secrets),
            secret: Some(secret),
        })
    }
}
