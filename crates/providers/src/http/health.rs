//! Asking a server whether it takes requests.

use super::call::chain;
use super::connect::ConnectError;
use super::endpoint::is_same_server;
use super::key::KeyRing;
use super::pool::{ExchangeError, Pool};
use super::{HttpSettings, ProviderOpenError, connector};
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use mainstay_inference::NetworkPhase;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// One address that says whether a server takes requests. Each question has a connection of its own: one that
/// was kept says nothing of a server that takes no more, or is closed just as it is used.
pub struct HealthProbe {
    address: Uri,
    within: Duration,
    keys: KeyRing,
    /// Never used itself.
    pool: Pool,
}

/// Why a server does not count as healthy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It answered with another status than 200 to 299. Redirects are not followed.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It did not answer in time.
    #[error("it did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It cannot be reached, or what it says is not HTTP.
    #[error("{message}")]
    Unreachable {
        /// How far it came.
        phase: NetworkPhase,
        /// What the network says.
        message: String,
    },
    /// The key that goes with the question cannot be read or sent.
    #[error("the key cannot be used: {0}")]
    Key(String),
}

impl ProbeError {
    /// A word for it, for counters.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::TimedOut(_) => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::Key(_) => "key",
        }
    }
}

impl HealthProbe {
    /// Prepares questions to an address. The model's key and headers go with them where that is at its own
    /// server, and nowhere else.
    ///
    /// # Errors
    /// [`ProviderOpenError`] where the address or the settings cannot work.
    pub fn open(
        settings: &HttpSettings,
        address: &str,
        within: Duration,
    ) -> Result<Self, ProviderOpenError> {
        let refused = |reason: String| ProviderOpenError::Health {
            model: settings.model.clone(),
            reason,
        };
        let address = Uri::from_str(address).map_err(|error| refused(error.to_string()))?;
        let base = Uri::from_str(&settings.base_url).map_err(|error| refused(error.to_string()))?;
        let (reader, headers) = match is_same_server(&address, &base) {
            true => (settings.api_key.clone(), settings.headers.as_slice()),
            false => (None, &[][..]),
        };
        let form = settings.service.key_header();
        let plain = settings.service.plain_headers();
        let pool = Pool::new(connector(settings, within)?, &address);
        Ok(Self {
            pool: pool.map_err(|error| refused(error.to_string()))?,
            address,
            within,
            keys: KeyRing::new(reader, form, headers, plain, &settings.model)?,
        })
    }

    /// Asks once. Only the status counts; what else comes is not read.
    ///
    /// # Errors
    /// [`ProbeError`] where the server is not healthy.
    pub async fn ask(&self) -> Result<(), ProbeError> {
        // The key may have been exchanged since the last time.
        let keyed = self.keys.read();
        let keyed = keyed.map_err(|error| ProbeError::Key(error.message()))?;
        let asked = tokio::time::timeout(self.within, self.exchange(keyed.headers)).await;
        match asked {
            Err(_) | Ok(Err(ExchangeError::Connect(ConnectError::TimedOut))) => {
                Err(ProbeError::TimedOut(self.within))
            }
            Ok(Err(error)) => Err(ProbeError::Unreachable {
                phase: match &error {
                    ExchangeError::Connect(ConnectError::Failed { phase, .. }) => *phase,
                    _ => NetworkPhase::Response,
                },
                message: keyed.cleaner.clean(&chain(&error)),
            }),
            Ok(Ok(status)) if (200..300).contains(&status) => Ok(()),
            Ok(Ok(status)) => Err(ProbeError::Status(status)),
        }
    }

    async fn exchange(&self, mut headers: HeaderMap) -> Result<u16, ExchangeError> {
        headers.remove(header::CONTENT_TYPE);
        let mut request = Box::new(Request::new(Full::new(Bytes::new())));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.address.clone();
        *request.headers_mut() = headers;
        let response = Arc::new(self.pool.emptied()).exchange(request).await?;
        Ok(response.status().as_u16())
    }
}
