//! What a request says in its headers: how long its caller waits, whom it speaks for, where it has been.

use super::refusal::Refusal;
use axum::http::{HeaderMap, header};
use mainstay_inference::HOPS;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: &str = "x-mainstay-timeout-ms";
const AGENT: &str = "x-mainstay-agent";
const SESSION: &str = "x-mainstay-session";
/// The longest name of an agent or a session, in bytes.
const NAME_MAX: usize = 128;
/// A request that came through more gateways goes round in a circle.
const HOPS_MAX: u8 = 8;

/// What headers say beside the body.
#[derive(Debug)]
pub(super) struct Said {
    /// Through how many gateways the request came.
    pub(super) hops: u8,
    /// How long the caller waits in all.
    pub(super) patience: Option<Duration>,
    /// Whether that is for the next byte alone: of a stream it says nothing but that.
    pub(super) is_for_bytes: bool,
    pub(super) agent: Option<Arc<str>>,
    pub(super) session: Option<Arc<str>>,
}

impl Said {
    /// Reads the headers.
    ///
    /// # Errors
    /// A header says what cannot be, or what is not done here.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Box<Refusal>> {
        let hops = text(headers, HOPS).and_then(|hops| hops.parse::<u8>().ok());
        let hops = hops.unwrap_or(0);
        if hops >= HOPS_MAX {
            let message = format!(
                "the request came through {hops} gateways: the `base_url` of a model leads back to one of them"
            );
            return Err(Box::new(Refusal::invalid(message, None)));
        }
        if is_encoded(headers) {
            let message = "`content-encoding` says that the body is compressed: only plain bodies are understood";
            return Err(Box::new(Refusal {
                status: 415,
                ..Refusal::invalid(message, None)
            }));
        }
        let patience = patience(headers);
        let of_header = |message| Box::new(Refusal::invalid(message, Some(TIMEOUT.to_owned())));
        Ok(Self {
            hops,
            patience: patience.map_err(of_header)?,
            is_for_bytes: !headers.contains_key(TIMEOUT),
            agent: name(headers, AGENT)?,
            session: name(headers, SESSION)?,
        })
    }
}

/// A name that a header gives. An empty one is none.
fn name(headers: &HeaderMap, header: &'static str) -> Result<Option<Arc<str>>, Box<Refusal>> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(name) if name.len() <= NAME_MAX => Ok(Some(Arc::from(name))),
        _ => {
            let message = format!("`{header}` is a name of at most {NAME_MAX} ASCII characters");
            Err(Box::new(Refusal::invalid(message, Some(header.to_owned()))))
        }
    }
}

/// Whether a body comes in another form than its own.
fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How long a caller waits: what it says itself, or what the official clients say of their timeout, which is how long
/// they wait for the first byte or the next. Theirs is not written by hand, so one that says nothing is none.
///
/// # Errors
/// A message, where `x-mainstay-timeout-ms` is no time.
pub fn patience(headers: &HeaderMap) -> Result<Option<Duration>, String> {
    if let Some(value) = headers.get(TIMEOUT) {
        let digits = value.to_str().unwrap_or_default().trim();
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let ms = digits.parse().ok().filter(|ms: &u64| is_number && *ms > 0);
        let most = u64::MAX;
        let ms = ms.ok_or_else(|| {
            format!("`{TIMEOUT}` must be a whole number of milliseconds from 1 to {most}")
        })?;
        return Ok(Some(Duration::from_millis(ms)));
    }
    let seconds = text(headers, "x-stainless-timeout").and_then(|text| text.parse().ok());
    let patience = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(patience.filter(|patience| !patience.is_zero()))
}
